"""Spatial augmentation of decoded frames: uint8 in, uint8 out, inside the workers."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_ATTEMPTS = 10


def random_crops(
    height: int,
    width: int,
    count: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> list[tuple[int, int, int, int]]:
    """Draw the boxes of random resized crops, each on its own.

    As in torchvision: fraction of the area uniform, log of the aspect ratio uniform, up to ten attempts to fit the box
    into the frame, then the largest centred box with a permitted ratio.

    Args:
        height: height of the frame, pixels.
        width: width of the frame, pixels.
        count: number of boxes.
        area: least and largest fraction of the frame's area, in (0, 1].
        ratio: least and largest width / height.
        generator: source of the draws, as many for every size of frame.

    Returns:
        (top, left, height, width) of each box, pixels.
    """
    draws = torch.rand(count, _ATTEMPTS, 4, dtype=torch.float64, generator=generator).tolist()
    return [_random_box(height, width, area, ratio, attempts) for attempts in draws]


def _random_box(
    height: int, width: int, area: tuple[float, float], ratio: tuple[float, float], attempts: list[list[float]]
) -> tuple[int, int, int, int]:
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for fraction, log_ratio, y, x in attempts:
        pixels = height * width * (area[0] + fraction * (area[1] - area[0]))
        aspect = math.exp(low + log_ratio * (high - low))
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    return (height - h) // 2, (width - w) // 2, h, w


class RandomResizedCrop:
    """Random resized crop and flip, each frame on its own draw.

    Source: the public code of VFS (area 0.2 to 1, 224 pixels, flip 0.5).

    Args:
        size: side of the crops that come out, pixels.
        area: least and largest fraction of the frame's area.
        ratio: least and largest width / height.
        flip: probability of a horizontal flip.
    """

    def __init__(
        self,
        size: int,
        area: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> None:
        self.size, self.area, self.ratio, self.flip = size, area, ratio, flip

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator) -> Tensor:
        """Crop the frames of one clip.

        Args:
            frames: T arrays (H, W, 3) uint8.
            generator: source of the draws.

        Returns:
            (T, 3, size, size) uint8.
        """
        height, width = frames[0].shape[:2]
        boxes = random_crops(height, width, len(frames), self.area, self.ratio, generator)
        flips = torch.rand(len(frames), generator=generator) < self.flip
        return _crops(frames, boxes, flips.tolist(), self.size)


class CentreCrop:
    """The largest centred square of every frame, resized."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator) -> Tensor:
        """Crop frames as `RandomResizedCrop.__call__` does, without a draw."""
        height, width = frames[0].shape[:2]
        side = min(height, width)
        box = ((height - side) // 2, (width - side) // 2, side, side)
        return _crops(frames, [box] * len(frames), [False] * len(frames), self.size)


class WholeFrame:
    """The complete frame, resized without regard to its proportions (Liir, section 3.3: 256 x 256)."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator) -> Tensor:
        """Crop frames as `RandomResizedCrop.__call__` does, without a draw."""
        height, width = frames[0].shape[:2]
        return _crops(frames, [(0, 0, height, width)] * len(frames), [False] * len(frames), self.size)


def _crops(
    frames: Sequence[np.ndarray],
    boxes: Sequence[tuple[int, int, int, int]],
    flips: Sequence[bool],
    size: int,
) -> Tensor:
    import cv2

    clip = np.empty((len(frames), 3, size, size), dtype=np.uint8)
    for out, frame, (top, left, height, width), flip in zip(clip, frames, boxes, flips, strict=True):
        # bilinear as in the original code; where that would skip pixels, their mean
        shrinks = min(height, width) >= 2 * size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        crop = cv2.resize(frame[top : top + height, left : left + width], (size, size), interpolation=method)
        if flip:
            crop = cv2.flip(crop, 1)
        for channel in range(3):
            cv2.extractChannel(crop, channel, dst=out[channel])
    return torch.from_numpy(clip)
