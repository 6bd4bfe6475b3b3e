"""First derivatives of custom functions whose second derivative is refused, not dropped."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import Function


def first_order(gradients: Sequence[Tensor | None], inputs: Sequence[Tensor], name: str) -> tuple[Tensor | None, ...]:
    """Return gradients whose own derivative raises an error.

    A custom function's `backward` returns gradients that were computed without recording. Autograd would take such
    gradients for constants, and a second derivative would lack their part without a word. torch's `once_differentiable`
    does not see it where the incoming gradient is a constant.

    Args:
        gradients: results of `backward`, computed without recording.
        inputs: the function's inputs, as saved by `save_for_backward`.
        name: name of the public function, for the error.
    """
    if not torch.is_grad_enabled():  # no create_graph: nobody can differentiate again
        return tuple(gradients)
    return tuple(None if each is None else _FirstOrder.apply(each, name, *inputs) for each in gradients)


class _FirstOrder(Function):
    """Identity of a gradient, which depends on the inputs and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, name: str, *inputs: Tensor) -> Tensor:
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(f"{ctx.name} has no second derivative: differentiate its gradient no further")
