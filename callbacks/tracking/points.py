"""Points carried through a video, each by a heat-map, around `LabelTracker`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple

from torch import Tensor

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.label_coding import decode_keypoints, encode_keypoints
from lightning_modules.functional.propagation.sizing import Size
from lightning_modules.functional.transfer import to_device

from .chunks import Found, on_cpu
from .label_tracker import LabelTracker
from .view import View


class TrackedPoints(NamedTuple):
    """The points of one frame.

    Attributes:
        frame: uint8 RGB `(3, H, W)`.
        heatmaps: per map of the extractor, `(K, h, w)`, on the CPU.
        points: per map, x, y `(K, 2)` in pixels of the frame, on the CPU; (−1, −1): not found.
    """

    frame: Tensor
    heatmaps: list[Tensor]
    points: list[Tensor]


@dataclass(frozen=True)
class PointAnnotation:
    """Points that frame 0 gives.

    Attributes:
        points: x, y `(K, 2)` in pixels of the frame.
        view: sizes of the video.
    """

    points: Tensor
    view: View

    def encode(self, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return one heat-map for each point, `(K, h, w)`: a Gaussian by the protocol."""
        seen = self.view.reduce_points(self.points)
        return encode_keypoints(seen, self.view.covered, grid, protocol.keypoint_sigma, protocol.keypoint_unit)

    def read(self, heatmaps: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return the points as they are read from their own heat-maps, x, y `(K, 2)`.

        With Gaussians in pixels they are drawn at the input's size first, as VFS's code does for frame 0.
        """
        if protocol.keypoint_unit == "pixel":
            heatmaps = self.encode(self.view.covered, protocol)
        return points_of(heatmaps, protocol, self.view)


def propagate_heatmaps(
    tracker: LabelTracker, frames: Iterable[Tensor], points: Tensor | None, view: View, at_once: int | None = None
) -> Iterator[TrackedPoints]:
    """Follow points through a video.

    Args:
        tracker: carries the labels.
        frames: uint8 RGB `(3, H, W)` each.
        points: x, y `(K, 2)` of frame 0, pixels; 0 is the centre of the first pixel. None: the tracker resumes from a
            state, see `LabelTracker.load`.
        view: that of the tracker for frames of this size.
        at_once: see `track_masks`.

    Yields:
        The points of each frame; frame 0 has the given ones.
    """
    for found in on_cpu(_decoded(tracker, frames, points, view), at_once or tracker.frames_per_pass(view)):
        yield TrackedPoints(*found)


def _decoded(tracker: LabelTracker, frames: Iterable[Tensor], points: Tensor | None, view: View) -> Iterator[Found]:
    given_points = [] if points is None else [PointAnnotation(points, view)]
    annotations = chain(given_points, repeat(None))
    for frame, given, heatmaps in tracker.track(zip(frames, annotations, strict=False), view):
        with tracker.watch("decode points", tracker.device):
            pairs = zip(heatmaps, tracker.protocols, strict=True)
            found = [points_of(h, p, view) if given is None else to_device(given.points, h.device) for h, p in pairs]
        yield frame, heatmaps, found


def points_of(heatmaps: Tensor, protocol: PropagationProtocol, view: View) -> Tensor:
    """Decode heat-maps `(K, h, w)` by the protocol into x, y `(K, 2)` in pixels of the frame, on their device."""
    return view.restore_points(decode_keypoints(heatmaps, view.covered, protocol.keypoint_topk, protocol.keypoint_grid))
