"""Copies of modules that share their weights, and outputs in words."""

import copy
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def shared_copy(module: M) -> M:
    """Return new module objects over the same parameters and buffers.

    Strides, dilations and the training flag of the copy may be changed freely; nothing of that shows in `module`,
    while its weights show in the copy at once.

    Args:
        module: any module.

    Returns:
        The copy.
    """
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def describe_output(output: object) -> str:
    """Return the shape of a tensor, or the type of anything else, for a message."""
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
