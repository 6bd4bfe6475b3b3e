"""Follow what a user points at in one frame, in one direction: masks, boxes or points.

Each function takes an extractor, a video and a prompt for its first frame, and yields frame after frame; memory holds
the protocol's window. `predict_video` follows prompts of any frame, both ways.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt
from lightning_modules.functional import PropagationProtocol, TrackingProtocol
from lightning_modules.functional.propagation.sizing import Size

from ..tracking.frame_encoder import View
from ..tracking.label_tracker import LabelTracker
from ..tracking.siamfc_tracker import SiamFCTracker
from ..tracking.stopwatch import Stopwatch
from .request import Request, protocol_for

VideoSource = str | Path | FrameStream | Iterable[Tensor]
"""A file, a folder of frames, or frames: uint8 RGB `(3, H, W)` each, all of one size."""

SHORT_SIDE = 480


def propagate_masks(
    extractor: nn.Module,
    video: VideoSource,
    mask: Any,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the objects of the first frame's mask.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: see `VideoSource`.
        mask: an image's path or ids `(H, W)` of the first frame, see `MaskPrompt.of`.
        protocol: name of a protocol for DAVIS, or a protocol; None is `vidcorr`, `liir` for Liir.
        short_side: the extractor sees larger frames reduced to this, pixels; None: at their own size. Protocols with a
            size of their own see it.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and ids `(H, W)` uint8 at its own size; the first are those that were given.

    Raises:
        DataError: if the mask does not fit the first frame, or a frame cannot be read.
        ValueError: if the protocol does not exist, the extractor gives several maps, or short_side is below 1.

    Example:
        >>> from lightning_modules.backbones import build_feature_extractor
        >>> video, mask = torch.zeros(3, 3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
        >>> video[:, 0, 16:32, 16:32] = 255
        >>> mask[16:32, 16:32] = 1
        >>> found = list(propagate_masks(build_feature_extractor("raw_colour"), video, mask))
        >>> bool((found[2][1] == mask).float().mean() > 0.95)
        True
    """
    prompt, tracker = MaskPrompt.of(mask), LabelTracker(extractor, protocol_for(extractor, "davis", protocol))
    frames, size = _opened(video)
    prompt.check(size)
    return follow_masks(tracker, frames, prompt.ids, tracker.view(size, short_side))


def propagate_points(
    extractor: nn.Module,
    video: VideoSource,
    points: Any,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow points of the first frame as joints are followed on JHMDB, each by the heat-map of a Gaussian.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: see `VideoSource`.
        points: a file's path, a dictionary of x, y by name, or `(K, 2)`, in pixels; see `PointPrompt.of`.
        protocol: name of a protocol for JHMDB, here with the video's own proportions and Gaussians of half a feature
            cell; or a protocol. None is `vidcorr`.
        short_side: see `propagate_masks`.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and x, y, score `(K, 3)`: pixels of the frame, and the peak of the heat-map
        as a fraction of its first one; x and y are NaN where nothing of it is left.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: see `propagate_masks`.
    """
    prompt, tracker = PointPrompt.of(points), LabelTracker(extractor, protocol_for(extractor, "jhmdb", protocol))
    frames, size = _opened(video)
    prompt = prompt.placed(size)
    prompt.check(size)
    return follow_points_by_heatmaps(tracker, frames, prompt.points, tracker.view(size, short_side))


def track_box(
    extractor: nn.Module,
    video: VideoSource,
    box: Any,
    protocol: TrackingProtocol | None = None,
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
    prompt, tracker = BoxPrompt.of(box), SiamFCTracker(extractor, protocol)
    frames, size = _opened(video)
    prompt.check(size)
    given = np.array([[prompt.x, prompt.y, prompt.width, prompt.height]])
    return ((frame, boxes[0]) for frame, boxes in follow_boxes(tracker, frames, given))


Follow = Callable[[int, Iterator[Tensor]], Iterator[tuple[Tensor, Any]]]
"""Index of a prompted frame, frames from it on in either direction → frames and what is found: ids `(H, W)`, boxes
`(N, 4)` or x, y, score `(K, 3)` of the objects of that frame's prompts."""


def follower(extractor: nn.Module, request: Request, watch: Stopwatch) -> Follow:
    """Return the function that follows the prompts of one frame in one direction.

    Raises:
        ValueError: if the extractor does not suit the protocol.
    """
    if isinstance(request.rules, TrackingProtocol):
        boxes = SiamFCTracker(extractor, request.rules, watch)
        return lambda index, frames: follow_boxes(boxes, frames, request.given(index))
    assert isinstance(request.rules, PropagationProtocol)
    tracker = LabelTracker(extractor, request.rules, watch)
    view = tracker.view(request.stream.size, request.short_side)
    follow = follow_masks if isinstance(request.prompts[0], MaskPrompt) else follow_points_by_heatmaps
    return lambda index, frames: follow(tracker, frames, request.given(index), view)


@torch.inference_mode()
def follow_masks(
    tracker: LabelTracker, frames: Iterator[Tensor], ids: NDArray[np.uint8], view: View
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and ids `(H, W)` uint8; `ids` are those of the first frame."""
    objects = np.unique(ids[ids > 0]).tolist()
    annotated = zip(frames, chain([torch.from_numpy(ids)], repeat(None)), strict=False)
    for t, tracked in enumerate(tracker.track_masks(annotated, dict.fromkeys(objects, 0), view)):
        if t == 0:
            followed = tracked.labels[0][1:].flatten(1).any(1).tolist()
            if lost := [str(number) for number, held in zip(objects, followed, strict=True) if not held]:
                rank_zero_warn(
                    f"object {', '.join(lost)} is too small for feature cells of {tracker.protocols[0].feature_stride} "
                    "px and is not followed; take a larger short_side or a smaller stride"
                )
        yield tracked.frame, tracked.decoded[0]


@torch.inference_mode()
def follow_points_by_heatmaps(
    tracker: LabelTracker, frames: Iterator[Tensor], points: NDArray[np.float64], view: View
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and x, y, score `(K, 3)`; `points` `(K, 2)` are those of the first frame."""
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
    """Yield frames and boxes `(N, 4)`; `boxes` are those of the first frame."""
    corner = np.array([1.0, 1.0, 0.0, 0.0])  # the tracker counts pixels from one
    return ((frame, found - corner) for frame, found in tracker.track(frames, boxes + corner))


def _opened(video: VideoSource) -> tuple[Iterator[Tensor], Size]:
    """Return the frames, and the size (H, W) of the first of them."""
    frames = iter(FrameStream(video) if isinstance(video, str | Path) else video)
    first = next(frames, None)
    if first is None:
        raise ValueError("the video has no frame")
    if first.ndim != 3 or first.shape[0] != 3 or first.dtype != torch.uint8:
        raise ValueError(f"expected frames as uint8 RGB (3, H, W), got {first.dtype} {tuple(first.shape)}")
    return chain([first], frames), (first.shape[1], first.shape[2])
