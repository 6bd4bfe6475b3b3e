"""Propagation of annotated masks or points to every frame of a video by the features of a network."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from .. import signals
from ..backbones.extractor import check_map
from ..functional import (
    LabelPropagator,
    PropagationProtocol,
    decode_keypoints,
    decode_masks,
    encode_keypoints,
    encode_masks,
)
from ..functional.device import PendingCopy, to_device
from ..functional.propagation.coding import Size
from ..functional.propagation.search import shared_finders
from .frame_encoder import FrameEncoder, Maps, Stopwatch, View, adapt_to_network, maps_of


class TrackedFrame(NamedTuple):
    """A frame with its results on the CPU; labels and decoded labels have a tensor per output of the tracker.

    Attributes:
        frame: the input frame, uint8 RGB `(3, H, W)`.
        labels: soft labels `(L, h, w)`: masks with the background first, or heat-maps of points.
        decoded: masks as uint8 ids `(H, W)`; or points, x, y `(K, 2)` in pixels of the frame, (−1, −1): not found.
    """

    frame: Tensor
    labels: list[Tensor]
    decoded: list[Tensor]

    @classmethod
    def arrived(cls, frame: Tensor, labels: Iterable[PendingCopy], decoded: Iterable[PendingCopy]) -> Self:
        """Wait until the copies of the results are on the CPU."""
        return cls(frame, [copy.wait() for copy in labels], [copy.wait() for copy in decoded])


@dataclass(frozen=True)
class MaskCoding:
    """Object masks as labels: a channel for the background, then a channel per object.

    Attributes:
        starts: object id → index of the frame with its first mask, in the order of the channels.
        view: sizes of the video.
        work: name of the decoding in the stopwatch's sums.
    """

    starts: Mapping[int, int]
    view: View
    work = "decode masks"

    def encode(self, t: int, given: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return `(1 + objects, h, w)`, background first; after frame 0 only channels of starting objects are set."""
        labels = encode_masks(self.view.reduce_ids(given), list(self.starts), grid, protocol)
        return labels * self._starting(t) if t else labels

    def decode(self, t: int, given: Tensor | None, labels: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return ids `(H, W)` uint8; starting objects have their given mask, unless the protocol decodes it too."""
        objects, view = list(self.starts), self.view
        if given is None or protocol.first_frame == "decoded":
            return decode_masks(labels, objects, protocol, view.covered_of_own, view.own)
        ids = to_device(given, labels.device)
        if t == 0:
            return ids
        before = labels * to_device(~self._starting(t), labels.device)
        mask = decode_masks(before, objects, protocol, view.covered_of_own, view.own)
        starting = [number for number, start in self.starts.items() if start == t]
        return torch.where(torch.isin(ids, to_device(starting, ids.device).to(ids.dtype)), ids, mask)

    def _starting(self, t: int) -> Tensor:
        """Return True for the channels of objects that start in frame `t`, bool `(1 + objects, 1, 1)`."""
        return torch.tensor([False, *(start == t for start in self.starts.values())])[:, None, None]


@dataclass(frozen=True)
class PointCoding:
    """Points as heat-maps, with a Gaussian by the protocol.

    Attributes:
        view: sizes of the video.
    """

    view: View
    work = "decode points"

    def encode(self, t: int, given: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return the heat-maps `(K, h, w)` of points x, y `(K, 2)` in pixels of the frame."""
        seen = self.view.reduce_points(given)
        return encode_keypoints(seen, self.view.covered, grid, protocol)

    def decode(self, t: int, given: Tensor | None, labels: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return points x, y `(K, 2)` in pixels of the frame: the given points, else the peaks of the heat-maps."""
        if given is not None:
            return to_device(given, labels.device)
        found = decode_keypoints(labels, self.view.covered, protocol)
        return self.view.restore_points(found)

    def reread(self, points: Tensor, heatmaps: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return given points as decoded from their heat-maps, x, y `(K, 2)`.

        Gaussians in pixels are drawn at the input's size first, as VFS's code does for frame 0.
        """
        if protocol.keypoint_unit == "pixel":
            heatmaps = self.encode(0, points, self.view.covered, protocol)
        return self.decode(0, None, heatmaps, protocol)


LabelCoding = MaskCoding | PointCoding
"""Conversion of a frame's annotation to labels on the feature grid, and back."""


class LabelTracker:
    """An extractor with its protocols; propagates labels through any number of videos.

    The tracker may use a copy of the extractor with folded BatchNorms, so make a new tracker after further training.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: a protocol, or several that see frames alike: they share the features, and the matches if possible,
            see `shared_finders`. The stride of a map replaces the protocol's; the protocol's name shows the change.
        stopwatch: counts the seconds of "decode", "backbone", "propagate", "decode masks" and "decode points".

    Attributes:
        stages: name of the map of each output, an output per map and protocol; empty for a single map.
        protocols: protocol of each output.
        device: device of the extractor.

    Raises:
        ValueError: if the extractor does not name its stride, or several protocols see frames differently.
    """

    def __init__(
        self,
        extractor: nn.Module,
        protocol: PropagationProtocol | Sequence[PropagationProtocol],
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self._maps = maps_of(extractor)
        chosen = [protocol] if isinstance(protocol, PropagationProtocol) else list(protocol)
        if len({rules.values_of("pass") for rules in chosen}) > 1:
            raise ValueError(
                "protocols with other input sizes or rules for masks cannot share a pass of the network: run them apart"
            )
        self._of_map = [[adapt_to_network(rules, extractor, stride) for rules in chosen] for _, stride in self._maps]
        self.protocols = [rules for of_map in self._of_map for rules in of_map]
        self._map_indices = [index for index, of_map in enumerate(self._of_map) for _ in of_map]
        self.stages = [stage for stage, _ in self._maps for _ in chosen]
        self.watch = stopwatch or Stopwatch()
        self.encoder = FrameEncoder(extractor, self.protocols[0], self.watch)
        self.device = self.encoder.device
        self.extractor = extractor

    def view(self, size: Size, short_side: int | None = None) -> View:
        """Return the sizes at which the network sees frames of size (H, W); see `View.of`."""
        return View.of(self.extractor, size, self.protocols[0], short_side)

    def track_masks(
        self,
        frames: Iterable[tuple[Tensor, Tensor | None]],
        starts: Mapping[int, int],
        view: View,
    ) -> Iterator[TrackedFrame]:
        """Follow objects through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`, with ids `(H, W)` uint8 if objects start in the frame, else None.
            starts: object id → index of the frame in which it starts.
            view: see `view`.

        Returns:
            Iterator of the frames with labels and masks. In the frame in which an object starts, its mask is the given
            mask, unless the protocol decodes the first mask too.
        """
        return self.track(frames, MaskCoding(dict(sorted(starts.items())), view), view)

    def track_points(self, frames: Iterable[Tensor], points: Tensor, view: View) -> Iterator[TrackedFrame]:
        """Follow points through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`.
            points: x, y `(K, 2)` in frame 0, pixels; 0 is the centre of the first pixel.
            view: see `view`.

        Returns:
            Iterator of the frames with heat-maps and points; frame 0 has the given points.
        """
        return self.track(zip(frames, chain([points], repeat(None)), strict=False), PointCoding(view), view)

    @torch.no_grad()
    def track(
        self,
        frames: Iterable[tuple[Tensor, Tensor | None]],
        coding: LabelCoding,
        view: View,
    ) -> Iterator[TrackedFrame]:
        """Propagate labels through a video of any length; memory holds the protocol's window, never the video.

        On a GPU the network encodes chunks of frames, in parallel with the propagation of the chunk before.

        Args:
            frames: uint8 RGB `(3, H, W)`, all of equal size, with their annotation or None; the first must have an
                annotation.
            coding: converts annotations to labels and back.
            view: see `view`.

        Yields:
            The frames with their labels.

        Raises:
            ValueError: if the first frame has no annotation, or labels are not finite.
            Stopped: between two frames, if a signal asks for it.
        """
        per_pass = self.encoder.frames_at_once(view.seen)
        propagators: list[LabelPropagator] = []
        in_transit: deque[tuple[Tensor, list[PendingCopy], list[PendingCopy]]] = deque()
        read = self.watch.timed("decode", frames)
        encoded = self.encoder.encode(read, per_pass, image=lambda annotated: view.reduce(annotated[0]))
        for t, ((frame, given), maps) in enumerate(encoded):
            signals.check()
            features = [maps[index] for index in self._map_indices]
            entering: list[Tensor | None] = [None] * len(features)
            with self.watch("propagate", self.device):
                if t == 0:
                    propagators = self._begin(given, coding, maps, view)
                elif given is not None:
                    entering = [*self._encode(t, given, coding, features)]
                steps = zip(propagators, features, entering, strict=True)
                labels = [propagator.step(found, new) for propagator, found, new in steps]
            with self.watch(coding.work, self.device):
                pairs = zip(labels, self.protocols, strict=True)
                decoded = [coding.decode(t, given, soft, protocol) for soft, protocol in pairs]
            in_transit.append((frame, list(map(PendingCopy, labels)), list(map(PendingCopy, decoded))))
            if len(in_transit) == per_pass:
                yield TrackedFrame.arrived(*in_transit.popleft())
        while in_transit:
            yield TrackedFrame.arrived(*in_transit.popleft())
        for propagator in propagators:
            propagator.check_finite()

    def _begin(self, given: Tensor | None, coding: LabelCoding, maps: Maps, view: View) -> list[LabelPropagator]:
        """Check the maps of frame 0, and return a propagator per output with the labels of frame 0."""
        if given is None:
            raise ValueError("the first frame gives no annotation: there is nothing to follow")
        for features, (stage, _) in zip(maps, self._maps, strict=True):
            check_map(features, stage or "the extractor")
        first_labels = self._encode(0, given, coding, [maps[index] for index in self._map_indices])
        finders = [finder for of_map in self._of_map for finder in shared_finders(of_map)]
        return [LabelPropagator(*begin) for begin in zip(first_labels, self.protocols, finders, strict=True)]

    def _encode(self, t: int, given: Tensor, coding: LabelCoding, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the labels of frame `t`'s annotation on the grid of each output."""
        grids = [(found.shape[-2], found.shape[-1]) for found in features]
        return [coding.encode(t, given, grid, rules) for grid, rules in zip(grids, self.protocols, strict=True)]
