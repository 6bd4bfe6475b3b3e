"""Checks of a method: of its first batch, and of the outputs of `step`."""

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

SLACK = 0.25
"""Values may exceed [0, 1] by this much, since bicubic resizing overshoots."""


def check_images(batch: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Check the form and range of the images in a batch.

    Args:
        batch: what a loader gave.
        images: name → axes, for example `clip` → `B, T, 3, H, W`.

    Raises:
        ValueError: names what is wrong.
    """
    for name, axes in images.items():
        tensor: Tensor = batch[name]
        wanted = f"{name} must be float RGB ({axes}) in [0, 1]"
        if not tensor.is_floating_point():
            raise ValueError(f"{wanted}, got {tensor.dtype}: divide bytes by 255, or give the Trainer our DataModule")
        if tensor.ndim != len(axes.split(", ")) or tensor.shape[-3] != 3:
            raise ValueError(f"{wanted}, got shape {tuple(tensor.shape)}")
        extremes = torch.stack(torch.aminmax(tensor.detach().float()))
        low, high = PendingCopy(extremes).wait().tolist()  # the one wait for the device
        if not (low >= -SLACK and high <= 1 + SLACK):  # written so that NaN is refused too
            raise ValueError(f"{wanted}, got values from {low:.4g} to {high:.4g}: the method normalises them itself")


def is_scalar(value: object) -> bool:
    """Return whether an output of a step is logged: a number, numpy's too, or a tensor of one."""
    return value.ndim == 0 if isinstance(value, Tensor) else isinstance(value, Real)
