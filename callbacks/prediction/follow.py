"""From what is pointed at in a video's first frame to where it is in every frame: masks, a box, points.

Each function takes an extractor, a video and a prompt, and gives frame after frame; memory holds the protocol's window.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt
from lightning_modules.backbones import LiirExtractor
from lightning_modules.backbones.vit import ViTExtractor
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.labels import decode_keypoints, encode_keypoints, encode_masks
from lightning_modules.functional.propagation.sizing import Size, covered_size

from ..tracking.boxes import SiamFCTracker, TrackingProtocol
from ..tracking.label_propagation import Encode, Stopwatch, propagate_video
from ..tracking.masks import masks_of

Video = str | Path | FrameStream | Iterable[Tensor]
"""A file, a folder of frames, or frames: uint8 RGB `(3, H, W)` each, all of one size."""

SHORT_SIDE = 480


def propagate_masks(
    extractor: nn.Module,
    video: Video,
    mask: Any,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the objects of the first frame's mask.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: see `Video`.
        mask: a picture's path or ids `(H, W)` of the first frame, see `MaskPrompt.of`.
        protocol: name of a protocol for DAVIS, or a protocol; None is `vfs`, `vidcorr` for a ViT, `liir` for Liir.
        short_side: the extractor sees larger frames reduced to this, pixels; None: at their own size. Protocols with a
            size of their own see it.
        stopwatch: counts seconds, see `propagate_video`.

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
    prompt, rules = MaskPrompt.of(mask), protocol_for(extractor, "davis", protocol)
    frames, size = _opened(video)
    prompt.check(size)
    return _masks(extractor, frames, prompt, rules, View.of(extractor, size, rules, short_side), stopwatch)


def propagate_points(
    extractor: nn.Module,
    video: Video,
    points: Any,
    protocol: str | PropagationProtocol | None = None,
    short_side: int | None = SHORT_SIDE,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow points of the first frame, as joints are followed on JHMDB: each by the heat-map of a Gaussian.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: see `Video`.
        points: a file's path, a dictionary of x, y by name, or `(K, 2)`, in pixels; see `PointPrompt.of`.
        protocol: name of a protocol for JHMDB, here with the video's own proportions and Gaussians of half a feature
            cell; or a protocol. None is `vfs`, `vidcorr` for ViTs and Liir.
        short_side: see `propagate_masks`.
        stopwatch: likewise.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and x, y, score `(K, 3)`: pixels of the frame, and the peak of the heat-map
        in shares of its first one; x and y are NaN where nothing of it is left.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: see `propagate_masks`.
    """
    prompt, rules = PointPrompt.of(points), protocol_for(extractor, "jhmdb", protocol)
    frames, size = _opened(video)
    prompt.check(size)
    return _points(extractor, frames, prompt, rules, View.of(extractor, size, rules, short_side), stopwatch)


