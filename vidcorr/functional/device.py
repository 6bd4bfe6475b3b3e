"""Devices and ranks: tensors on their way between devices, precision, the fastest data type, the random state."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

WORKSPACE = 64 * 2**20  # bytes of products that are computed together, which stay near a CPU's cache
LARGEST_WORKSPACE = 2**30
SHARE_OF_MEMORY = 32  # a GPU of 32 GiB or more gives the largest workspace


def to_device(values: Any, device: torch.device) -> Tensor:
    """Return a tensor or numbers on a device; a copy to a GPU goes through pinned memory, and nobody waits for it.

    A list of floats becomes float32.
    """
    tensor = torch.as_tensor(values)
    if isinstance(values, list | tuple) and tensor.is_floating_point():
        tensor = torch.tensor(values, dtype=torch.float32)  # whatever torch's default type is
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")  # a copy to the CPU has to be complete on return


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
    """Return the amount of work for a type of device; unknown types take the amount of a CPU.

    Example:
        >>> amounts = {"cpu": 1, "cuda": 8}
        >>> amount_for(torch.device("cpu"), amounts), amount_for(torch.device("meta"), amounts)
        (1, 1)
    """
    return amounts.get(device.type, amounts["cpu"])


def workspace_of(device: torch.device) -> int:
    """Return how many bytes intermediate products may take: 64 MiB on a CPU, 1/32 of a GPU's memory up to 1 GiB."""
    if device.type != "cuda":
        return WORKSPACE
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(WORKSPACE, min(LARGEST_WORKSPACE, memory // SHARE_OF_MEMORY))


def items_in_workspace(device: torch.device, bytes_of_item: int) -> int:
    """Return how many items of `bytes_of_item` bytes fit into the workspace of a device, at least 1.

    Example:
        >>> items_in_workspace(torch.device("cpu"), 2**20), items_in_workspace(torch.device("cpu"), 2**40)
        (64, 1)
    """
    return max(1, workspace_of(device) // bytes_of_item)


def slices(length: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` indices that cover the indices 0 to `length` − 1.

    Example:
        >>> list(slices(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
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
    """Compute the products and convolutions of a block in a precision, whatever the surrounding code has set.

    torch has two APIs for this setting and refuses to mix them, so the surrounding code's API is used and restored.

    Args:
        precision: "float32", "tf32" (float32 except on a GPU) or "bfloat16" (autocast).
    """
    tf32 = precision == "tf32" and device.type == "cuda"
    with ExitStack() as stack:
        try:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
            torch.backends.cudnn.allow_tf32 = tf32
        except RuntimeError:  # the surrounding code has set fp32_precision of torch.backends, the other API
            backends: Any = torch.backends
            for kind in (backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.mkldnn.conv):
                stack.callback(setattr, kind, "fp32_precision", kind.fp32_precision)
                kind.fp32_precision = "tf32" if tf32 else "ieee"
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"))
        yield


class PendingCopy:
    """A copy of a tensor to the CPU, which a GPU makes as soon as the tensor is computed, beside its further work.

    Args:
        tensor: on any device; a CPU tensor is not copied.
    """

    def __init__(self, tensor: Tensor) -> None:
        gpu = tensor.device.type == "cuda"
        self._tensor = tensor.to("cpu", non_blocking=gpu)  # in pinned memory; read it only after `wait`
        self._copied = torch.cuda.Event() if gpu else None
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> Tensor:
        """Wait for the copy and return the tensor on the CPU."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor


@cache
def fastest_precision(device: str) -> tuple[str, str]:
    """Return the fastest data type for a network on this machine, and the reason.

    Args:
        device: type of the device: "cpu", "cuda", or another.

    Returns:
        "float32", "bfloat16" or "float16" (GPUs before Ampere), and the reason in words.
    """
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
