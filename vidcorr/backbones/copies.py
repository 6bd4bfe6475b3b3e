"""Copies of modules, also over the same tensors."""

import copy
from itertools import chain
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Reference:
    """A module that another one knows, but does not copy, move or store with itself."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> "Reference":
        return self


class Changeable:
    """A module that is a value: its attributes are not set, but another object of the same network is made."""

    def changed(self, **values: Any) -> Self:
        """Return an object over the same modules and weights with other values of some attributes, by their names.

        Attributes that are modules or tensors cannot change: both objects share them.
        """
        other = copy.copy(self)
        for name, value in values.items():
            setattr(other, name, value)
        return other


def shared_copy(module: M) -> M:
    """Return new module objects over the same parameters and buffers.

    Changes to strides, dilations or the training flag of the copy do not affect `module`. Changes to the weights of
    `module` affect the copy.

    Raises:
        ValueError: as `copied_over`.
    """
    tensors = chain(module.parameters(), module.buffers())
    return copied_over(module, {id(tensor): tensor for tensor in tensors})


def copied_over(module: M, tensors: dict[int, Any]) -> M:
    """Return new module objects over given tensors, as `copy.deepcopy`.

    A computed tensor among the attributes, such as a kept activation or a weight under `weight_norm`, is copied without
    its graph. Hooks are shared, also a profiler's, which cannot be copied: those of the copy write where the original's
    do.

    Args:
        module: any module.
        tensors: `id` of a tensor in it → the tensor of the copy; other tensors are copied.

    Raises:
        ValueError: if an attribute of the module cannot be copied, for example a lock or an open file.
    """
    memo = dict(tensors)
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            if name.endswith("_hooks") and isinstance(value, dict):
                memo |= {id(hook): hook for hook in value.values()}
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{type(module).__name__}: holds what copy.deepcopy cannot copy: {error}") from error


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the parameters and buffers of a module; the CPU if it has none."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def type_of_weights(network: nn.Module) -> torch.dtype:
    """Return the type of a network's weights, in which it takes images; float32 without weights."""
    types = (weights.dtype for weights in network.parameters() if weights.is_floating_point())
    return next(types, torch.float32)
