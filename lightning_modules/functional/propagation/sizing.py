"""The size at which a network sees a picture, and what part of the plane its feature map then covers."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Sizing = Literal["native", "short-480", "short-240", "320x320", "pad-4"]
Size = tuple[int, int]

GREY = 0.466327
"""What padding is filled with: RGB of Lab lightness 50, which Liir's normalisation makes 0 and others nearly so."""


def resized_size(size: Size, sizing: Sizing = "native") -> Size:
    """Height and width of a picture as the network sees it, padding left out.

    Args:
        size: (H, W) of the picture.
        sizing: "native" and "pad-4" keep it; "short-480": short side 480, long side floored to a multiple of 64
            (DINO, eval_video_segmentation.py); "short-240": short side 240, long side rounded; "320x320" (VFS and CRW
            on JHMDB).

    Raises:
        ValueError: for an unknown sizing.

    Example:
        >>> resized_size((480, 854), "short-480"), resized_size((480, 854), "short-240")
        ((480, 832), (240, 427))
    """
    if sizing in ("native", "pad-4"):
        return size
    if sizing == "320x320":
        return 320, 320
    short, long = min(size), max(size)
    if sizing == "short-480":
        sides = 480, max(480 * long // short // 64 * 64, 64)
    elif sizing == "short-240":
        sides = 240, round(240 * long / short)
    else:
        raise ValueError(f"unknown input sizing {sizing!r}")
    return sides if size[0] <= size[1] else sides[::-1]


def fit_input(images: Tensor, sizing: Sizing = "native", multiple: int = 1) -> Tensor:
    """Bring pictures to the size that a protocol asks for, then pad them at the right and below with grey.

    Resizing is bilinear; it smooths before shrinking for "short-240" only, since OpenCV does not for the sources of
    the others (who round to 8 bits after it, which is not done here).

    Args:
        images: float RGB `(N, 3, H, W)` in [0, 1].
        sizing: see `resized_size`; "pad-4" pads to a multiple of 4 (Liir).
        multiple: pad to a multiple of this too, for a network that needs whole patches.

    Returns:
        `(N, 3, H', W')`.
    """
    height, width = images.shape[-2:]
    size = resized_size((height, width), sizing)
    if size != (height, width):
        images = F.interpolate(
            images, size=size, mode="bilinear", align_corners=False, antialias=sizing == "short-240"
        ).clamp_(0, 1)
    below, right = (padded - side for padded, side in zip(_padded(size, sizing, multiple), size, strict=True))
    return F.pad(images, (0, right, 0, below), value=GREY) if below or right else images


def covered_size(size: Size, sizing: Sizing = "native", multiple: int = 1) -> Size:
    """What the network's input covers, in the picture's own pixels: the picture, and the padding beside it.

    Labels are coded at this size: an annotation is padded with background to it, and what is decoded at it is cut.

    Args:
        size: (H, W) of the picture.
        sizing: as for `fit_input`.
        multiple: likewise.

    Returns:
        (H', W'), at least (H, W).

    Example:
        >>> covered_size((480, 854)), covered_size((480, 854), "pad-4"), covered_size((480, 854), multiple=16)
        ((480, 854), (480, 856), (480, 864))
    """
    seen = resized_size(size, sizing)
    padded = _padded(seen, sizing, multiple)
    return round(size[0] * padded[0] / seen[0]), round(size[1] * padded[1] / seen[1])


def _padded(size: Size, sizing: Sizing, multiple: int) -> Size:
    if sizing == "pad-4":
        multiple = math.lcm(multiple, 4)
    return size[0] + -size[0] % multiple, size[1] + -size[1] % multiple
