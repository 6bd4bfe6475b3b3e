"""Copies of networks: new modules over the same tensors, or on another device; the networks inside an encoder."""

import copy
from collections.abc import Iterator
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..functional.device import gpu_or_cpu

M = TypeVar("M", bound=nn.Module)
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
