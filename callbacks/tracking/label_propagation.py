"""Labels of the first frame carried through a video by the features of an extractor."""

import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_modules.backbones import Normalise, share
from lightning_modules.functional import LabelPropagator, PropagationProtocol
from lightning_modules.functional.propagation.sizing import Size, covered_size, fit_input

from ..benchmarks.base import BenchmarkCallback
from ..benchmarks.ranks import Ranks

Encode = Callable[[int, Size, PropagationProtocol], Tensor | None]
"""Frame number, size of the feature map and protocol → labels `(L, h, w)` that this frame brings, or None."""


@runtime_checkable
class CanFold(Protocol):
    """An extractor that can make a faster copy of itself, its BatchNorms folded into its convolutions."""

    def folded(self) -> nn.Module: ...


class Stopwatch:
    """Seconds per kind of work; on a GPU it waits for the work to end, so that each kind gets its own."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, work: str, device: torch.device | None = None) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds[work] += time.perf_counter() - began

    def timed(self, work: str, items: Iterable[Tensor]) -> Iterator[Tensor]:
        """The same items, the time to get each of them counted."""
        iterator = iter(items)
        while True:
            with self(work):
                item = next(iterator, None)
            if item is None:
                return
            yield item


def view_for(extractor: nn.Module, protocol: PropagationProtocol) -> nn.Module:
    """The extractor as a protocol wants it: with the protocol's RGB deviation, and as fast as it can be made.

    The extractor itself stays as it is. Where it can fold its BatchNorms into its convolutions the view has weights of
    its own, so take a new one when the network has learned.

    Args:
        extractor: see `build_feature_extractor`.
        protocol: its `rgb_mean` and `rgb_std` replace those of every `Normalise` of the extractor.

    Raises:
        ValueError: if the protocol asks for a mean or deviation and the extractor has no `Normalise`.
    """
    constants = {"rgb_mean": protocol.rgb_mean, "rgb_std": protocol.rgb_std}
    for field, constant in constants.items():
        if constant is None:
            continue
        extractor = share(extractor)
        found = [module for module in extractor.modules() if isinstance(module, Normalise)]
        if not found:
            raise ValueError(
                f"protocol {protocol.name!r} normalises RGB by {field} {constant}, but "
                f"{type(extractor).__name__} does not normalise RGB; set changes to {{{field}: null}}"
            )
        for module in found:
            buffer = field.removeprefix("rgb_")
            setattr(module, buffer, torch.tensor(constant).view(-1, 1, 1).to(getattr(module, buffer)))
    return extractor.folded() if isinstance(extractor, CanFold) else extractor


def propagate_video(
    extractor: nn.Module,
    frames: Iterable[Tensor],
    encode: Encode,
    protocols: Sequence[PropagationProtocol],
    stopwatch: Stopwatch | None = None,
) -> Iterator[list[Tensor]]:
    """Carry labels through a video of any length; memory holds the window of the protocol, never the video.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        frames: uint8 RGB `(3, H, W)` each, of one size; the first protocol says at which size the extractor sees them.
        encode: called for each frame and each of the extractor's maps; for frame 0 it must give labels, later it gives
            those of objects that start there, or None.
        protocols: one for each of the extractor's maps.
        stopwatch: counts the seconds of "decode", "backbone" and "propagate".

    Yields:
        Per frame one `(L, h, w)` for each of the extractor's maps.
    """
    watch = stopwatch or Stopwatch()
    device = next(extractor.parameters(), next(extractor.buffers(), torch.zeros(()))).device
    multiple = getattr(extractor, "multiple", 1)
    with watch("backbone", device):
        extractor = view_for(extractor, protocols[0])
    propagators: list[LabelPropagator] = []
    for t, frame in enumerate(watch.timed("decode", frames)):
        with watch("backbone", device), torch.autocast(device.type, enabled=False):
            output = extractor(fit_input(frame[None], protocols[0], multiple, device))
            maps = [item[0].float() for item in ([output] if isinstance(output, Tensor) else output)]
        with watch("propagate", device):
            brought = [encode(t, tuple(m.shape[-2:]), p) for m, p in zip(maps, protocols, strict=True)]
            if t == 0:
                propagators = [LabelPropagator(b, p) for b, p in zip(brought, protocols, strict=True) if b is not None]
                brought = [None] * len(maps)
            labels = [p.step(m, b) for p, m, b in zip(propagators, maps, brought, strict=True)]
        yield labels


def over_ranks(metric: Any) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Scores and rows of a metric over all ranks, by one gather; no scores where there are no rows."""
    with metric.sync_context():
        rows = list(metric.rows())  # first, since `compute` leaves the metric with this rank's own rows
        return (metric.compute() if rows else {}), rows


