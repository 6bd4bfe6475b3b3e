"""The form of what a method's `step` returns."""

from numbers import Real
from typing import Any

import torch
from torch import Tensor

FORM = "return the loss, a tensor with a single value, or a dict that holds it as 'loss'"


def named_outputs(returned: Any, method: str) -> dict[str, Any]:
    """Return what `step` has returned as a dict; its loss is a scalar.

    Args:
        returned: a loss, or a dict with `loss` and other values by their names.
        method: name of the method, for messages.

    Raises:
        ValueError: for another form.
    """
    outputs = returned if isinstance(returned, dict) else {"loss": returned}
    loss = outputs.get("loss")
    if "loss" not in outputs:
        got = f"a dict with {', '.join(map(str, outputs)) or 'nothing'}"
    elif not isinstance(loss, Tensor):
        got = type(loss).__name__
    elif loss.numel() != 1:
        got = f"a tensor of shape {tuple(loss.shape)}"
    else:
        return outputs | {"loss": loss.reshape(())}
    raise ValueError(f"{method}.step: {FORM}; it returned {got}")


def require_gradient(loss: Tensor, method: str) -> None:
    """Refuse a loss that moves no weight.

    Raises:
        ValueError: if the loss depends on no parameter that is trained.
    """
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ValueError(
            f"{method}.step: the loss depends on no weight that is trained: it is detached, or every weight is frozen"
        )


def scalars_of(outputs: dict[str, Any]) -> dict[str, Tensor | float]:
    """Return the numbers and scalar tensors of a step beside its loss, by their names."""
    scalars: dict[str, Tensor | float] = {}
    for name, value in outputs.items():
        if name == "loss":
            continue
        if isinstance(value, Tensor):
            if value.ndim == 0:
                scalars[name] = value
        elif isinstance(value, Real):  # numpy's numbers too
            scalars[name] = float(value)
    return scalars
