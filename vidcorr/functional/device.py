"""Copies of tensors and modules between devices, the fastest data type of a device, and dot products of rows."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from types import FunctionType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

M = TypeVar("M", bound=nn.Module)


def to_device(values: Any, device: torch.device) -> Tensor:
    """Return a tensor or numbers on a device, copied to a GPU through pinned memory without waiting."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")  # a copy to the CPU would return incomplete


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
    """Return the amount of work for a type of device; unknown types take the amount of a CPU."""
    return amounts.get(device.type, amounts["cpu"])


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore torch's random state after a block, on the CPU and on the current GPU if torch uses it."""
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(gpus):
        yield


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute products and convolutions in a precision, whatever the surrounding code has set.

    The setting is changed and restored by the API that set it, because torch refuses to mix both APIs.

    Args:
        precision: "float32", "tf32" (float32 except on a GPU) or "bfloat16" (autocast).
        device: device of the tensors.
    """
    tf32 = precision == "tf32" and device.type == "cuda"
    with ExitStack() as stack:
        try:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
            torch.backends.cudnn.allow_tf32 = tf32
        except RuntimeError:  # set by fp32_precision of torch.backends
            backends: Any = torch.backends
            for part in (backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.mkldnn.conv):
                stack.callback(setattr, part, "fp32_precision", part.fp32_precision)
                part.fp32_precision = "tf32" if tf32 else "ieee"
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"))
        yield


class PendingCopy:
    """A tensor on its way to the CPU: a GPU copies it after computing it, while it works on.

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
    """Return the fastest data type for a network, from what the device says it has, and the reason.

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
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if has:
        return ("bfloat16", "this CPU has it")
    return ("float32", "this CPU has no bfloat16 instructions")


SMALLEST = 20480
"""Torch gives convolutions with fewer input numbers to another library."""


def onednn_pays(queries: Tensor, keys: Tensor) -> bool:
    """Return True where products are faster by oneDNN than by `mm`: float32 on a CPU whose torch has it, not small."""
    serves = queries.device.type == "cpu" and queries.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return serves and keys.numel() > SMALLEST


def dot_products(queries: Tensor, keys: Tensor) -> Tensor:
    """Return `queries @ keys.T` by a convolution: `(n, D)`, `(K, D)` → `(n, K)`, a transposed view.

    The keys are the pixels of an image and the queries the filters of a 1 × 1 convolution. On a single thread torch
    uses oneDNN only for dilated convolutions; dilation has no effect on a 1 × 1 filter.
    """
    return F.conv2d(_as_image(keys), queries[:, :, None, None], dilation=2)[0, :, :, 0]


def weighted_sums(weights: Tensor, keys: Tensor) -> Tensor:
    """Return `weights @ keys` as the gradient into the filters of `dot_products`: `(n, K)`, `(K, D)` → `(n, D)`.

    Args:
        weights: in the layout of `dot_products`.
        keys: contiguous.
    """
    filters = len(weights), keys.shape[1], 1, 1
    return conv2d_weight(_as_image(keys), filters, _as_image(weights.mT), dilation=2).flatten(1)


def _as_image(rows: Tensor) -> Tensor:
    """View `(K, D)` as an image `(1, D, K, 1)`, channels last."""
    return rows.view(1, len(rows), 1, -1).permute(0, 3, 1, 2)


E = TypeVar("E")


def shared_copy(module: M) -> M:
    """Return new module objects over the same parameters and buffers.

    Changes to strides, dilations or the training flag of the copy do not affect `module`. Changes to the weights of
    `module` affect the copy.

    Raises:
        ValueError: as `copied_over`.
    """
    return copied_over(module, {id(tensor): tensor for tensor in _tensors(module)})


def copied_over(module: M, tensors: dict[int, Any]) -> M:
    """Return new module objects over given tensors, as `copy.deepcopy`.

    A computed tensor among the attributes, such as a kept activation or a weight under `weight_norm`, is copied without
    its graph.

    Args:
        module: any module.
        tensors: `id` of a tensor in it → the tensor of the copy; other tensors are copied.

    Raises:
        ValueError: if an attribute of the module cannot be copied, for example a lock or an open file, or a function in
            an attribute or a hook keeps a part of the module, which a copy of the module would not have.
    """
    kind = type(module).__name__
    memo = dict(tensors)
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        if any(map(_keeps_parts, functions_of(part))):
            raise ValueError(f"{kind}: a function in an attribute or hook of it keeps a module; make it a method")
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{kind}: holds what copy.deepcopy cannot copy: {error}") from error


def functions_of(module: nn.Module) -> Iterator[FunctionType]:
    """Yield the functions in the attributes and hooks of a module, without those of its parts."""
    attributes = vars(module)
    places = [attributes, *(value for value in attributes.values() if isinstance(value, dict))]
    for place in places:
        for value in place.values():
            if isinstance(value, FunctionType):
                yield value


def _keeps_parts(function: FunctionType) -> bool:
    """Return whether an outer variable or a default of a function is a module or a container."""
    kept = [*(cell.cell_contents for cell in function.__closure__ or ()), *(function.__defaults__ or ())]
    return any(isinstance(value, nn.Module | list | dict) for value in kept)


def on_device(encoder: E, device: torch.device | str | None = None) -> E:
    """Return an extractor or video encoder in eval mode on a device; the original does not change.

    Parameters and buffers on other devices are copied; tensors already on the device are shared with the original.
    Nothing is moved in place, so modules that share tensors with the original keep working. An encoder that is in eval
    mode on the device is returned itself.

    Args:
        encoder: an extractor of images, or a video encoder, whose networks are copied; not those inside a function.
        device: None is the current GPU, otherwise the CPU.

    Raises:
        torch.OutOfMemoryError: if the device has no room for the copy.
    """
    device = torch.device(gpu_or_cpu() if device is None else device)
    networks = networks_of(encoder)
    copies = {id(network): _copied(network, device) for network in networks}
    if all(copies[id(network)] is network for network in networks):
        return encoder
    return copy.deepcopy(encoder, copies)


def networks_of(encoder: object) -> list[nn.Module]:
    """Return the networks of an encoder: itself, if it is a module, else those that its attributes hold.

    An attribute of a video encoder may be a module, a module's bound method, a function with modules among its outer
    variables, or another video encoder.
    """
    if isinstance(encoder, nn.Module):
        return [encoder]
    found: dict[nn.Module, None] = {}
    for value in getattr(encoder, "__dict__", {}).values():
        outer = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        for held in (value, getattr(value, "__self__", None), *outer):
            if isinstance(held, nn.Module) or hasattr(held, "encode"):
                found.update(dict.fromkeys(networks_of(held)))
    return list(found)


def device_of(encoder: object) -> torch.device:
    """Return the device of the parameters and buffers of an extractor or video encoder; the CPU if it has none."""
    for network in networks_of(encoder):
        tensors = _tensors(network)
        if tensors:
            return tensors[0].device
    return torch.device("cpu")


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _copied(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a module in eval mode on a device."""
    tensors = _tensors(network)
    moved = {id(tensor): _moved(tensor, device) for tensor in tensors}
    is_training = any(part.training for part in network.modules())
    if not is_training and all(moved[id(tensor)] is tensor for tensor in tensors):
        return network
    return copied_over(network, moved).eval()


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a parameter or buffer on a device: itself, or a copy."""
    there = tensor.detach().to(device, non_blocking=device.type == "cuda")  # a copy to the CPU would not be waited for
    if there.device == tensor.device:
        return tensor
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(there, tensor.requires_grad)
    return there
