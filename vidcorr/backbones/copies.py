"""Copies of modules: over the same tensors, or on another device."""

import copy
from collections.abc import Iterator
from inspect import getclosurevars
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..functional.device import gpu_or_cpu

M = TypeVar("M", bound=nn.Module)


class Held:
    """A module that another module knows, but does not copy, move or store with itself."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> "Held":
        return self


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
    its graph. What a hook writes into, a dictionary or a list, is shared.

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
        for function in functions_of(part):
            for value in getclosurevars(function).nonlocals.values():
                if isinstance(value, nn.Module):  # the copy's hook would write into the original
                    raise ValueError(f"{kind}: a function in an attribute or hook keeps a module; make it a method")
                memo.setdefault(id(value), value)
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{kind}: holds what copy.deepcopy cannot copy: {error}") from error


def functions_of(module: nn.Module) -> Iterator[FunctionType]:
    """Yield the functions in the attributes and hooks of a module, without those of its parts."""
    for value in vars(module).values():
        held = value.values() if isinstance(value, dict) else [value]  # torch keeps hooks in dictionaries
        yield from (each for each in held if isinstance(each, FunctionType))


def on_device(module: M, device: torch.device | str | None = None) -> M:
    """Return a module on a device; the original does not change.

    Parameters and buffers on other devices are copied; tensors already on the device are shared with the original.
    Nothing is moved in place, so modules that share tensors with the original keep working. A module on the device is
    returned itself.

    Args:
        module: an extractor of images, or a video encoder.
        device: None is the current GPU, otherwise the CPU.

    Raises:
        torch.OutOfMemoryError: if the device has no room for the copy.
        ValueError: as `copied_over`.
    """
    device = torch.device(gpu_or_cpu() if device is None else device)
    tensors = _tensors(module)
    if all(tensor.device == device for tensor in tensors):
        return module
    return copied_over(module, {id(tensor): _moved(tensor, device) for tensor in tensors})


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the parameters and buffers of a module; the CPU if it has none."""
    tensors = _tensors(module)
    return tensors[0].device if tensors else torch.device("cpu")


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a parameter or buffer on a device; it shares memory with a tensor there."""
    there = tensor.detach().to(device, non_blocking=device.type == "cuda")  # a copy to the CPU would not be waited for
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(there, tensor.requires_grad)
    return there
