"""Propagation of annotated masks or points to every frame of a video by the features of a network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import signals
from ..backbones.outputs import check_map
from ..functional import LabelPropagator, decode_keypoints, decode_masks, encode_keypoints, encode_masks
from ..functional.device import PendingCopy, to_device
from ..functional.propagation.coding import Size
from ..functional.propagation.resizing import reduced_frame
from .frame_encoder import FrameEncoder

Annotated = Iterable[tuple[Tensor, Tensor | None]]
"""Frames of a video, uint8 RGB `(3, H, W)`, with their annotation or None."""
Propagator = Callable[[Tensor, Any], LabelPropagator]
"""Function from labels `(L, h, w)` of frame 0 and the protocol to a propagation; `LabelPropagator` or a user's rule."""


class TrackedFrame(NamedTuple):
    """A frame with its results on the CPU.

    Attributes:
        frame: the input frame, uint8 RGB `(3, H, W)`.
        labels: soft labels `(L, h, w)`: masks with the background first, or heat-maps of points.
        decoded: a mask as uint8 ids `(H, W)`; or points, x, y `(K, 2)` in pixels of the frame, (−1, −1): not found.
    """

    frame: Tensor
    labels: Tensor
    decoded: Tensor

    @classmethod
    def arrived(cls, frame: Tensor, labels: PendingCopy, decoded: PendingCopy) -> Self:
        return cls(frame, labels.wait(), decoded.wait())


@dataclass(frozen=True)
class LabelCoding:
    """Conversion of the annotations of a video to labels on the grid of its features, and back.

    Attributes:
        encoder: the network under its protocol.
        size: (H, W) of the frames.
        seen: (H, W) to which frames are reduced for the network.
    """

    encoder: FrameEncoder
    size: Size
    seen: Size


@dataclass(frozen=True)
class MaskCoding(LabelCoding):
    """Object masks as labels: a channel for the background, then a channel per object, by their ids."""

    starts: Mapping[int, int]
    work = "decode masks"

    @property
    def objects(self) -> list[int]:
        return sorted(self.starts)

    def encode(self, t: int, mask: Tensor) -> Tensor:
        """Return labels `(1 + objects, h, w)` of ids `(H, W)`; after frame 0, of objects that start in frame `t`."""
        # reduced as the frame was, then padded by background to the size that the map covers
        ids = F.interpolate(mask[None, None], self.seen, mode="nearest-exact")[0, 0]
        height, width = self.encoder.input_sizes(self.seen).covered
        below = height - self.seen[0]
        right = width - self.seen[1]
        padded = F.pad(ids, (0, right, 0, below))
        labels = encode_masks(padded, self.objects, self.encoder.grid, self.encoder.protocol)
        # after frame 0, earlier objects are propagated, and a mask only adds those that start, without a background
        return labels * self._is_starting(t) if t else labels

    def decode(self, t: int, labels: Tensor, mask: Tensor | None, frame: Tensor) -> Tensor:
        """Return the ids `(H, W)` of a frame; starting objects have their given mask, or the decoded one."""
        if mask is None or self.encoder.protocol.first_frame == "decoded":
            return self._decode(labels, frame)
        ids = to_device(mask, labels.device)
        if t == 0:
            return ids
        # earlier objects are decoded by themselves; starting objects are laid over them, as given
        earlier_labels = labels * to_device(~self._is_starting(t), labels.device)
        followed = self._decode(earlier_labels, frame)
        starting = [number for number, start in self.starts.items() if start == t]
        is_given = torch.isin(ids, to_device(starting, ids.device).to(ids.dtype))
        return torch.where(is_given, ids, followed)

    def _decode(self, labels: Tensor, frame: Tensor) -> Tensor:
        height, width = self.encoder.input_sizes(self.seen).covered
        # the area under the map, padding included, from pixels of the reduced frame to pixels of the frame
        covered = round(height * self.size[0] / self.seen[0]), round(width * self.size[1] / self.seen[1])
        return decode_masks(labels, self.objects, self.encoder.protocol, covered, self.size, frame)

    def _is_starting(self, t: int) -> Tensor:
        """Return a mask `(1 + objects, 1, 1)`, True for the channels of objects that start in frame `t`."""
        starts = [self.starts[number] for number in self.objects]
        # the background starts in no frame
        return (torch.tensor([-1, *starts]) == t)[:, None, None]


