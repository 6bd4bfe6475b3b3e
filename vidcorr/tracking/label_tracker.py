"""Propagation of annotated masks or points to every frame of a video by the features of a network."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import signals
from ..backbones.extractor import check_map
from ..functional import LabelPropagator, decode_keypoints, decode_masks, encode_keypoints, encode_masks
from ..functional.device import PendingCopy, to_device
from ..functional.propagation.coding import NetworkInput, Size, covered_size
from ..protocols import PropagationProtocol
from .frame_encoder import FrameEncoder, Tracker, adapt_to_network, grid_of
from .stopwatch import Stopwatch


@dataclass(frozen=True)
class FrameSizes:
    """Sizes of a video's frames and of the input of the network, (H, W).

    Attributes:
        original: size of the original frames, pixels.
        reduced: size of reduced frames, before the protocol's sizing.
        covered: size that the feature map covers, padding included, in pixels of the reduced frame.
        covered_of_original: the same in pixels of the original frame.
    """

    original: Size
    reduced: Size
    covered: Size
    covered_of_original: Size

    @classmethod
    def of(cls, extractor: nn.Module, size: Size, protocol: NetworkInput, short_side: int | None = None) -> Self:
        """Return the sizes for an extractor under a protocol.

        Args:
            extractor: its attribute `multiple`, if it has one, divides the sides of the network's input.
            size: (H, W) of the frames, pixels.
            protocol: the sizing; a protocol with an input size ignores `short_side`.
            short_side: short side to which larger frames are reduced, pixels; None keeps the original size.

        Raises:
            ValueError: if short_side is below 1.
        """
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, or null for the frames' own size; got {short_side}")
        factor = 1.0
        if short_side is not None and protocol.input_size is None:
            factor = min(1.0, short_side / min(size))
        reduced = round(size[0] * factor), round(size[1] * factor)
        covered = covered_size(reduced, protocol, getattr(extractor, "multiple", 1))
        height = round(covered[0] * size[0] / reduced[0])
        width = round(covered[1] * size[1] / reduced[1])
        return cls(size, reduced, covered, (height, width))

    def reduce(self, frame: Tensor) -> Tensor:
        """Resize a frame, uint8 `(3, H, W)`, to `reduced`."""
        import cv2

        if self.reduced == self.original:
            return frame
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), self.reduced[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Resize ids `(H, W)` to `covered`: nearest pixel, background in the padding."""
        if self.reduced != self.original:
            ids = F.interpolate(ids[None, None], self.reduced, mode="nearest-exact")[0, 0]
        below = self.covered[0] - self.reduced[0]
        right = self.covered[1] - self.reduced[1]
        return F.pad(ids, (0, right, 0, below))

    def reduce_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from original to reduced pixels; 0 is the centre of the first pixel."""
        if self.reduced == self.original:
            return points
        return (points + 0.5) * self._factor - 0.5

    def restore_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from reduced to original pixels."""
        if self.reduced == self.original:
            return points
        return (points + 0.5) / to_device(self._factor, points.device) - 0.5

    @property
    def _factor(self) -> Tensor:
        across = self.reduced[1] / self.original[1]
        down = self.reduced[0] / self.original[0]
        return torch.tensor([across, down], dtype=torch.float64)


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
        starts: object id → index of the frame with its first mask, in the order of the channels.
        sizes: sizes of the frames.
        work: name of the decoding in the stopwatch's sums.
    """

    starts: Mapping[int, int]
    sizes: FrameSizes
    work = "decode masks"

    def encode(self, t: int, given: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return `(1 + objects, h, w)`, background first; after frame 0 only channels of starting objects are set."""
        labels = encode_masks(self.sizes.reduce_ids(given), list(self.starts), grid, protocol)
        return labels * self._starting(t) if t else labels

    def decode(self, t: int, given: Tensor | None, labels: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return ids `(H, W)` uint8; starting objects have their given mask, unless the protocol decodes it too."""
        objects = list(self.starts)
        sizes = self.sizes
        if given is None or protocol.first_frame == "decoded":
            return decode_masks(labels, objects, protocol, sizes.covered_of_original, sizes.original)
        ids = to_device(given, labels.device)
        if t == 0:
            return ids
        before = labels * to_device(~self._starting(t), labels.device)
        mask = decode_masks(before, objects, protocol, sizes.covered_of_original, sizes.original)
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
        sizes: sizes of the frames.
    """

    sizes: FrameSizes
    work = "decode points"

    def encode(self, t: int, given: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return the heat-maps `(K, h, w)` of points x, y `(K, 2)` in pixels of the frame."""
        seen = self.sizes.reduce_points(given)
        return encode_keypoints(seen, self.sizes.covered, grid, protocol)

    def decode(self, t: int, given: Tensor | None, labels: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return points x, y `(K, 2)` in pixels of the frame: the given points, else the peaks of the heat-maps."""
        if given is not None:
            return to_device(given, labels.device)
        found = decode_keypoints(labels, self.sizes.covered, protocol)
        return self.sizes.restore_points(found)

    def reread(self, points: Tensor, heatmaps: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return given points as decoded from their heat-maps, x, y `(K, 2)`.

        Gaussians in pixels are drawn at the input's size first, as VFS's code does for frame 0.
        """
        if protocol.keypoint_unit == "pixel":
            heatmaps = self.encode(0, points, self.sizes.covered, protocol)
        return self.decode(0, None, heatmaps, protocol)


LabelCoding = MaskCoding | PointCoding
"""Conversion of a frame's annotation to labels on the feature grid, and back."""


class LabelTracker(Tracker):
    """An extractor with its protocol; propagates labels through any number of videos.

    The tracker may use a copy of the extractor with folded BatchNorms, so make a new tracker after further training.

    Args:
        extractor: float RGB `(N, 3, H, W)` in [0, 1] → a map `(N, C, h, w)`.
        protocol: the protocol. The stride of the map replaces the protocol's; the protocol's name shows the change.
        stopwatch: counts the seconds of "decode", "backbone", "propagate", "decode masks" and "decode points".

    Attributes:
        protocol: the protocol at the stride of the map.
        device: device of the extractor.

    Raises:
        ValueError: if the extractor does not name its stride, or gives several maps.
    """

    encoder: FrameEncoder
    protocol: PropagationProtocol

    def __init__(self, extractor: nn.Module, protocol: PropagationProtocol, stopwatch: Stopwatch | None = None) -> None:
        super().__init__(extractor, adapt_to_network(protocol, extractor), stopwatch)
        self.encoder = FrameEncoder(extractor, self.protocol, self.watch)
        self.device = self.encoder.device

    def sizes(self, size: Size, short_side: int | None = None) -> FrameSizes:
        """Return the sizes at which the network sees frames of size (H, W).

        Args:
            size: (H, W) of the frames, pixels.
            short_side: short side to which larger frames are reduced, pixels; None keeps the original size.

        Raises:
            ValueError: if short_side is below 1.
        """
        return FrameSizes.of(self.extractor, size, self.protocol, short_side)

    def track_masks(
        self, frames: Iterable[tuple[Tensor, Tensor | None]], starts: Mapping[int, int], sizes: FrameSizes
    ) -> Iterator[TrackedFrame]:
        """Follow objects through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`, with ids `(H, W)` uint8 if objects start in the frame, else None.
            starts: object id → index of the frame in which it starts.
            sizes: result of `sizes` for the size of the frames.

        Returns:
            Iterator of the frames with labels and masks. In the frame in which an object starts, its mask is the given
            mask, unless the protocol decodes the first mask too.
        """
        return self.track(frames, MaskCoding(dict(sorted(starts.items())), sizes), sizes)

    def track_points(self, frames: Iterable[Tensor], points: Tensor, sizes: FrameSizes) -> Iterator[TrackedFrame]:
        """Follow points through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`.
            points: x, y `(K, 2)` in frame 0, pixels; 0 is the centre of the first pixel.
            sizes: result of `sizes` for the size of the frames.

        Returns:
            Iterator of the frames with heat-maps and points; frame 0 has the given points.
        """
        return self.track(zip(frames, chain([points], repeat(None)), strict=False), PointCoding(sizes), sizes)

    @torch.no_grad()
    def track(
        self, frames: Iterable[tuple[Tensor, Tensor | None]], coding: LabelCoding, sizes: FrameSizes
    ) -> Iterator[TrackedFrame]:
        """Propagate labels through a video of any length; memory holds the protocol's window, never the video.

        On a GPU the network encodes chunks of frames, in parallel with the propagation of the chunk before.

        Args:
            frames: uint8 RGB `(3, H, W)`, all of equal size, with their annotation or None; the first must have an
                annotation.
            coding: converts annotations to labels and back.
            sizes: result of `sizes` for the size of the frames.

        Yields:
            The frames with their labels.

        Raises:
            ValueError: if the first frame has no annotation, or labels are not finite.
            Stopped: between two frames, if a signal asks for it.
        """
        per_pass = self.encoder.frames_at_once(sizes.reduced)
        protocol = self.protocol
        propagator: LabelPropagator | None = None
        in_transit: deque[tuple[Tensor, PendingCopy, PendingCopy]] = deque()
        read = self.watch.timed("decode", frames)
        encoded = self.encoder.encode(read, per_pass, image=lambda annotated: sizes.reduce(annotated[0]))
        for t, ((frame, given), features) in enumerate(encoded):
            signals.check()
            with self.watch("propagate", self.device):
                starting = None if given is None else coding.encode(t, given, grid_of(features), protocol)
                if propagator is None:
                    if starting is None:
                        raise ValueError("the first frame gives no annotation: there is nothing to follow")
                    check_map(features, getattr(self.extractor, "stage", None) or "the extractor")
                    propagator = LabelPropagator(starting, protocol)
                    starting = None
                labels = propagator.step(features, starting)
            with self.watch(coding.work, self.device):
                decoded = coding.decode(t, given, labels, protocol)
            in_transit.append((frame, PendingCopy(labels), PendingCopy(decoded)))
            if len(in_transit) == per_pass:
                yield TrackedFrame.arrived(*in_transit.popleft())
        while in_transit:
            yield TrackedFrame.arrived(*in_transit.popleft())
        if propagator is not None:
            propagator.check_finite()
