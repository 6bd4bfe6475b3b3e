"""Copies of modules that share their weights, and outputs in words."""

import copy
from typing import TypeVar

from torch import Tensor, nn

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
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def describe_output(output: object) -> str:
    """Return the shape of a tensor, or the type of anything else, for a message."""
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
