"""Resampling as the original codes do it: which pixel "nearest" takes, and between which pixels "bilinear" lies."""

import functools
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..transfer import to_device

Filter = Literal["bilinear", "bilinear-aligned", "nearest"]
"""Filters for maps: see `resize_maps`."""

Nearest = Literal["pillow", "opencv", "opencv-exact", "torch-exact"]
"""Rules for the nearest pixel: Pillow's NEAREST, OpenCV's INTER_NEAREST (the pixel at or before the corner) and
INTER_NEAREST_EXACT, torch's "nearest-exact". The last two take the pixel under the centre, and differ where the centre
lies between two."""


@functools.lru_cache(maxsize=256)
def nearest_index(source: int, target: int, rule: Nearest = "pillow") -> Tensor:
    """Return the source index of each target index along one axis.

    Args:
        source: source length.
        target: target length.
        rule: see `Nearest`.

    Returns:
        Long (target,), on the CPU.
    """
    if rule == "torch-exact":
        pixels = torch.arange(source, dtype=torch.float64)[None, None]
        return F.interpolate(pixels, size=target, mode="nearest-exact")[0, 0].long()
    if rule == "pillow":  # positions are summed up in double precision
        step = source / target
        positions = np.add.accumulate(np.array([step * 0.5] + [step] * (target - 1)))
        return torch.from_numpy(positions.astype(np.int64).clip(max=source - 1))
    import cv2

    flag = cv2.INTER_NEAREST if rule == "opencv" else cv2.INTER_NEAREST_EXACT
    index = cv2.resize(np.arange(source, dtype=np.float64)[None], (target, 1), interpolation=flag)
    return torch.from_numpy(index[0].astype(np.int64))


def resize_ids(ids: Tensor, size: tuple[int, int], rule: Nearest = "pillow") -> Tensor:
    """Resize integer ids (H, W) to (H', W') by the nearest pixel."""
    if tuple(ids.shape) == tuple(size):
        return ids
    rows, columns = (to_device(nearest_index(*pair, rule), ids.device) for pair in zip(ids.shape, size, strict=True))
    return ids[rows[:, None], columns]


def resize_maps(maps: Tensor, size: tuple[int, int], method: Filter = "bilinear") -> Tensor:
    """Resize maps (L, h, w) to (L, H, W) without smoothing.

    Args:
        maps: float.
        size: (H, W).
        method: "bilinear": between pixel centres (torch's align_corners=False, OpenCV's INTER_LINEAR);
            "bilinear-aligned": between corners (align_corners=True); "nearest": torch's.
    """
    if maps.shape[-2:] == tuple(size):
        return maps
    if method == "nearest":
        return F.interpolate(maps[None], size=size, mode="nearest")[0]
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=method == "bilinear-aligned")[0]
