"""The engine: labels given in some frames of a video, carried to every frame by the features of an extractor."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_modules.backbones import Normalise, shared_copy
from lightning_modules.functional import LabelPropagator, PropagationProtocol
from lightning_modules.functional.propagation.sharing import SharedMatches, matching_groups
from lightning_modules.functional.propagation.sizing import NetworkInput, Size, backbone_autocast, fit_input

from .. import signals
from .stopwatch import Stopwatch
from .view import View


class Annotation(Protocol):
    """Labels that a frame gives: in frame 0 those to carry, later those of objects that start there."""

    def encode(self, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return the labels `(L, h, w)` on a feature grid of size (h, w)."""


LEAST_CELLS = 4
"""Smallest side of a feature map, in cells; smaller maps, such as the pooled vector of a classifier, are refused."""

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


@runtime_checkable
class CanFold(Protocol):
    """An extractor that can make a faster copy of itself, its BatchNorms folded into its convolutions."""

    def folded(self) -> nn.Module: ...


@runtime_checkable
class InterpolatesPositions(Protocol):
    """A transformer's extractor, which can interpolate its position embedding by another rule than the network's."""

    positions: str


class LabelTracker:
    """An extractor with one or more protocols, ready to carry labels through any number of videos.

    Where the extractor can fold its BatchNorms a folded copy is used, so make a new tracker when it has learned.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: taken at the stride of each map; where that is not its own stride, its name says so. Several protocols
            that see frames alike share the features, and the matches where they can, see `matching_groups`.
        stopwatch: counts the seconds of "decode", "backbone" and "propagate".

    Attributes:
        stages: a name for each result: that of the map (empty for an extractor of one map), and with several protocols
            that of the protocol.
        protocols: of each result.
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
    ) -> None:
        stride: Any = getattr(extractor, "stride", None)
        strides = stride if isinstance(stride, list) else [stride]
        if not all(isinstance(item, int) for item in strides):
            raise ValueError(f"label propagation needs the stride of each feature map, got {stride}")
        names = getattr(extractor, "stage", None)
        self._map_names: list[str] = names if isinstance(names, list) else [""] * len(strides)
        chosen = [protocol] if isinstance(protocol, PropagationProtocol) else list(protocol)
        if len({seen_by(each) for each in chosen}) > 1:
            raise ValueError("protocols that see frames differently cannot share one pass of the network")
        self._map_of = [number for number in range(len(strides)) for _ in chosen]
        self.protocols = [at_stride(each, stride) for stride in strides for each in chosen]
        several = len(chosen) > 1
        self.stages: list[str] = [
            "/".join(filter(None, (m, several * p.name))) for m in self._map_names for p in chosen
        ]
        self.watch = stopwatch or Stopwatch()
        self.device = next(extractor.parameters(), next(extractor.buffers(), torch.zeros(()))).device
        self.extractor = extractor
        self._folded: nn.Module | None = None
        self._propagators: list[LabelPropagator] = []
        self._loaded = False

    def state(self) -> list[dict[str, Any]]:
        """Return what the newest `track` keeps of its frames so far, in tensors and plain numbers, for `load`."""
        return [propagator.state() for propagator in self._propagators]

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Let the next `track` go on from a `state`: its first frame is then the one after, and gives no annotation."""
        self._propagators = self._begin([state["first_labels"].to(self.device) for state in states])
        for propagator, state in zip(self._propagators, states, strict=True):
            propagator.load(state)
        self._loaded = True

    def view(self, size: Size, short_side: int | None = None) -> View:
        """Return the sizes at which frames of size (H, W) are seen; see `View.of`."""
        return View.of(self.extractor, size, self.protocols[0], short_side)

    @torch.inference_mode()
    def track(self, frames: Iterable[tuple[Tensor, A | None]], view: View) -> Iterator[LabelledFrame[A]]:
        """Carry labels through a video of any length; memory holds the protocol's window, never the video.

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
        for frame, annotation in self.watch.timed("decode", frames):
            signals.check()
            maps = self._maps(view.reduce(frame))
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

    def _maps(self, frame: Tensor) -> list[Tensor]:
        """Return the features of a frame, `(C, h, w)` float32 for each map."""
        protocol, multiple = self.protocols[0], getattr(self.extractor, "multiple", 1)
        with self.watch("backbone", self.device), backbone_autocast(protocol, self.device):
            if self._folded is None:
                self._folded = view_for(self.extractor, protocol)
            output = self._folded(fit_input(frame[None], protocol, multiple, self.device))
            maps = [item[0].float() for item in ([output] if isinstance(output, Tensor) else output)]
        for stage, features in zip(self._map_names, maps, strict=True):
            if min(features.shape[-2:]) < LEAST_CELLS:
                size = " × ".join(map(str, features.shape[-2:]))
                raise ValueError(
                    f"the features{f' of {stage}' if stage else ''} have {size} cells for a frame of "
                    f"{frame.shape[-2]} × {frame.shape[-1]} px: labels need at least {LEAST_CELLS} × {LEAST_CELLS}; "
                    "name an earlier stage or a smaller stride"
                )
        return maps

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
                    matches = SharedMatches([self.protocols[of_map[place]] for place in group])
                    for place in group:
                        shared[of_map[place]] = matches
        pairs = zip(labels, self.protocols, shared, strict=True)
        return [LabelPropagator(first, protocol, shared=matches) for first, protocol, matches in pairs]


def seen_by(protocol: PropagationProtocol) -> tuple[object, ...]:
    """Return the fields that say what the network sees; protocols that agree in them can share its features."""
    names = [field.name for field in dataclasses.fields(NetworkInput) if field.name != "name"]
    return tuple(getattr(protocol, name) for name in (*names, "resized_data"))


def at_stride(protocol: PropagationProtocol, stride: int) -> PropagationProtocol:
    """Return the protocol for features of a stride; where that is not its own stride, its name says so."""
    return protocol if stride == protocol.feature_stride else protocol.with_changes(feature_stride=stride)


def view_for(extractor: nn.Module, protocol: NetworkInput) -> nn.Module:
    """Return the extractor as a protocol wants it: with the protocol's RGB normalisation, and BatchNorms folded.

    The extractor itself stays as it is. A folded view has weights of its own.

    Args:
        extractor: see `build_feature_extractor`.
        protocol: its `rgb_mean` and `rgb_std` replace those of every `Normalise` of the extractor, and a transformer's
            position embedding is interpolated by its rule.

    Raises:
        ValueError: if the protocol asks for a mean or deviation and the extractor has no `Normalise`.
    """
    if protocol.position_embedding == "dino" and isinstance(extractor, InterpolatesPositions):
        extractor = shared_copy(extractor)
        extractor.positions = "dino"
    constants = {"rgb_mean": protocol.rgb_mean, "rgb_std": protocol.rgb_std}
    if wanted := {field: constant for field, constant in constants.items() if constant is not None}:
        extractor = shared_copy(extractor)
        found = [module for module in extractor.modules() if isinstance(module, Normalise)]
        if not found:
            raise ValueError(
                f"protocol {protocol.name!r} normalises RGB by {' and '.join(wanted)}, but "
                f"{type(extractor).__name__} does not normalise RGB; set changes to "
                f"{{{', '.join(f'{field}: null' for field in wanted)}}}"
            )
        for module in found:
            for field, constant in wanted.items():
                buffer = field.removeprefix("rgb_")
                setattr(module, buffer, torch.tensor(constant).view(-1, 1, 1).to(getattr(module, buffer)))
    return extractor.folded() if isinstance(extractor, CanFold) else extractor
