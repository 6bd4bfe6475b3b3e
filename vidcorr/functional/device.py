"""Devices and ranks: tensors on their way between devices, precision, the fastest data type, the random state."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# bytes of products that are computed together, which stay near a CPU's cache
WORKSPACE = 64 * 2**20
LARGEST_WORKSPACE = 2**30
# a GPU of 32 GiB or more gives the largest workspace
SHARE_OF_MEMORY = 32


def to_device(values: object, device: torch.device) -> Tensor:
    """Return a tensor or numbers on a device, floats as float32; a copy to a GPU goes through pinned memory."""
    tensor = torch.as_tensor(values)
    if isinstance(values, list | tuple) and tensor.is_floating_point():
        # whatever torch's default type is
        tensor = torch.tensor(values, dtype=torch.float32)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    # a copy to the CPU has to be complete on return
    return tensor.to(device, non_blocking=device.type == "cuda")


def world_size_and_rank() -> tuple[int, int]:
    """Return the number of ranks and the rank of this process; 1 and 0 without torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0


def gpu_or_cpu() -> torch.device:
    """Return the current GPU of this process, or the CPU if torch can use no GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def amount_for(device: torch.device, amounts: Mapping[str, int]) -> int:
    """Return the amount of work for a type of device; unknown types take that of a CPU."""
    return amounts.get(device.type, amounts["cpu"])


def workspace_of(device: torch.device) -> int:
    """Return how many bytes intermediate products may take: 64 MiB on a CPU, 1/32 of a GPU's memory up to 1 GiB."""
    if device.type != "cuda":
        return WORKSPACE
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(WORKSPACE, min(LARGEST_WORKSPACE, memory // SHARE_OF_MEMORY))


def items_in_workspace(device: torch.device, item_bytes: int) -> int:
    """Return how many items fit into the workspace of a device, at least 1."""
    return max(1, workspace_of(device) // item_bytes)


def slices(length: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` indices that cover the indices 0 to `length` − 1."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore torch's random state after a block, on the CPU and on the current GPU if torch uses it."""
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(gpus):
        yield


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in "float32", "tf32" (on a GPU) or "bfloat16" (autocast), whatever the surrounding code has set."""
    tf32 = precision == "tf32" and device.type == "cuda"
    with ExitStack() as stack:
        try:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
            torch.backends.cudnn.allow_tf32 = tf32
        # the surrounding code has set fp32_precision of torch.backends, the other API
        except RuntimeError:
            backends: Any = torch.backends
            for kind in (backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.mkldnn.conv):
                stack.callback(setattr, kind, "fp32_precision", kind.fp32_precision)
                kind.fp32_precision = "tf32" if tf32 else "ieee"
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"))
        yield


class PendingCopy:
    """A copy of a tensor to the CPU, which a GPU makes as soon as the tensor is computed, beside its further work."""

    def __init__(self, tensor: Tensor) -> None:
        gpu = tensor.device.type == "cuda"
        # in pinned memory; read it only after `wait`
        self._tensor = tensor.to("cpu", non_blocking=gpu)
        self._copied = torch.cuda.Event() if gpu else None
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> Tensor:
        """Return the copy, once it is complete."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor


@cache
def fastest_precision(device: str) -> tuple[str, str]:
    """Return the fastest data type of a network on "cpu", "cuda" or another device, and the reason."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        ampere = torch.cuda.get_device_capability() >= (8, 0)
        if ampere:
            return ("bfloat16", f"{name} has it")
        return ("float16", f"{name} is older than Ampere")
    if device != "cpu":
        return "float32", f"nothing else is tried on {device}"
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if has_bfloat16:
        return ("bfloat16", "this CPU has it")
    return ("float32", "this CPU has no bfloat16 instructions")
