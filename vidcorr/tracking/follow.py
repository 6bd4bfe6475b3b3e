"""Follow a user's prompt through a video: masks, boxes or points.

The functions take an extractor, a video and a prompt for its first frame, and yield frame after frame; memory holds
the protocol's window. `follow_points` and `predict_video` follow a prompt of any frame, in both directions.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..functional import PointProtocol, PropagationProtocol, TrackingProtocol
from ..functional.propagation.coding import Size
from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from ..videos.stream import FrameStream, placed
from .frame_encoder import Stopwatch, View, stride_of
from .label_tracker import LabelTracker
from .plan import protocol_for
from .point_tracker import PointTracker
from .siamfc_tracker import SiamFCTracker

VideoSource = str | Path | FrameStream | Iterable[Tensor]
"""A file, a folder of frames, or frames: uint8 RGB `(3, H, W)`, all of equal size."""

SHORT_SIDE = 480


def propagate_masks(
    extractor: nn.Module,
    video: VideoSource,
    mask: object,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the objects of the first frame's mask.

    Args:
        extractor: see `build_feature_extractor`; it gives a single map.
        video: see `VideoSource`.
        mask: an image's path or ids `(H, W)` of the first frame, see `MaskPrompt.of`.
        protocol: a protocol, or the name of a protocol for DAVIS; None is `vidcorr`, `liir` for Liir.
        short_side: short side to which larger frames are reduced, pixels; None keeps the original size. A protocol with
            an input size ignores it.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and ids `(H, W)` uint8 at the frame's size; the first ids are the given
        mask.

    Raises:
        DataError: if the mask does not fit the first frame, or a frame cannot be read.
        ValueError: if the protocol does not exist, the extractor gives several maps, or short_side is below 1.

    Example:
        >>> from vidcorr.backbones import build_feature_extractor
        >>> video, mask = torch.zeros(3, 3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
        >>> video[:, 0, 16:32, 16:32] = 255
        >>> mask[16:32, 16:32] = 1
        >>> found = list(propagate_masks(build_feature_extractor("raw_colour"), video, mask))
        >>> bool((found[2][1] == mask).float().mean() > 0.95)
        True
    """
    return _propagate(extractor, video, MaskPrompt.of(mask), protocol_for(extractor, "davis", protocol), short_side)


