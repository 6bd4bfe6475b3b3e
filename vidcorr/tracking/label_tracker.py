"""Propagation of annotated masks or points to every frame of a video by the features of a network."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import signals
from ..backbones.extractor import check_map
from ..functional import LabelPropagator, decode_keypoints, decode_masks, encode_keypoints, encode_masks
from ..functional.device import PendingCopy, to_device
from ..functional.propagation.coding import Size
from ..functional.propagation.resizing import reduced_frame
from ..protocols import JointProtocol, PropagationProtocol
from .frame_encoder import FrameEncoder, grid_of


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
        """Wait until the copies of the results are on the CPU."""
        return cls(frame, labels.wait(), decoded.wait())


@dataclass(frozen=True)
class MaskCoding:
    """Object masks as labels: a channel for the background, then a channel per object.

    Attributes:
        seen: (H, W) of the frames as the network sees them.
        covered: size that the feature map covers, padding included, in pixels of these frames.
        starts: object id → index of the frame with its first mask, in the order of the channels.
        work: name of the decoding in the stopwatch's sums.
    """

    seen: Size
    covered: Size
    starts: Mapping[int, int]
    work = "decode masks"

    def encode(self, t: int, given: Tensor, size: Size, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return `(1 + objects, h, w)`, background first; after frame 0 only channels of starting objects are set."""
        ids = F.interpolate(given[None, None], self.seen, mode="nearest-exact")[0, 0]
        below = self.covered[0] - self.seen[0]
        right = self.covered[1] - self.seen[1]
        labels = encode_masks(F.pad(ids, (0, right, 0, below)), list(self.starts), grid, protocol)
        return labels * self._starting(t) if t else labels

    def decode(self, t: int, given: Tensor | None, labels: Tensor, size: Size, protocol: PropagationProtocol) -> Tensor:
        """Return ids `(H, W)` uint8; starting objects have their given mask, unless the protocol decodes it too."""
        objects = list(self.starts)
        height = round(self.covered[0] * size[0] / self.seen[0])
        width = round(self.covered[1] * size[1] / self.seen[1])
        if given is None or protocol.first_frame == "decoded":
            return decode_masks(labels, objects, protocol, (height, width), size)
        ids = to_device(given, labels.device)
        if t == 0:
            return ids
        before = labels * to_device(~self._starting(t), labels.device)
        mask = decode_masks(before, objects, protocol, (height, width), size)
        starting = [number for number, start in self.starts.items() if start == t]
        is_given = torch.isin(ids, to_device(starting, ids.device).to(ids.dtype))
        return torch.where(is_given, ids, mask)

    def _starting(self, t: int) -> Tensor:
        """Return True for the channels of objects that start in frame `t`, bool `(1 + objects, 1, 1)`."""
        starts = torch.tensor([-1, *self.starts.values()])  # the background starts in no frame
        return (starts == t)[:, None, None]


@dataclass(frozen=True)
class PointCoding:
    """Points as heat-maps, with a Gaussian by the protocol.

    Attributes:
        seen: (H, W) of the frames as the network sees them.
        covered: size that the feature map covers, padding included, in pixels of these frames.
    """

    seen: Size
    covered: Size
    work = "decode points"

    def encode(self, t: int, given: Tensor, size: Size, grid: Size, protocol: JointProtocol) -> Tensor:
        """Return the heat-maps `(K, h, w)` of points x, y `(K, 2)` in pixels of the frame."""
        return encode_keypoints(moved(given, size, self.seen), self.covered, grid, protocol)

    def decode(self, t: int, given: Tensor | None, labels: Tensor, size: Size, protocol: JointProtocol) -> Tensor:
        """Return points x, y `(K, 2)` in pixels of the frame: the given points, else the peaks of the heat-maps."""
        if given is not None:
            return to_device(given, labels.device)
        return moved(decode_keypoints(labels, self.covered, protocol), self.seen, size)


def moved(points: Tensor, size: Size, other: Size) -> Tensor:
    """Convert x, y `(K, 2)` in pixels of frames of a size to another size; 0 is the centre of the first pixel."""
    if size == other:
        return points
    factor = torch.tensor([other[1] / size[1], other[0] / size[0]], dtype=torch.float64)
    return (points + 0.5) * to_device(factor, points.device) - 0.5


LabelCoding = MaskCoding | PointCoding
"""Conversion of a frame's annotation to labels on the feature grid, and back."""


