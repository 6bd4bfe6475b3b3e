"""Random draws for a clip in the workers: frames, crops, and crops that pairs of pictures share."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vidcorr.functional.patches import RATIOS
from vidcorr.functional.propagation.resizing import resize_by_pillow
from vidcorr.videos.files import require_fractions, require_one_of

Box = tuple[int, int, int, int]
"""Top, left, height and width of a crop, pixels."""
Filter = Literal["area", "bilinear"]
"""How crops of at least twice the size are shrunk: the mean of the pixels, or bilinearly, which skips pixels."""

_ATTEMPTS = 10  # boxes that are tried for a random crop


def seeded_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for a key such as (seed, epoch, sample, attempt); streams of two keys are unrelated."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def distant_indices(num_frames: int, n: int, generator: torch.Generator) -> Tensor:
    """Draw a frame from every of n equal segments of the video.

    Segment i is [i L/n, (i + 1) L/n); the draw is uniform over its integers. A segment without an integer, in a video
    shorter than the clip, gives floor(i L/n), so frames repeat. Source: VFS, section 3.2 and Table 1. The original code
    cuts segments of floor((L + 1)/n) frames, which leave out the end of the video or wrap to frame 0.

    Args:
        num_frames: L, length of the video, at least 1.
        n: frames wanted, at least 1.
        generator: source of the draws.

    Returns:
        (n,) long, ascending, in [0, L).

    Example:
        >>> distant_indices(8, 8, torch.Generator())
        tensor([0, 1, 2, 3, 4, 5, 6, 7])
        >>> distant_indices(3, 6, torch.Generator())  # a video shorter than the clip
        tensor([0, 0, 1, 1, 2, 2])
    """
    edges = [-(-i * num_frames // n) for i in range(n + 1)]  # first integer at or after each segment's start
    draws = torch.rand(n, dtype=torch.float64, generator=generator).tolist()
    indices: list[int] = []
    for draw, first, end in zip(draws, edges, edges[1:], strict=False):
        is_empty = end == first
        indices.append(first - 1 if is_empty else first + int(draw * (end - first)))  # empty: its start, rounded down
    return torch.tensor(indices)


def continuous_indices(num_frames: int, n: int, interval: int, generator: torch.Generator) -> Tensor:
    """Draw n frames at a fixed interval from a random start; indices beyond the end become the last frame.

    Args:
        num_frames: length of the video, at least 1.
        n: frames wanted, at least 1.
        interval: δ, at least 0; 0 repeats a frame (VFS, Table 2 "same frame", Table 3 δ = 0).
        generator: source of the draw.

    Returns:
        (n,) long, ascending, in [0, num_frames).

    Example:
        >>> continuous_indices(5, 4, 3, torch.Generator())  # a video shorter than the clip
        tensor([0, 3, 4, 4])
    """
    starts = max(num_frames - (n - 1) * interval, 1)
    start = torch.randint(starts, (), generator=generator)
    return (start + interval * torch.arange(n)).clamp_(max=num_frames - 1)


class FrameSampling(ABC):
    """Choice of a clip's frames."""

    multiple: ClassVar[int] = 1
    """The number of frames of a clip must be a multiple of this."""

    def least_frames(self, n: int) -> int:
        """Return the length of a video, in frames, below which a clip of n frames repeats the last one."""
        return 1

    @abstractmethod
    def __call__(self, num_frames: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw the frames of a clip.

        Args:
            num_frames: length of the video, at least 1.
            n: frames wanted, at least 1.
            generator: source of the draws.

        Returns:
            (n,) long, in [0, num_frames).
        """


@dataclass(frozen=True)
class Distant(FrameSampling):
    """A frame from each of n equal segments (`distant_indices`), "distant" in VFS, Table 1."""

    def __call__(self, num_frames: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw n frames, in time order."""
        return distant_indices(num_frames, n, generator)


@dataclass(frozen=True)
class Continuous(FrameSampling):
    """Frames at an interval from a random start (`continuous_indices`), "continuous" in VFS, Table 1.

    Args:
        interval: distance of consecutive frames. From a list, an interval is drawn per clip. 0 repeats a frame.
        weights: probabilities of the intervals of a list; None for equal ones.

    Raises:
        ValueError: for an interval below 0, or weights that do not fit the intervals.

    Example:
        >>> Continuous([2, 5])(50, 3, seeded_generator(3))
        tensor([29, 34, 39])
    """

    interval: int | list[int]
    weights: list[float] | None = None

    def __post_init__(self) -> None:
        intervals = self._intervals()
        if not intervals or min(intervals) < 0:
            raise ValueError(f"interval must be 0 or more frames, got {self.interval}")
        if self.weights is not None and len(self.weights) != len(intervals):
            raise ValueError(f"sampling: weights {self.weights} do not fit the interval {self.interval}")

    def _intervals(self) -> list[int]:
        return [self.interval] if isinstance(self.interval, int) else list(self.interval)

    def __call__(self, num_frames: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw n frames, in time order."""
        intervals = self._intervals()
        weights = self.weights or [1.0] * len(intervals)
        chosen = int(torch.multinomial(torch.tensor(weights), 1, generator=generator))  # drawn for one interval too
        return self._indices(num_frames, n, intervals[chosen], generator)

    def least_frames(self, n: int) -> int:
        """Return the frames from the first to the last of the longest clip."""
        return (n - 1) * max(self._intervals()) + 1

    def _indices(self, num_frames: int, n: int, interval: int, generator: torch.Generator) -> Tensor:
        return continuous_indices(num_frames, n, interval, generator)


@dataclass(frozen=True)
class Looping(Continuous):
    """`Continuous` as in VFS's code, `SampleFrames` of xvjiarui/VFS @ 8e055cc: behind its end a video begins again.

    The start is uniform in 0, …, max(0, L − n · interval) of L frames: the last interval − 1 frames of a long video are
    never drawn, and a clip of a short video begins at frame 0.

    Example:
        >>> Looping(32)(20, 2, seeded_generator(3))
        tensor([ 0, 12])
    """

    def least_frames(self, n: int) -> int:
        """Return 1: no frame is repeated for want of another."""
        return 1

    def _indices(self, num_frames: int, n: int, interval: int, generator: torch.Generator) -> Tensor:
        start = torch.randint(max(0, num_frames - n * interval) + 1, (), generator=generator)
        return (start + interval * torch.arange(n)) % num_frames


@dataclass(frozen=True)
class GapPairs(FrameSampling):
    """Pairs of frames: a gap, uniform from the smallest to the largest that the video holds, then a start.

    Source: SiamMAE in CropMAE's code, `sample_frames`, whose gaps are 4 to 47 frames.

    Args:
        gap: smallest and largest gap, frames, both included.

    Example:
        >>> GapPairs((4, 47))(300, 4, seeded_generator(1))  # frames 13 and 57, then 239 and 263
        tensor([ 13,  57, 239, 263])
    """

    multiple = 2
    gap: tuple[int, int]

    def __post_init__(self) -> None:
        if not 0 <= self.gap[0] <= self.gap[1]:
            raise ValueError(f"gap must be the smallest and the largest number of frames, got {self.gap}")

    def __call__(self, num_frames: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw n / 2 pairs, n even: first and second frame of each pair in turn."""
        pairs = []
        low, high = (min(gap, num_frames - 1) for gap in self.gap)  # a short video's largest gap is its whole length
        for _ in range(n // 2):
            drawn = int(torch.randint(low, high + 1, (), generator=generator))
            first = int(torch.randint(num_frames - drawn, (), generator=generator))
            pairs += [first, first + drawn]
        return torch.tensor(pairs)


@dataclass(frozen=True)
class FractionPairs(FrameSampling):
    """Pairs of frames at a gap that is a fraction of the video's length; frame 0 is never the first.

    Videos of at most 4 frames, or with a gap below 1 or too large for a pair, give frames that are independent of each
    other. Source: Co-Settle's code.

    Args:
        fraction: the gap as a fraction of the video's length, rounded down to frames.

    Example:
        >>> FractionPairs(0.5)(6, 4, seeded_generator(1))  # a gap of 3
        tensor([1, 4, 2, 5])
        >>> FractionPairs(0.5)(4, 4, seeded_generator(1))  # too short for pairs
        tensor([0, 1, 0, 3])
    """

    multiple = 2
    fraction: float

    def __post_init__(self) -> None:
        require_fractions(fraction=self.fraction)

    def __call__(self, num_frames: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw n / 2 pairs, n even: first and second frame of each pair in turn."""
        gap = int(self.fraction * num_frames)
        end = num_frames - gap  # a pair's first frame is drawn from 1 to end - 1: as in Co-Settle's code, never 0
        # no room for pairs: n independent frames; the bound of 4 frames is Co-Settle's
        if num_frames <= 4 or gap < 1 or end <= 1:
            return torch.randint(num_frames, (n,), generator=generator)
        first = torch.randint(1, end, (n // 2,), generator=generator)
        return torch.stack([first, first + gap], dim=1).flatten()


def random_crops(
    height: int, width: int, count: int, area: tuple[float, float], generator: torch.Generator
) -> list[Box]:
    """Draw `count` boxes of random resized crops independently.

    As in torchvision, the fraction of the area is uniform, and so is the logarithm of width / height, from 3/4 to 4/3
    (`RATIOS`). The first of ten attempts whose box fits into the frame counts; if no box fits, the largest centred box
    with a permitted ratio is taken.

    Args:
        height: height of the frame, pixels.
        width: width of the frame, pixels.
        count: number of boxes.
        area: smallest and largest fraction of the frame's area, in (0, 1].
        generator: source of the draws; their number does not depend on the size of the frame.

    Returns:
        Top, left, height and width of each box, pixels.

    Example:
        >>> random_crops(90, 120, count=2, area=(0.2, 1.0), generator=seeded_generator(0))
        [(7, 14, 81, 70), (9, 27, 72, 55)]
    """
    draws = torch.rand(count, _ATTEMPTS, 4, dtype=torch.float64, generator=generator).tolist()
    return [_random_box(height, width, area, attempts) for attempts in draws]


def _random_box(height: int, width: int, area: tuple[float, float], attempts: list[list[float]]) -> Box:
    """Return the box of the first attempt that fits; an attempt has draws of area, ratio, top and left."""
    low = math.log(RATIOS[0])  # `RATIOS`: least and largest width / height, drawn evenly in its logarithm
    high = math.log(RATIOS[1])
    for fraction, log_ratio, y, x in attempts:
        pixels = height * width * (area[0] + fraction * (area[1] - area[0]))
        aspect = math.exp(low + log_ratio * (high - low))
        box_width = round(math.sqrt(pixels * aspect))
        box_height = round(math.sqrt(pixels / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(y * (height - box_height + 1))
            left = int(x * (width - box_width + 1))
            return top, left, box_height, box_width
    # none fits: the largest box in the centre with a permitted ratio
    box_width = min(width, max(1, round(height * RATIOS[1])))
    box_height = min(height, max(1, round(width / RATIOS[0])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def _crops(
    frames: Sequence[np.ndarray], boxes: Sequence[Box], size: int, by: Filter, flips: Sequence[bool] = ()
) -> Tensor:
    """Cut a box out of each of T frames (H, W, 3) and resize it, mirrored where `flips`: (T, 3, size, size) uint8."""
    import cv2

    clip = np.empty((len(frames), 3, size, size), dtype=np.uint8)
    flips = flips or [False] * len(frames)
    for out, frame, (top, left, height, width), flip in zip(clip, frames, boxes, flips, strict=True):
        averages = by == "area" and min(height, width) >= 2 * size  # at less bilinear skips no pixel
        method = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
        crop = cv2.resize(frame[top : top + height, left : left + width], (size, size), interpolation=method)
        if flip:
            crop = cv2.flip(crop, 1)
        cv2.split(crop, list(out))  # writes the three channels into `clip`
    return torch.from_numpy(clip)


def require_area(area: tuple[float, float]) -> None:
    """Raise ValueError unless an area is two ascending fractions of a frame, (0.2, 1.0)."""
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area must be two ascending fractions in (0, 1], got {area}")


class Crops(ABC):
    """Crops that make squares of the frames of a clip."""

    @abstractmethod
    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Make the squares (T, 3, size, size) uint8 of a training clip.

        Args:
            frames: T arrays (H, W, 3) uint8.
            generator: source of the draws.
            size: side of the squares, pixels.
        """

    def of_evaluation(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Make the squares (T, 3, size, size) of a held-out clip: by default the largest centred ones; draw nothing."""
        return CentreCrops()(frames, generator, size)


@dataclass(frozen=True)
class ShrunkCrops(Crops):
    """Crops that OpenCV resizes.

    Args:
        filter: "area" averages the pixels of crops of at least twice the size; "bilinear" skips pixels there, as in the
            codes of VFS and of LIIR_pytorch.

    Raises:
        ValueError: for an unknown filter.
    """

    filter: Filter = field(default="area", kw_only=True)

    def __post_init__(self) -> None:
        require_one_of(get_args(Filter), filter=self.filter)


@dataclass(frozen=True)
class RandomCrops(ShrunkCrops):
    """A random resized crop and flip of each frame, with independent draws.

    Source: the public code of VFS (area 0.2 to 1, 224 pixels, flip 0.5).

    Args:
        area: smallest and largest fraction of the frame's area.
        flip: probability of a horizontal flip.
        filter: as `ShrunkCrops`.

    Raises:
        ValueError: for an area out of range, or an unknown filter.
    """

    area: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_area(self.area)

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Crop, resize and flip each frame; the frames have one size."""
        height, width = frames[0].shape[:2]
        boxes = random_crops(height, width, len(frames), self.area, generator)
        flips = torch.rand(len(frames), generator=generator) < self.flip
        return _crops(frames, boxes, size, self.filter, flips.tolist())


@dataclass(frozen=True)
class CentreCrops(ShrunkCrops):
    """The largest square in the centre of each frame.

    Args:
        filter: as `ShrunkCrops`.

    Example:
        >>> frame = np.arange(10, dtype=np.uint8).reshape(2, 5, 1).repeat(3, axis=2)
        >>> CentreCrops()([frame], torch.Generator(), size=2)[0, 0]
        tensor([[1, 2],
                [6, 7]], dtype=torch.uint8)
    """

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Return the centre square of each frame, resized: uint8 `(T, 3, size, size)`; nothing is drawn."""
        height, width = frames[0].shape[:2]
        side = min(height, width)
        box = ((height - side) // 2, (width - side) // 2, side, side)
        return _crops(frames, [box] * len(frames), size, self.filter)


@dataclass(frozen=True)
class WholeFrames(ShrunkCrops):
    """Complete frames, squeezed into squares (Liir, section 3.3), in training and evaluation.

    Args:
        filter: as `ShrunkCrops`.

    Example:
        >>> stripes = np.zeros((8, 16, 3), np.uint8)
        >>> stripes[:, 1::4] = 255
        >>> crops = WholeFrames(), WholeFrames(filter="bilinear")
        >>> [each([stripes], torch.Generator(), size=4).unique().item() for each in crops]
        [64, 128]
    """

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Return the whole frames, resized to squares: uint8 `(T, 3, size, size)`; nothing is drawn."""
        height, width = frames[0].shape[:2]
        return _crops(frames, [(0, 0, height, width)] * len(frames), size, self.filter)

    of_evaluation = __call__  # in place of the square in the centre


@dataclass(frozen=True)
class PairCrops(Crops):
    """Crops of the pairs of a clip: its frames 0 and 1, 2 and 3, …; resized by Pillow, with anti-aliasing.

    Source: CropMAE's code, `data`; Co-Settle's code, `util/video_datasets.py`, which crops float numbers and lets the
    bicubic filter leave [0, 1]: here views are rounded and clipped to uint8.

    Args:
        kind: "shared": one crop and flip for both frames (SiamMAE); "global-to-local": the second view is a crop of the
            resized first view, and each is flipped by itself (CropMAE); "local-to-global": the same, the local view
            first.
        area: smallest and largest fraction of the frame's area that a crop takes.
        flip: probability of a horizontal flip.
        local_area: smallest and largest fraction of the global view's area that the local view takes.
        bicubic: resize the crops bicubically; False: bilinearly.
        squeezed: squeeze the whole frames into squares first, bilinearly (Co-Settle).

    Raises:
        ValueError: for an unknown kind, or an area out of range.
    """

    kind: Literal["shared", "global-to-local", "local-to-global"] = "shared"
    area: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5
    local_area: tuple[float, float] = (0.3, 0.6)
    bicubic: bool = False
    squeezed: bool = False

    def __post_init__(self) -> None:
        require_one_of(("shared", "global-to-local", "local-to-global"), kind=self.kind)
        require_area(self.area)
        require_area(self.local_area)

    def __call__(self, frames: Sequence[np.ndarray], generator: torch.Generator, size: int) -> Tensor:
        """Return two views of each pair of an even number of frames; draws are the same for every `kind`."""
        clip: list[np.ndarray] = []
        if self.squeezed:
            frames = [resized_crop(frame, (0, 0, *frame.shape[:2]), size) for frame in frames]
        for first, second in zip(frames[::2], frames[1::2], strict=True):
            height, width = first.shape[:2]
            (box,) = random_crops(height, width, 1, self.area, generator)
            (local_box,) = random_crops(size, size, 1, self.local_area, generator)  # unused by "shared"
            flips = (torch.rand(2, generator=generator) < self.flip).tolist()
            clip += self.views(first, second, size, [box, local_box], flips)
        return torch.from_numpy(np.stack(clip)).permute(0, 3, 1, 2).contiguous()

    def views(
        self, first: np.ndarray, second: np.ndarray, size: int, boxes: Sequence[Box], flips: Sequence[bool]
    ) -> list[np.ndarray]:
        """Return the two views of a pair, (size, size, 3) uint8.

        Args:
            first: (H, W, 3) uint8.
            second: (H, W, 3) uint8, used by "shared" alone.
            size: side of the views, pixels.
            boxes: the crop of the frame, and the local crop of the resized view.
            flips: one for each view; "shared" takes the first for both.
        """
        outer = resized_crop(first, boxes[0], size, self.bicubic)
        if self.kind == "shared":  # both frames by one box; the other kinds take two views of the first frame
            pair = [outer, resized_crop(second, boxes[0], size, self.bicubic)]
            flips = [flips[0], flips[0]]
        else:
            pair = [outer, resized_crop(outer, boxes[1], size, self.bicubic)]
        if self.kind == "local-to-global":  # the local view comes first
            pair.reverse()
        return [view[:, ::-1] if flip else view for view, flip in zip(pair, flips, strict=True)]


def resized_crop(frame: np.ndarray, box: Box, size: int, bicubic: bool = False) -> np.ndarray:
    """Cut a box out of a frame (H, W, 3) uint8 and resize it to (size, size, 3) uint8, with anti-aliasing."""
    top, left, height, width = box
    crop = np.ascontiguousarray(frame[top : top + height, left : left + width])
    return resize_by_pillow(crop, (size, size), "bicubic" if bicubic else "bilinear")
