"""Sampling of a clip: its frames in time, its crops in space, and the generators that every draw comes from."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_ATTEMPTS = 10  # at a box of the drawn area and proportions that fits into the frame


def seeded_generator(*key: int) -> torch.Generator:
    """Return a CPU generator whose stream is a function of the key alone.

    The key is hashed, so that neighbouring keys such as (seed, epoch, 3) and (seed, epoch, 4) give unrelated streams.

    Args:
        key: integers, for example (seed, epoch, sample index, attempt).
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def distant_indices(num_frames: int, n: int, generator: torch.Generator) -> Tensor:
    """Draw one frame from each of n equal segments of the video.

    Segment i is [i L/n, (i + 1) L/n); the draw is uniform over the integers in it. Where the video is shorter than
    the clip some segments hold none: they give floor(i L/n), so frames repeat. Source: VFS, section 3.2 and Table 1.
    The original code cuts segments of floor((L + 1)/n) frames, which leave out the end of the video or wrap to frame 0.

    Args:
        num_frames: L, length of the video, at least 1.
        n: frames wanted, at least 1.
        generator: source of the draws.

    Returns:
        (n,) long, ascending, in [0, L).

    Raises:
        ValueError: if the video or the clip has no frames.

    Example:
        >>> distant_indices(8, 8, torch.Generator())
        tensor([0, 1, 2, 3, 4, 5, 6, 7])
    """
    _check(num_frames, n)
    edges = -(-torch.arange(n + 1) * num_frames // n)  # first integer at or after each segment's start
    first, count = edges[:-1], edges.diff()
    offset = (torch.rand(n, dtype=torch.float64, generator=generator) * count).long()
    return torch.where(count > 0, first + offset, first - 1)


def continuous_indices(num_frames: int, n: int, interval: int, generator: torch.Generator) -> Tensor:
    """Draw n frames at a fixed interval from a random start.

    Where the video is shorter than (n - 1) · interval + 1 frames the start is 0 and what lies beyond the end is the
    last frame. Interval 0 repeats one frame (VFS, Table 2 "same frame", Table 3 δ = 0).

    Args:
        num_frames: length of the video, at least 1.
        n: frames wanted, at least 1.
        interval: δ, frames from one pick to the next, at least 0.
        generator: source of the draw.

    Returns:
        (n,) long, ascending, in [0, num_frames).

    Raises:
        ValueError: if the video or the clip has no frames, or the interval is negative.

    Example:
        >>> continuous_indices(9, 3, 4, torch.Generator())
        tensor([0, 4, 8])
    """
    _check(num_frames, n)
    if interval < 0:
        raise ValueError(f"interval must be 0 or more frames, got {interval}")
    starts = max(num_frames - (n - 1) * interval, 1)
    start = torch.randint(starts, (), generator=generator)
    return (start + interval * torch.arange(n)).clamp_(max=num_frames - 1)


def _check(num_frames: int, n: int) -> None:
    if num_frames < 1 or n < 1:
        raise ValueError(f"need a video and a clip of at least 1 frame, got num_frames={num_frames}, n={n}")


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


class FixedCrop:
    """The largest centred square of every frame, or the complete frame, resized without a draw.

    Args:
        size: side of what comes out, pixels.
        whole: take the complete frame, without regard to its proportions (Liir, section 3.3: 256 x 256).
    """

    def __init__(self, size: int, whole: bool = False) -> None:
        self.size, self.whole = size, whole

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator) -> Tensor:
        """Crop frames as `RandomResizedCrop.__call__` does."""
        height, width = frames[0].shape[:2]
        side = min(height, width)
        box = (0, 0, height, width) if self.whole else ((height - side) // 2, (width - side) // 2, side, side)
        return _crops(frames, [box] * len(frames), [False] * len(frames), self.size)


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
