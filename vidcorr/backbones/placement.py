"""Copies of modules: with shared weights, or on another device."""

import copy
from types import MethodType
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..functional.device import gpu_or_cpu

E = TypeVar("E")
M = TypeVar("M", bound=nn.Module)


def shared_copy(module: M) -> M:
    """Return new module objects over the same parameters and buffers.

    Changes to strides, dilations or the training flag of the copy do not affect `module`. Changes to the weights of
    `module` affect the copy.

    Args:
        module: any module.

    Returns:
        The copy.
    """
    return copy.deepcopy(module, {id(tensor): tensor for tensor in _tensors(module)})


def on_device(encoder: E, device: torch.device | str | None = None) -> E:
    """Return an extractor or video encoder in eval mode on a device; the original does not change.

    Parameters and buffers on other devices are copied; tensors already on the device are shared with the original.
    Nothing is moved in place, so modules that share tensors with the original keep working. An encoder that is in eval
    mode on the device is returned itself.

    Args:
        encoder: an extractor, see `build_feature_extractor`, or a video encoder, see `VideoEncoder`. If a video
            encoder is no module, the networks in its attributes are copied, see `held_networks`.
        device: None is the current GPU, otherwise the CPU.

    Raises:
        torch.OutOfMemoryError: if the device has no room for the copy.
    """
    device = gpu_or_cpu() if device is None else torch.device(device)
    if isinstance(encoder, nn.Module):
        return cast(E, _copied(encoder, device))
    networks = held_networks(encoder)
    copies = {network: _copied(network, device) for network in networks.values()}
    if all(network is copied for network, copied in copies.items()):
        return encoder
    twin = copy.copy(encoder)
    for name, network in networks.items():
        value = getattr(encoder, name)
        bound = isinstance(value, MethodType)
        setattr(twin, name, MethodType(value.__func__, copies[network]) if bound else copies[network])
    return twin


def held_networks(encoder: object) -> dict[str, nn.Module]:
    """Return the networks inside an encoder that is no module: name of the attribute → module.

    An attribute may be the module itself, or a bound method of the module.
    """
    owners = {name: getattr(value, "__self__", value) for name, value in vars(encoder).items()}
    return {name: owner for name, owner in owners.items() if isinstance(owner, nn.Module)}


def device_of(encoder: object) -> torch.device:
    """Return the device of the parameters and buffers of an extractor or video encoder; the CPU if it has none."""
    networks = [encoder] if isinstance(encoder, nn.Module) else held_networks(encoder).values()
    return next((tensor.device for network in networks for tensor in _tensors(network)), torch.device("cpu"))


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _copied(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a module in eval mode on a device, see `on_device`."""
    tensors = _tensors(network)
    moved = {id(tensor): _moved(tensor, device) for tensor in tensors}
    if not any(part.training for part in network.modules()) and all(moved[id(tensor)] is tensor for tensor in tensors):
        return network
    return copy.deepcopy(network, moved).eval()


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a parameter or buffer on a device: itself, or a copy."""
    there = tensor.detach().to(device, non_blocking=device.type == "cuda")  # a copy to the CPU would not be waited for
    if there.device == tensor.device:
        return tensor
    return nn.Parameter(there, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else there
