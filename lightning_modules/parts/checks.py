"""Checks of what a method gets and gives: the first batch, and the outputs of `step`."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from vidcorr.functional.device import PendingCopy

Batch = dict[str, Any]
"""A batch of a video DataModule: `clip` float RGB `(B, T, 3, H, W)` in [0, 1], `video_index` long `(B,)`, …

A loader without held-out videos gives an empty batch, so that Lightning runs the validation hooks; modules skip it.
"""

FORM = "return the loss, a tensor with a single value, or a dict that holds it as 'loss'"
SLACK = 0.25
"""Values may exceed [0, 1] by this much, since bicubic resizing overshoots."""


def check_images(batch: object, images: Mapping[str, str]) -> None:
    """Check the form and range of the images in a batch.

    Args:
        batch: what a loader gave.
        images: name → axes, for example `clip` → `B, T, 3, H, W`.

    Raises:
        ValueError: names what is wrong, and what to give.
    """
    if not isinstance(batch, Mapping):
        names = " and ".join(images)
        raise ValueError(f"the batch is a {type(batch).__name__}: give a dict with {names}")
    for name, axes in images.items():
        wanted = f"give float RGB ({axes}) in [0, 1]"
        if name not in batch:
            raise ValueError(f"the batch has no {name}, only {', '.join(map(str, batch)) or 'nothing'}: {wanted}")
        tensor = batch[name]
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} is a {type(tensor).__name__}: {wanted}")
        if tensor.is_meta or tensor.layout is not torch.strided:
            kind = "on the meta device" if tensor.is_meta else str(tensor.layout)
            raise ValueError(f"{name} is {kind}: {wanted}, as a dense tensor with values")
        if tensor.dtype == torch.uint8:
            raise ValueError(
                f"{name} is uint8: give float RGB in [0, 1], {name}.float() / 255; our DataModules convert their "
                "batches if the Trainer gets the DataModule, not its loader"
            )
        if tensor.ndim != len(axes.split(", ")) or tensor.shape[-3] != 3:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}: {wanted}")
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype}: {wanted}")
        if not tensor.numel():
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, which is empty: {wanted}")
        extremes = torch.stack(torch.aminmax(tensor.detach().float()))
        low, high = PendingCopy(extremes).wait().tolist()
        if not (low >= -SLACK and high <= 1 + SLACK):  # written so that NaN is refused too
            raise ValueError(
                f"{name} holds values from {low:.4g} to {high:.4g}: {wanted}; the method normalises them itself"
            )


def sample_numbers(batch: Mapping[str, Any], name: str, samples: int, reason: str) -> Tensor:
    """Return the number of each sample in a batch, for example of its video.

    Args:
        batch: what a loader gave.
        name: name of the numbers: a tensor, an array or a list.
        samples: B, samples in the batch.
        reason: what the numbers are for, the end of the message.

    Returns:
        Long `(B,)`.

    Raises:
        ValueError: names what is wrong, and what to give.
    """
    if name not in batch:
        raise ValueError(f"the batch needs {name}, (B,) long, {reason}")
    numbers = torch.as_tensor(batch[name])
    if numbers.shape != (samples,) or numbers.is_floating_point() or numbers.is_complex():
        given = f"{numbers.dtype} {tuple(numbers.shape)}"
        raise ValueError(f"{name} is {given} for {samples} samples: give (B,) long, {reason}")
    return numbers.long()


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
