"""Copies of modules, also over the same tensors."""

import copy
from itertools import chain
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Changeable:
    """Base of modules whose attributes are not set from outside: `changed` returns another object instead."""

    def changed(self, **values: object) -> Self:
        """Return a shallow copy with other values of some attributes, by their names; it shares modules and weights."""
        other = copy.copy(self)
        other.__dict__["_modules"] = {**vars(self).get("_modules", {})}  # a module among the values is the copy's alone
        for name, value in values.items():
            setattr(other, name, value)
        return other


def module_copy(module: M, *, shares_tensors: bool) -> M:
    """Copy a module as `copy.deepcopy`: other strides or another training flag of the copy leave `module` as it is.

    A computed tensor among the attributes, such as a kept activation or a weight under `weight_norm`, is copied without
    its graph. The copy calls the same hook objects as the original, because a profiler's hook cannot be copied.

    Args:
        shares_tensors: the copy has the same parameters and buffers, so that weights change in both; False: it has
            copies of them.

    Raises:
        ValueError: if an attribute of the module cannot be copied, for example a lock or an open file.

    Example:
        >>> network = nn.Linear(2, 3)
        >>> network.kept = network(torch.ones(1, 2))  # an activation
        >>> shared = module_copy(network, shares_tensors=True)
        >>> shared is network, shared.weight is network.weight, shared.kept is network.kept, shared.kept.requires_grad
        (False, True, False, False)
        >>> from queue import Queue
        >>> network.queue = Queue()  # it holds a lock
        >>> module_copy(network, shares_tensors=True)
        Traceback (most recent call last):
            ...
        ValueError: Linear: holds what copy.deepcopy cannot copy: cannot pickle '_thread.lock' object
    """
    tensors = chain(module.parameters(), module.buffers()) if shares_tensors else ()
    # deepcopy does not copy what is in its memo: it takes the memo's object
    memo: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and not value.is_leaf:  # deepcopy refuses a computed tensor
                memo[id(value)] = value.detach().clone()
            if name.endswith("_hooks") and isinstance(value, dict):
                memo |= {id(hook): hook for hook in value.values()}
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{type(module).__name__}: holds what copy.deepcopy cannot copy: {error}") from error


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter, else of its first buffer; the CPU without both."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def type_of_weights(network: nn.Module) -> torch.dtype:
    """Return the type of a network's first floating parameter, in which it takes images; float32 without one."""
    types = (weights.dtype for weights in network.parameters() if weights.is_floating_point())
    return next(types, torch.float32)