class LabelTracker(FrameEncoder):
    """An extractor with its protocol; propagates labels through any number of videos.

    The tracker may use a copy of the extractor with folded BatchNorms, so make a new tracker after further training.

    Args:
        extractor: float RGB `(N, 3, H, W)` in [0, 1] → a map `(N, C, h, w)`.
        protocol: the protocol. The stride of the map replaces the protocol's; the protocol's name shows the change.

    Attributes:
        watch: counts the seconds of "decode", "backbone", "propagate", "decode masks" and "decode points".
        protocol: the protocol at the stride of the map.
        device: device of the extractor.

    Raises:
        ValueError: if the extractor does not name its stride, or gives several maps.
    """

    protocol: Any  # a PropagationProtocol for masks, a JointProtocol for points

    def track_masks(
        self, frames: Iterable[tuple[Tensor, Tensor | None]], starts: Mapping[int, int], size: Size
    ) -> Iterator[TrackedFrame]:
        """Follow objects through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`, with ids `(H, W)` uint8 if objects start in the frame, else None.
            starts: object id → index of the frame in which it starts.
            size: (H, W) of the frames as the network sees them; larger frames are reduced to it.

        Returns:
            Iterator of the frames with labels and masks. In the frame in which an object starts, its mask is the given
            mask, unless the protocol decodes the first mask too.
        """
        return self.track(frames, MaskCoding(size, self.covered(size), dict(sorted(starts.items()))))

    def track_points(self, frames: Iterable[Tensor], points: Tensor, size: Size) -> Iterator[TrackedFrame]:
        """Follow points through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`.
            points: x, y `(K, 2)` in frame 0, pixels; 0 is the centre of the first pixel.
            size: (H, W) of the frames as the network sees them; larger frames are reduced to it.

        Returns:
            Iterator of the frames with heat-maps and points; frame 0 has the given points.
        """
        annotated = zip(frames, chain([points], repeat(None)), strict=False)
        return self.track(annotated, PointCoding(size, self.covered(size)))

    def propagator(self, first_labels: Tensor) -> LabelPropagator:
        """Return the propagation of the labels `(L, h, w)` of frame 0; a subclass may bring its own."""
        return LabelPropagator(first_labels, self.protocol)

    @torch.no_grad()
    def track(self, frames: Iterable[tuple[Tensor, Tensor | None]], coding: LabelCoding) -> Iterator[TrackedFrame]:
        """Propagate labels through a video of any length; memory holds the protocol's window, never the video.

        On a GPU the network encodes several frames in a pass, and results arrive while later frames are propagated.

        Args:
            frames: uint8 RGB `(3, H, W)`, all of equal size, with their annotation or None; the first must have an
                annotation.
            coding: converts annotations to labels and back.

        Yields:
            The frames with their labels.

        Raises:
            ValueError: if labels are not finite.
            Stopped: between two frames, if a signal asks for it.
        """
        protocol = self.protocol
        propagator: LabelPropagator | None = None
        in_transit: deque[tuple[Tensor, PendingCopy, PendingCopy]] = deque()
        ahead: deque[tuple[Tensor, Tensor | None]] = deque()

        def images() -> Iterator[Tensor]:
            for frame, given in self.watch.timed("decode", frames):
                ahead.append((frame, given))
                yield reduced_frame(frame, coding.seen)

        for t, features in enumerate(self.encode(images())):
            frame, given = ahead.popleft()
            signals.check()
            size = (frame.shape[1], frame.shape[2])
            with self.watch("propagate", self.device):
                starting = None if given is None else coding.encode(t, given, size, grid_of(features), protocol)
                if propagator is None:
                    assert starting is not None, "the first frame gives no annotation"
                    check_map(features, getattr(self.extractor, "stage", None) or "the extractor")
                    propagator = self.propagator(starting)
                    starting = None
                labels = propagator.step(features, starting)
            with self.watch(coding.work, self.device):
                decoded = coding.decode(t, given, labels, size, protocol)
            in_transit.append((frame, PendingCopy(labels), PendingCopy(decoded)))
            if len(in_transit) == self.frames_at_once(size):
                yield TrackedFrame.arrived(*in_transit.popleft())
        while in_transit:
            yield TrackedFrame.arrived(*in_transit.popleft())
        if propagator is not None:
            propagator.check_finite()