def track_box(
    extractor: nn.Module,
    video: Video,
    box: Any,
    protocol: TrackingProtocol | None = None,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
    """Follow the target in a box by SiamFC's tracker.

    Args:
        extractor: see `SiamFCTracker`.
        video: see `Video`.
        box: left, top, width, height in pixels of the first frame, or a file's path, see `BoxPrompt.of`.
        protocol: of the tracker; None is VFS's.
        stopwatch: counts seconds, see `SiamFCTracker`.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and left, top, width, height `(4,)`; the box may leave the frame.

    Raises:
        DataError: if the box is not inside the first frame, or a frame cannot be read.
        ValueError: if the extractor gives several maps.
    """
    prompt, tracker = BoxPrompt.of(box), SiamFCTracker(extractor, protocol, stopwatch)
    frames, size = _opened(video)
    prompt.check(size)
    return _boxes(tracker, frames, prompt)


def protocol_for(
    extractor: nn.Module, benchmark: str, protocol: str | PropagationProtocol | None = None
) -> PropagationProtocol:
    """A protocol of a benchmark as a user's own video wants it, at the stride of the extractor.

    Args:
        extractor: its kind says which protocol is the default, see `propagate_masks`.
        benchmark: "davis" for masks, "jhmdb" for points.
        protocol: a protocol is taken as it is but for the stride.

    Raises:
        ValueError: if there is no such protocol, or the extractor gives several maps.
    """
    stride: Any = getattr(extractor, "stride", None)
    if not isinstance(stride, int):
        raise ValueError(f"label propagation needs one map of features and its stride, got {stride}; name one stage")
    if not isinstance(protocol, PropagationProtocol):
        is_liir = isinstance(extractor, LiirExtractor)
        own = "liir" if is_liir and benchmark == "davis" else "vidcorr"
        default = own if is_liir or isinstance(extractor, ViTExtractor) else "vfs"
        protocol = PropagationProtocol.named(protocol or default, benchmark)
        if benchmark == "jhmdb":
            protocol = protocol.with_changes(input_size=None)
            if protocol.keypoint_unit == "pixel" and stride != protocol.feature_stride:
                protocol = protocol.with_changes(keypoint_sigma=stride / 2)
    return protocol if stride == protocol.feature_stride else protocol.with_changes(feature_stride=stride)


@dataclass(frozen=True)
class View:
    """At which size an extractor sees a video, and what its map covers.

    Attributes:
        own: (H, W) of the frames, pixels.
        seen: to which they are reduced before the protocol's own sizing.
        covered: what the map covers of a reduced frame, padding included, in its pixels.
    """

    own: Size
    seen: Size
    covered: Size

    @classmethod
    def of(cls, extractor: nn.Module, size: Size, protocol: PropagationProtocol, short_side: int | None) -> "View":
        """See `propagate_masks`."""
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, or null for the own size; got {short_side}")
        free = protocol.input_size is None
        factor = min(1.0, short_side / min(size)) if short_side is not None and free else 1.0
        seen = round(size[0] * factor), round(size[1] * factor)
        return cls(size, seen, covered_size(seen, protocol, getattr(extractor, "multiple", 1)))

    @property
    def covered_of_own(self) -> Size:
        """What the map covers, in pixels of the frames."""
        height, width = (
            round(covered * own / seen) for covered, own, seen in zip(self.covered, self.own, self.seen, strict=True)
        )
        return height, width

    def reduce(self, frame: Tensor) -> Tensor:
        """A frame, uint8 `(3, H, W)`, as it is seen."""
        import cv2

        if self.seen == self.own:
            return frame
        picture = cv2.resize(frame.permute(1, 2, 0).numpy(), self.seen[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(picture).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Ids `(H, W)` at what the map covers: nearest pixel, then background in the padding."""
        if self.seen != self.own:
            ids = F.interpolate(ids[None, None], self.seen, mode="nearest-exact")[0, 0]
        return F.pad(ids, (0, self.covered[1] - self.seen[1], 0, self.covered[0] - self.seen[0]))

    def rescale(self, points: Tensor, back: bool = False) -> Tensor:
        """x, y `(K, 2)` of the frames as seen, or the other way round; 0 is the centre of the first pixel."""
        factor = torch.tensor([self.seen[1] / self.own[1], self.seen[0] / self.own[0]], dtype=torch.float64)
        return (points + 0.5) * (1 / factor if back else factor) - 0.5


@torch.inference_mode()
def _masks(
    extractor: nn.Module,
    frames: Iterator[Tensor],
    prompt: MaskPrompt,
    protocol: PropagationProtocol,
    view: View,
    stopwatch: Stopwatch | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    watch, given = stopwatch or Stopwatch(), torch.from_numpy(prompt.ids)
    ids = view.reduce_ids(given)

    def encode(t: int, grid: Size, protocol: PropagationProtocol) -> Tensor | None:
        if t > 0:
            return None
        labels = encode_masks(ids, prompt.objects, grid, protocol.label_encoding)
        there = labels[1:].flatten(1).any(1).tolist()
        if lost := [number for number, some in zip(prompt.objects, there, strict=True) if not some]:
            rank_zero_warn(
                f"{prompt.source}: object {', '.join(map(str, lost))} is too small for feature cells of "
                f"{protocol.feature_stride} px and is not followed; take a larger short_side or a smaller stride"
            )
        return labels

    for t, (frame, labels) in enumerate(_labels(extractor, frames, encode, protocol, view, watch)):
        with watch("decode masks", labels.device):
            mask = given if t == 0 else masks_of(labels, prompt.objects, protocol, view.covered_of_own, view.own)
        yield frame, mask


@torch.inference_mode()
def _points(
    extractor: nn.Module,
    frames: Iterator[Tensor],
    prompt: PointPrompt,
    protocol: PropagationProtocol,
    view: View,
    stopwatch: Stopwatch | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    watch, given = stopwatch or Stopwatch(), torch.from_numpy(prompt.points)
    seen = view.rescale(given)
    peaks = torch.ones(len(given))

    def encode(t: int, grid: Size, protocol: PropagationProtocol) -> Tensor | None:
        if t > 0:
            return None
        return encode_keypoints(seen, view.covered, grid, protocol.keypoint_sigma, protocol.keypoint_unit)

    for t, (frame, heatmaps) in enumerate(_labels(extractor, frames, encode, protocol, view, watch)):
        with watch("decode points", heatmaps.device):
            heights = heatmaps.flatten(1).amax(1).cpu()
            if t == 0:
                peaks, places = heights.clamp_min(1e-12), given
            else:
                found = decode_keypoints(heatmaps, view.covered, protocol.keypoint_topk, protocol.keypoint_grid)
                places = view.rescale(found.cpu().double(), back=True)
                places[heights <= 0] = torch.nan
        yield frame, torch.cat([places, (heights / peaks)[:, None].double()], dim=1)


@torch.inference_mode()
def _boxes(
    tracker: SiamFCTracker, frames: Iterator[Tensor], prompt: BoxPrompt
) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
    first = np.array([prompt.x, prompt.y, prompt.width, prompt.height])
    corner = np.array([1.0, 1.0, 0.0, 0.0])  # the tracker counts pixels from one
    tracks = []
    for t, frame in enumerate(tracker.watch.timed("decode", frames)):
        picture = frame.permute(1, 2, 0).contiguous().numpy()
        if t == 0:
            tracks = [tracker.start(picture, first + corner)]
            yield frame, first
        else:
            yield frame, tracker.step(tracks, [picture])[0] - corner


def _labels(
    extractor: nn.Module,
    frames: Iterator[Tensor],
    encode: Encode,
    protocol: PropagationProtocol,
    view: View,
    watch: Stopwatch,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames at their own size, and what is propagated to them."""
    last: list[Tensor] = []

    def seen() -> Iterator[Tensor]:
        for frame in frames:
            last[:] = [frame]
            yield view.reduce(frame)

    for labels in propagate_video(extractor, seen(), encode, [protocol], watch):
        yield last[0], labels[0]


def _opened(video: Video) -> tuple[Iterator[Tensor], Size]:
    """Frames, and the size of the first."""
    frames = iter(FrameStream(video) if isinstance(video, str | Path) else video)
    first = next(frames, None)
    if first is None:
        raise ValueError("the video has no frame")
    if first.ndim != 3 or first.shape[0] != 3 or first.dtype != torch.uint8:
        raise ValueError(f"expected frames as uint8 RGB (3, H, W), got {first.dtype} {tuple(first.shape)}")
    return chain([first], frames), (first.shape[1], first.shape[2])