@dataclass(frozen=True)
class PointCoding(LabelCoding):
    """Points as heat-maps: a Gaussian for each point, whose width the protocol sets."""

    work = "decode points"

    def encode(self, t: int, points: Tensor) -> Tensor:
        """Return the heat-maps `(K, h, w)` of points x, y `(K, 2)` in pixels of frame `t`."""
        points_seen = rescaled(points, self.size, self.seen)
        covered = self.encoder.input_sizes(self.seen).covered
        return encode_keypoints(points_seen, covered, self.encoder.grid, self.encoder.protocol)

    def decode(self, t: int, labels: Tensor, points: Tensor | None, frame: Tensor) -> Tensor:
        """Return points x, y `(K, 2)` in pixels of frame `t`: its given points, else points decoded from heat-maps."""
        if points is not None:
            return to_device(points, labels.device)
        covered = self.encoder.input_sizes(self.seen).covered
        return rescaled(decode_keypoints(labels, covered, self.encoder.protocol), self.seen, self.size)


def rescaled(points: Tensor, size: Size, other: Size) -> Tensor:
    """Convert x, y `(K, 2)` from pixels of frames of `size` to pixels of frames of size `other`; (H, W) both.

    Position 0 is the centre of the first pixel.

    Example:
        >>> corners = torch.tensor([[-0.5, -0.5], [119.5, 79.5]])
        >>> rescaled(corners, (80, 120), (30, 50)).tolist()
        [[-0.5, -0.5], [49.5, 29.5]]
    """
    if size == other:
        return points
    factor = torch.tensor([other[1] / size[1], other[0] / size[0]], dtype=torch.float64)
    return (points + 0.5) * to_device(factor, points.device) - 0.5


def first_only(frames: Iterable[Tensor], annotation: Tensor) -> Annotated:
    """Pair the first frame with its annotation, and the further frames with None."""
    return zip(frames, chain([annotation], repeat(None)), strict=False)


@torch.no_grad()
def follow_labels(
    frames: Annotated, coding: MaskCoding | PointCoding, propagator: Propagator = LabelPropagator
) -> Iterator[TrackedFrame]:
    """Propagate labels through a video of any length; memory holds the protocol's window, never the video.

    On a GPU the network encodes several frames in a pass, and results arrive while later frames are propagated. The
    first frame must have an annotation.

    Raises:
        ValueError: if labels are not finite.
        Stopped: between two frames, if a signal asks for it.
    """
    encoder = coding.encoder
    propagation: LabelPropagator | None = None
    # frames whose results are being copied
    in_transit: deque[tuple[Tensor, PendingCopy, PendingCopy]] = deque()
    read_ahead: deque[tuple[Tensor, Tensor | None]] = deque()

    def reduced_frames() -> Iterator[Tensor]:
        for frame, annotation in encoder.watch.timed("decode", frames):
            read_ahead.append((frame, annotation))
            yield reduced_frame(frame, coding.seen)

    for t, features in enumerate(encoder.maps(reduced_frames())):
        frame, annotation = read_ahead.popleft()
        signals.check()
        with encoder.watch("propagate", encoder.device):
            given_labels = None if annotation is None else coding.encode(t, annotation)
            if propagation is None:
                propagation = _start_propagation(propagator, encoder, features, given_labels)
                # frame 0 has its labels now; none enter it a second time
                given_labels = None
            labels = propagation.step(features, given_labels)
        with encoder.watch(coding.work, encoder.device):
            decoded = coding.decode(t, labels, annotation, frame)
        in_transit.append((frame, PendingCopy(labels), PendingCopy(decoded)))
        # on a GPU the oldest results arrive while later frames are propagated; on a CPU the number is 1: no delay
        if len(in_transit) == encoder.frames_at_once(coding.size):
            yield TrackedFrame.arrived(*in_transit.popleft())
    while in_transit:
        yield TrackedFrame.arrived(*in_transit.popleft())
    if propagation is not None:
        propagation.check_finite()


def _start_propagation(
    propagator: Propagator, encoder: FrameEncoder, features: Tensor, labels: Tensor | None
) -> LabelPropagator:
    """Check the features of frame 0, and return the propagation of its labels."""
    assert labels is not None, "the first frame gives no annotation"
    check_map(features, getattr(encoder.extractor, "stage", None) or "the extractor")
    propagation = propagator(labels, encoder.protocol)
    propagation.network = encoder.network
    return propagation