class LabelPropagation(BenchmarkCallback):
    """A benchmark by label propagation; `DavisBenchmark` and its kin say how labels are coded and scored.

    Args:
        protocol: name of a protocol (`vfs`, `crw`, `dino`, …, see `PropagationProtocol.named`) or a protocol.
        changes: fields of the protocol to change; the protocol's name then says so.
        stage: of the encoder, or several, whose scores are then logged apart.
        stride: pixels per feature cell; None takes the backbone's own choice, 8 for a ResNet and the patch of a ViT.
            Where it is not the protocol's, the protocol's name says so.
        kwargs: those of `BenchmarkCallback`: every_n_epochs, before_training, limit_sequences, output_dir, fatal.

    Raises:
        ValueError: if the protocol defines no values for this benchmark.
    """

    protocols_like: tuple[str, ...] = ("davis",)
    """Benchmarks whose named protocols this one takes where a source has none for its own name."""

    def __init__(
        self,
        protocol: str | PropagationProtocol = "vfs",
        changes: dict[str, Any] | None = None,
        stage: str | list[str] | None = None,
        stride: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(protocol, str):
            protocol = PropagationProtocol.named(protocol, type(self).name, self.protocols_like)
        self.protocol = protocol.with_changes(**changes) if changes else protocol
        self.stage = stage
        self.stride = stride
        self.stages: list[str] = []
        self.multiple = 1
        self.protocols: list[PropagationProtocol] = []
        self.stopwatch = Stopwatch()

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`; fits the protocol to the strides of the extractor's maps."""
        stride: Any = extractor.stride
        strides: list[int] = stride if isinstance(stride, list) else [stride]
        names = getattr(extractor, "stage", None)
        self.stages = names if isinstance(names, list) else [""] * len(strides)
        self.protocols = [self._at_stride(stride) for stride in strides]
        self.multiple = getattr(extractor, "multiple", 1)
        self.stopwatch = Stopwatch()

    def _at_stride(self, stride: int) -> PropagationProtocol:
        """The protocol for a map of another stride than its own; its name says so."""
        same = stride == self.protocol.feature_stride
        return self.protocol if same else self.protocol.with_changes(feature_stride=stride)

    def propagate(self, extractor: nn.Module, frames: Iterable[Tensor], encode: Encode) -> Iterator[list[Tensor]]:
        """`propagate_video` by this benchmark's protocol."""
        return propagate_video(extractor, frames, encode, self.protocols, self.stopwatch)

    def covered(self, size: Size) -> Size:
        """What the feature map covers of a picture of this size, padding included; see `covered_size`."""
        return covered_size(size, self.protocol, self.multiple)

    @abstractmethod
    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Scores and rows of one stage, gathered over the ranks."""

    def finish(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `BenchmarkCallback`; with several stages, their names lead the keys and the rows."""
        scores: dict[str, float] = {}
        rows: list[dict[str, Any]] = []
        for number, stage in enumerate(self.stages):
            found, found_rows = self.scores_of(number)
            scores |= {f"{stage}/{key}" if stage else key: value for key, value in found.items()}
            rows += [{"Stage": stage, **row} if stage else row for row in found_rows]
        return scores, rows

    def about(self) -> dict[str, Any]:
        """See `BenchmarkCallback`."""
        protocols = [{"digest": protocol.digest(), **protocol.fields()} for protocol in self.protocols]
        seconds = {work: round(value, 2) for work, value in self.stopwatch.seconds.items()}
        return {"protocol": protocols[0] if len(protocols) == 1 else protocols, "seconds_of_rank_0": seconds}
