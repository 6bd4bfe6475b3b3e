"""Labels given in some frames of a video, masks or points, propagated to every frame by the features of a network."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.backbones.extractor import check_map
from lightning_modules.functional import (
    LabelPropagator,
    PropagationProtocol,
    decode_keypoints,
    decode_masks,
    encode_keypoints,
    encode_masks,
)
from lightning_modules.functional.device import PendingCopy, to_device
from lightning_modules.functional.propagation.references import shared_finders
from lightning_modules.functional.propagation.sizing import NetworkInput, Size

from ..process import signals
from .frame_encoder import FrameEncoder, View, for_network, maps_of
from .stopwatch import Stopwatch


class TrackedFrame(NamedTuple):
    """A frame with what was propagated to it, on the CPU; of each kind one tensor for each result of the tracker.

    Attributes:
        frame: uint8 RGB `(3, H, W)`, as it came.
        labels: soft labels `(L, h, w)`: of masks the background first, of points their heat-maps.
        decoded: masks as uint8 ids `(H, W)`; or points, x, y `(K, 2)` in pixels of the frame, (−1, −1): not found.
    """

    frame: Tensor
    labels: list[Tensor]
    decoded: list[Tensor]


@dataclass(frozen=True)
class MaskCoding:
    """Object masks as one label for each object, and one for the background.

    Attributes:
        starts: object id → number of the frame whose mask introduces it, in the order of the channels.
        view: sizes of the video.
        work: name of the decoding in the stopwatch's sums.
    """

    starts: Mapping[int, int]
    view: View
    work = "decode masks"

    def encode(self, t: int, given: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return `(1 + objects, h, w)`, background first; after frame 0 all channels but those that start are zero."""
        labels = encode_masks(self.view.reduce_ids(given), list(self.starts), grid, protocol)
        return labels * self._starting(t) if t else labels

    def decode(self, t: int, given: Tensor | None, labels: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return ids `(H, W)` uint8: those given where objects start, unless the protocol decodes them too."""
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
        """Return the channels of the objects that start in frame `t`, bool `(1 + objects, 1, 1)`."""
        return torch.tensor([False, *(start == t for start in self.starts.values())])[:, None, None]


@dataclass(frozen=True)
class PointCoding:
    """Points as one heat-map each, a Gaussian by the protocol.

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
        """Return points x, y `(K, 2)` in pixels of the frame: those given, else those read from their heat-maps."""
        if given is not None:
            return to_device(given, labels.device)
        found = decode_keypoints(labels, self.view.covered, protocol)
        return self.view.restore_points(found)

    def reread(self, points: Tensor, heatmaps: Tensor, protocol: PropagationProtocol) -> Tensor:
        """Return given points as they are read from their own heat-maps, x, y `(K, 2)`.

        With Gaussians in pixels they are drawn at the input's size first, as VFS's code does for frame 0.
        """
        if protocol.keypoint_unit == "pixel":
            heatmaps = self.encode(0, points, self.view.covered, protocol)
        return self.decode(0, None, heatmaps, protocol)


LabelCoding = MaskCoding | PointCoding
"""Rules by which what is given in a frame becomes labels on the feature grid, and is read from them again."""


class LabelTracker:
    """An extractor with one or more protocols, ready to propagate labels through any number of videos.

    Where the extractor can fold its BatchNorms a folded copy is used, so make a new tracker when it has learned.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: taken at the stride of each map; where that differs from its own stride, its name shows it. Several
            protocols that see frames alike share the features, and the matches where they can, see `shared_finders`.
        stopwatch: counts the seconds of "decode", "backbone", "propagate", "decode masks" and "decode points".

    Attributes:
        stages: a name for each result: that of the map (empty for an extractor of one map), and with several protocols
            that of the protocol.
        protocols: protocols of each result.
        device: that of the extractor.

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
        if len({seen_by(each) for each in chosen}) > 1:
            raise ValueError(
                "protocols that see frames, or score masks, differently cannot share one pass of the network"
            )
        self._of_map = [[for_network(each, extractor, stride) for each in chosen] for _, stride in self._maps]
        self.protocols = [rules for of_map in self._of_map for rules in of_map]
        stages = [stage for stage, _ in self._maps for _ in chosen]
        names = [rules.name if len(chosen) > 1 else "" for rules in self.protocols]
        self.stages = ["/".join(filter(None, pair)) for pair in zip(stages, names, strict=True)]
        self.watch = stopwatch or Stopwatch()
        self.encoder = FrameEncoder(extractor, self.protocols[0], self.watch)
        self.device = self.encoder.device
        self.extractor = extractor

    def view(self, size: Size, short_side: int | None = None) -> View:
        """Return the sizes at which frames of size (H, W) are seen; see `View.of`."""
        return View.of(self.extractor, size, self.protocols[0], short_side)

    def track_masks(
        self,
        frames: Iterable[tuple[Tensor, Tensor | None]],
        starts: Mapping[int, int],
        view: View,
    ) -> Iterator[TrackedFrame]:
        """Follow objects through a video; where an object starts, its mask is the given one.

        Args:
            frames: uint8 RGB `(3, H, W)`, and ids `(H, W)` uint8 where the frame introduces objects, else None.
            starts: object id → number of the frame whose ids introduce it.
            view: see `view`.

        Returns:
            Iterator of each frame with its labels and masks; frame 0 has the given mask, unless the protocol decodes
            it.
        """
        return self.track(frames, MaskCoding(dict(sorted(starts.items())), view), view)

    def track_points(self, frames: Iterable[Tensor], points: Tensor, view: View) -> Iterator[TrackedFrame]:
        """Follow points through a video.

        Args:
            frames: uint8 RGB `(3, H, W)` each.
            points: x, y `(K, 2)` of frame 0, pixels; 0 is the centre of the first pixel.
            view: see `view`.

        Returns:
            Iterator of each frame with its heat-maps and points; frame 0 has the given points.
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

        On a GPU frames are encoded in chunks, the next one in parallel with the propagation of the current one.

        Args:
            frames: uint8 RGB `(3, H, W)` each, all of one size, with what each gives; the first must give something.
            coding: makes labels of what is given.
            view: see `view`.

        Yields:
            Each frame with its labels.

        Raises:
            ValueError: if the first frame gives nothing.
            Stopped: between two frames, if a signal asks for it.
        """
        propagators: list[LabelPropagator] = []
        finders = [finder for of_map in self._of_map for finder in shared_finders(of_map)]
        per_pass = self.encoder.frames_at_once(view.seen)
        read, finished = deque[tuple[Tensor, Tensor | None]](), deque[tuple[Tensor, list[PendingCopy]]]()

        def seen() -> Iterator[Tensor]:
            for frame, given in self.watch.timed("decode", frames):
                read.append((frame, given))
                yield view.reduce(frame)

        def arrived() -> TrackedFrame:
            frame, copies = finished.popleft()
            tensors = [copy.wait() for copy in copies]
            return TrackedFrame(frame, tensors[: len(self.stages)], tensors[len(self.stages) :])

        for t, maps in enumerate(self.encoder.encode(seen(), per_pass)):
            signals.check()
            frame, given = read.popleft()
            if t == 0:
                if given is None:
                    raise ValueError("the first frame gives no annotation: there is nothing to follow")
                for features, (stage, _) in zip(maps, self._maps, strict=True):
                    check_map(features, view.seen, stage or "the extractor")
            features_of = [features for features, of_map in zip(maps, self._of_map, strict=True) for _ in of_map]
            labels: list[Tensor] = []
            with self.watch("propagate", self.device):
                for number, (features, protocol) in enumerate(zip(features_of, self.protocols, strict=True)):
                    grid = features.shape[-2], features.shape[-1]
                    new = None if given is None else coding.encode(t, given, grid, protocol)
                    if t == 0 and new is not None:
                        propagators.append(LabelPropagator(new, protocol, finders[number]))
                    labels.append(propagators[number].step(features, new if t else None))
            with self.watch(coding.work, self.device):
                pairs = zip(labels, self.protocols, strict=True)
                decoded = [coding.decode(t, given, each, protocol) for each, protocol in pairs]
            finished.append((frame, [PendingCopy(each) for each in (*labels, *decoded)]))
            if len(finished) >= per_pass:
                yield arrived()
        while finished:
            yield arrived()
        for propagator in propagators:
            propagator.check_finite()


def seen_by(protocol: PropagationProtocol) -> tuple[object, ...]:
    """Return the fields that say what the network sees and how masks are scored; protocols share a pass by them."""
    names = [field.name for field in dataclasses.fields(NetworkInput) if field.name != "name"]
    return tuple(getattr(protocol, name) for name in (*names, "resized_data", "scoring"))
