"""Types of the arguments of losses and affinities: tensors of floats, computed in float32 or finer."""

import torch
from torch import Tensor


def require_tensors(function: str, **arguments: object) -> None:
    """Refuse arguments that are no tensors, for example arrays of numpy.

    Args:
        function: name of the function, for the message.
        arguments: its arguments by name.

    Raises:
        TypeError: one line that names the argument.
    """
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} is a {type(value).__name__}: give a torch.Tensor of floats")


def require_floats(function: str, **arguments: Tensor) -> None:
    """Refuse arguments that are no tensors of floats.

    Args:
        function: name of the function, for the message.
        arguments: its arguments by name.

    Raises:
        TypeError: if an argument is no tensor; one line that names the argument.
        ValueError: for a tensor of other numbers; one line that names the argument.
    """
    require_tensors(function, **arguments)
    for name, value in arguments.items():
        if not value.is_floating_point():
            raise ValueError(f"{function}: {name} is {value.dtype}: give floats, {name}.float()")


def require_samples(function: str, batch: Tensor) -> None:
    """Refuse a batch without numbers, whose mean would be NaN.

    Raises:
        ValueError: one line with the shape.
    """
    if not batch.numel():
        raise ValueError(f"{function}: the batch is empty, {tuple(batch.shape)}, so its mean is undefined")


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 or finer."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