def propagate_points(
    extractor: nn.Module,
    video: VideoSource,
    points: object,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow points of the first frame by Gaussian heat-maps, like joints on JHMDB.

    Args:
        extractor: see `build_feature_extractor`; it gives a single map.
        video: see `VideoSource`.
        points: a file's path, a dictionary of x, y by name, or `(K, 2)`, in pixels; see `PointPrompt.of`.
        protocol: a protocol, or the name of a protocol for JHMDB, which is changed to keep the video's proportions and
            to draw Gaussians of half a feature cell. None is `vidcorr`.
        short_side: see `propagate_masks`.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and x, y, score `(K, 3)`: pixels of the frame, and the peak of the heat-map
        as a fraction of its first peak; x and y are NaN for an empty heat-map.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: see `propagate_masks`.
    """
    return _propagate(extractor, video, PointPrompt.of(points), protocol_for(extractor, "jhmdb", protocol), short_side)


def track_box(
    extractor: nn.Module, video: VideoSource, box: object, protocol: TrackingProtocol | None = None
) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
    """Follow the target in a box by SiamFC's tracker.

    Args:
        extractor: see `SiamFCTracker`.
        video: see `VideoSource`.
        box: left, top, width, height in pixels of the first frame, or a file's path, see `BoxPrompt.of`.
        protocol: protocol of the tracker; None is VFS's.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and left, top, width, height `(4,)`; the box may leave the frame.

    Raises:
        DataError: if the box is not inside the first frame, or a frame cannot be read.
        ValueError: if the extractor gives several maps.
    """
    found = _propagate(extractor, video, BoxPrompt.of(box), protocol or TrackingProtocol())
    return ((frame, boxes[0]) for frame, boxes in found)


Follow = Callable[[Iterator[Tensor], NDArray[Any]], Iterator[tuple[Tensor, Any]]]
"""Frames and labels of the first frame, see `Prompt.labels` → frames and results: ids `(H, W)`, boxes `(N, 4)` or x, y,
score `(K, 3)`."""


def follower(
    extractor: nn.Module,
    kind: type[Prompt],
    rules: PropagationProtocol | TrackingProtocol,
    size: Size,
    short_side: int | None = SHORT_SIDE,
    stopwatch: Stopwatch | None = None,
) -> Follow:
    """Return the function that follows prompts of a kind in frames of size (height, width).

    Raises:
        ValueError: if the extractor does not suit the protocol.
    """
    if isinstance(rules, TrackingProtocol):
        return partial(follow_boxes, SiamFCTracker(extractor, rules, stopwatch))
    tracker = LabelTracker(extractor, rules, stopwatch)
    follow = follow_masks if kind is MaskPrompt else follow_points_by_heatmaps
    return partial(follow, tracker, tracker.view(size, short_side))


def _propagate(
    extractor: nn.Module,
    video: VideoSource,
    prompt: Prompt,
    rules: PropagationProtocol | TrackingProtocol,
    short_side: int | None = None,
) -> Iterator[tuple[Tensor, Any]]:
    """Follow a prompt from the first frame of a video on."""
    frames = iter(FrameStream(video) if isinstance(video, str | Path) else video)
    first = next(frames, None)
    if first is None:
        raise ValueError("the video has no frame")
    if first.ndim != 3 or first.shape[0] != 3 or first.dtype != torch.uint8:
        raise ValueError(f"expected frames as uint8 RGB (3, H, W), got {first.dtype} {tuple(first.shape)}")
    size = (first.shape[1], first.shape[2])
    prompt = prompt.placed(size)
    prompt.check(size)
    follow = follower(extractor, type(prompt), rules, size, short_side)
    return follow(chain([first], frames), prompt.labels)


@torch.no_grad()
def follow_masks(
    tracker: LabelTracker, view: View, frames: Iterator[Tensor], ids: NDArray[np.uint8]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and ids `(H, W)` uint8, from the ids of the first frame."""
    objects = np.unique(ids[ids > 0]).tolist()
    annotated = zip(frames, chain([torch.from_numpy(ids)], repeat(None)), strict=False)
    for t, tracked in enumerate(tracker.track_masks(annotated, dict.fromkeys(objects, 0), view)):
        if t == 0:
            followed = tracked.labels[0][1:].flatten(1).any(1).tolist()
            if lost := [str(number) for number, held in zip(objects, followed, strict=True) if not held]:
                warnings.warn(
                    f"object {', '.join(lost)} is too small for feature cells of {tracker.protocols[0].feature_stride} "
                    "px and is not followed; take a larger short_side or a smaller stride",
                    stacklevel=2,
                )
        yield tracked.frame, tracked.decoded[0]


@torch.no_grad()
def follow_points_by_heatmaps(
    tracker: LabelTracker, view: View, frames: Iterator[Tensor], points: NDArray[np.float64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and x, y, score `(K, 3)`, from the points `(K, 2)` of the first frame."""
    peaks = torch.ones(len(points))
    for t, tracked in enumerate(tracker.track_points(frames, torch.from_numpy(points), view)):
        heights, positions = tracked.labels[0].flatten(1).amax(1), tracked.decoded[0].double()
        if t == 0:
            peaks = heights.clamp_min(1e-12)
        else:
            positions[heights <= 0] = torch.nan
        yield tracked.frame, torch.cat([positions, (heights / peaks)[:, None].double()], dim=1)


def follow_boxes(
    tracker: SiamFCTracker, frames: Iterator[Tensor], boxes: NDArray[np.float64]
) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
    """Yield frames and boxes `(N, 4)`, from the boxes of the first frame."""
    corner = np.array([1.0, 1.0, 0.0, 0.0])  # the tracker counts pixels from one
    return ((frame, found - corner) for frame, found in tracker.track(frames, boxes + corner))


class FollowedPoints(NamedTuple):
    """The points of a video, and the current frame.

    Attributes:
        t: index of the frame in the video.
        points: x, y `(K, T, 2)` in pixels of the frames; (0, 0) is the centre of the first pixel.
        occluded: `(K, T)` bool, True for a point predicted to be hidden.
        similarity: `(K, T)` cosine of the features at the point and at its prompt.
    """

    t: int
    points: Tensor
    occluded: Tensor
    similarity: Tensor

    @property
    def now(self) -> Tensor:
        """The points of this frame: x, y, similarity and occlusion (0 or 1), `(K, 4)`."""
        return torch.stack([*self.points[:, self.t].T, self.similarity[:, self.t], self.occluded[:, self.t]], 1)


def follow_points(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    points: object,
    protocol: str | PointProtocol = "vidcorr",
    short_side: int | None = SHORT_SIDE,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    """Follow points of any frame, forwards and backwards, independently of each other.

    The video is read three times: to count its frames, to track, and to yield its frames with the points; memory holds
    a bounded part of its features.

    Args:
        extractor: see `build_feature_extractor`; it gives a single map.
        video: a file, or a folder of frames.
        points: a file's path, a dictionary of x, y by name, `(K, 2)` in pixels, or `grid:16`; see `PointPrompt.of`.
        protocol: a point protocol or its name (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`). Its
            `input_size` is 256 x 256 by default.
        short_side: used if `input_size` is None: larger frames are reduced to this short side, pixels; None keeps their
            size.
        stopwatch: counts the seconds of "decode", "backbone" and "track".

    Returns:
        Iterator of frame `(3, H, W)` uint8 and the points.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: if the protocol does not exist, the extractor gives several maps, or short_side is below 1.
    """
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    prompt = placed(PointPrompt.of(points), stream)
    rules = PointProtocol.named(protocol)
    stride_of(extractor)  # raises for several maps
    tracker = PointTracker(extractor, rules, stopwatch)
    view = View.of(extractor, stream.size, rules, short_side)
    return _follow_points(tracker, stream, prompt, view)


def _follow_points(
    tracker: PointTracker, stream: FrameStream, prompt: PointPrompt, view: View
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    """Track the points, then yield the frames with them."""
    with tracker.watch("decode"):
        count = sum(1 for _ in stream)
    start = stream.part.index(int(prompt.frame or 0))
    scale = torch.tensor(stream.size[::-1], dtype=torch.float64) / tracker.protocols[0].scored_size
    positions = (torch.from_numpy(prompt.labels) + 0.5) / scale
    queries = torch.cat([torch.full((len(positions), 1), start, dtype=torch.float64), positions.flip(1)], dim=1)

    def video(first: int) -> Iterator[Tensor]:
        return map(view.reduce, stream.forwards(first))

    (tracks,) = tracker.track(video, count, view.seen, queries.numpy(), start > 0)
    positions = tracks.points * scale - 0.5
    for t, frame in enumerate(stream):
        yield frame, FollowedPoints(t, positions, tracks.occluded, tracks.similarity)
