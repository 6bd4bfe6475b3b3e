"""The engine: labels given in some frames of a video, carried to every frame by the features of an extractor."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from lightning_modules.backbones.extractor import check_map
from lightning_modules.functional import LabelPropagator, PropagationProtocol
from lightning_modules.functional.propagation.sharing import SharedMatches, matching_groups
from lightning_modules.functional.propagation.sizing import NetworkInput, Size, resized_size

from .. import signals
from .chunks import frames_at_once, in_chunks
from .frame_encoder import FrameEncoder, PendingMaps, SideStream, device_of
from .stopwatch import Stopwatch
from .view import View, at_stride, maps_of


class Annotation(Protocol):
    """Labels that a frame gives: in frame 0 those to carry, later those of objects that start there."""

    def encode(self, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return the labels `(L, h, w)` on a feature grid of size (h, w)."""


A = TypeVar("A", bound=Annotation)


class LabelledFrame(NamedTuple, Generic[A]):
    """A frame with its labels.

    Attributes:
        frame: uint8 RGB `(3, H, W)`, as it came.
        annotation: the one that came with it, or None.
        labels: `(L, h, w)` for each of the extractor's maps.
    """

    frame: Tensor
    annotation: A | None
    labels: list[Tensor]


class LabelTracker:
    """An extractor with one or more protocols, ready to carry labels through any number of videos.

    Where the extractor can fold its BatchNorms a folded copy is used, so make a new tracker when it has learned.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: taken at the stride of each map; where that differs from its own stride, its name shows it. Several
            protocols that see frames alike share the features, and the matches where they can, see `matching_groups`.
        stopwatch: counts the seconds of "decode", "backbone" and "propagate".
        at_once: frames per pass of the network, the next of which are encoded ahead; None: as the device
            wants, see `frames_at_once`.

    Attributes:
        stages: a name for each result: that of the map (empty for an extractor of one map), and with several protocols
            that of the protocol.
        protocols: protocols of each result.
        device: that of the extractor.

    Raises:
        ValueError: if the extractor does not name its stride, or lacks the normalisation that the protocol changes; if
            several protocols see frames differently.
    """

    def __init__(
        self,
        extractor: nn.Module,
        protocol: PropagationProtocol | Sequence[PropagationProtocol],
        stopwatch: Stopwatch | None = None,
        at_once: int | None = None,
    ) -> None:
        self._maps = maps_of(extractor)
        chosen = [protocol] if isinstance(protocol, PropagationProtocol) else list(protocol)
        if len({seen_by(each) for each in chosen}) > 1:
            raise ValueError("protocols that see frames differently cannot share one pass of the network")
        self._map_of = [number for number in range(len(self._maps)) for _ in chosen]
        self.protocols = [at_stride(each, stride) for _, stride in self._maps for each in chosen]
        several = len(chosen) > 1
        self.stages: list[str] = [
            "/".join(filter(None, (self._maps[number].stage, several * rules.name)))
            for number, rules in zip(self._map_of, self.protocols, strict=True)
        ]
        self.watch = stopwatch or Stopwatch()
        self.device = device_of(extractor)
        self.extractor = extractor
        self._at_once = at_once
        self._propagators: list[LabelPropagator] = []
        self._loaded = False

    def state(self) -> list[dict[str, Any]]:
        """Return the state of the newest `track` in tensors and plain numbers, the input of `load`."""
        return [propagator.state() for propagator in self._propagators]

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Let the next `track` resume from a `state`: its first frame is then the one after, without annotation."""
        self._propagators = self._begin([state["first_labels"].to(self.device) for state in states])
        for propagator, state in zip(self._propagators, states, strict=True):
            propagator.load(state)
        self._loaded = True

    def view(self, size: Size, short_side: int | None = None) -> View:
        """Return the sizes at which frames of size (H, W) are seen; see `View.of`."""
        return View.of(self.extractor, size, self.protocols[0], short_side)

    def frames_per_pass(self, view: View) -> int:
        """Return how many frames of a video pass through the network together."""
        return self._at_once or frames_at_once(self.device, resized_size(view.seen, self.protocols[0]))

    @torch.inference_mode()
    def track(self, frames: Iterable[tuple[Tensor, A | None]], view: View) -> Iterator[LabelledFrame[A]]:
        """Carry labels through a video of any length; memory holds the protocol's window, never the video.

        On a GPU frames are encoded in chunks, the next one in parallel with the propagation of the current one.

        Args:
            frames: uint8 RGB `(3, H, W)` each, all of one size, with the annotation that each gives; the first must
                give one.
            view: see `view`.

        Yields:
            Each frame with what came with it, and its labels.

        Raises:
            ValueError: if the first frame gives no annotation.
            Stopped: between two frames, if a signal asks for it.
        """
        propagators, self._loaded = self._propagators if self._loaded else [], False
        self._propagators = propagators
        for frame, annotation, maps in self._encoded(self.watch.timed("decode", frames), view):
            signals.check()
            with self.watch("propagate", self.device):
                features = [maps[number] for number in self._map_of]
                given: list[Tensor | None] = [None] * len(features)
                if annotation is not None:
                    pairs = zip(features, self.protocols, strict=True)
                    given = [annotation.encode((m.shape[-2], m.shape[-1]), p) for m, p in pairs]
                if not propagators:
                    propagators = self._propagators = self._begin(given)
                    given = [None] * len(features)
                labels = [p.step(m, g) for p, m, g in zip(propagators, features, given, strict=True)]
            yield LabelledFrame(frame, annotation, labels)
        for propagator in propagators:
            propagator.check_finite()

    @cached_property
    def _encoder(self) -> FrameEncoder:
        return FrameEncoder(self.extractor, self.protocols[0], self.watch)

    def _encoded(
        self, frames: Iterable[tuple[Tensor, A | None]], view: View
    ) -> Iterator[tuple[Tensor, A | None, list[Tensor]]]:
        """Yield frames with the annotation that each gives and its features, `(C, h, w)` for each map."""
        encoder, side_stream = self._encoder, SideStream(self.device)

        def begin(chunk: list[tuple[Tensor, A | None]]) -> tuple[list[tuple[Tensor, A | None]], PendingMaps]:
            return chunk, side_stream.start(lambda: encoder([view.reduce(frame) for frame, _ in chunk]))

        for chunk, encoded in in_chunks(frames, self.frames_per_pass(view), begin):
            for (frame, annotation), maps in zip(chunk, encoded(), strict=True):
                for features, (stage, _) in zip(maps, self._maps, strict=True):
                    check_map(features, view.seen, stage or "the extractor")
                yield frame, annotation, maps

    def _begin(self, given: Sequence[Tensor | None]) -> list[LabelPropagator]:
        """Return a propagator for each result; those of one map and one group share their matches."""
        labels = [item for item in given if item is not None]
        if len(labels) < len(self.protocols):
            raise ValueError("the first frame gives no annotation: there is nothing to follow")
        shared: list[SharedMatches | None] = [None] * len(labels)
        for number in sorted(set(self._map_of)):
            of_map = [index for index, of in enumerate(self._map_of) if of == number]
            for group in matching_groups([self.protocols[index] for index in of_map]):
                if len(group) > 1:
                    matches = SharedMatches([self.protocols[of_map[index]] for index in group])
                    for index in group:
                        shared[of_map[index]] = matches
        pairs = zip(labels, self.protocols, shared, strict=True)
        return [LabelPropagator(first, protocol, shared=matches) for first, protocol, matches in pairs]


def seen_by(protocol: PropagationProtocol) -> tuple[object, ...]:
    """Return the fields that say what the network sees; protocols that agree in them can share its features."""
    names = [field.name for field in dataclasses.fields(NetworkInput) if field.name != "name"]
    return tuple(getattr(protocol, name) for name in (*names, "resized_data"))
