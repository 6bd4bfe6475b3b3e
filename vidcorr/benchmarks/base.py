"""Base of all benchmarks: a data set, a protocol and rules as a value, and the run over the sequences."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from .. import signals
from ..backbones import build_feature_extractor, weights_digest
from ..functional.device import on_device, out_of_memory_advice, random_state_kept
from ..functional.evaluation_protocol import EvaluationProtocol
from ..results.page import write_report
from ..results.pictures import Picture
from ..results.rendering import print_result
from ..results.result import Evaluated, Network, Provenance, Result, Shown, require_writable
from ..tracking.frame_encoder import LOWER
from ..videos.files import DataError
from .evaluation import Evaluation, Ranks, RunContext, distribute
from .identity import identity_of
from .network import NetworkLike, NetworkSpec

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """Results and pictures of a run.

    Attributes:
        results: a result per protocol.
        pictures: name → overlay of one of the first few sequences, for a logger.
    """

    results: list[Result]
    pictures: dict[str, Picture]


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A data set with its protocol and rules: a value, which no run changes.

    A subclass is a frozen dataclass whose fields are its arguments. It defines `default_name`, `read` and `start`, and
    declares `score_names`. The sequences are distributed over the ranks by length; an error on any rank ends the
    benchmark on all ranks. A run leaves the network unchanged and restores torch's random state.

    Args:
        limit_sequences: only the first N, for a quick check; the result records it.
        predictions: write the predictions, if the benchmark has files for them.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed if two benchmarks of a class run together; by default
            `default_name`.
        stage: stage of the encoder, or a list of stages with separate scores; None is the encoder's default.
        stride: pixels per feature cell; None is the backbone's default, 8 for a ResNet and the patch of a ViT. The
            protocol's name shows a stride that differs from the protocol's.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    default_name: ClassVar[str]
    rules_version: ClassVar[int] = 1
    """Part of the key of a stored result: raise it with every change of the rules that changes scores."""
    protocol_kind: ClassVar[type[EvaluationProtocol] | None] = None
    """Class of the protocols that the field `protocol` names; None without such a field."""
    protocols_like: ClassVar[tuple[str, ...]] = ("davis",)
    """Fallback benchmarks, for protocols without values for this benchmark."""
    shares_passes: ClassVar[bool] = False
    """Protocols that see frames alike share a pass of the network."""
    text_columns: ClassVar[tuple[str, ...]] = ()
    """Text columns of the rows, in addition to Stage and Sequence."""
    recorded: ClassVar[tuple[str, ...]] = ()
    """Arguments that results.json states."""
    animations_show: ClassVar[str] = ""
    """Caption of the animations: the drawings over the frames."""

    limit_sequences: int | None = None
    predictions: bool = True
    changes: dict[str, Any] | None = None
    name: str = ""
    stage: str | list[str] | None = None
    stride: int | None = None

    def __init_subclass__(cls) -> None:
        """Refuse a constructor of its own: a stored result is found by the benchmark's fields."""
        super().__init_subclass__()
        if "__init__" in vars(cls):
            raise TypeError(
                f"{cls.__name__}: declare the arguments as fields of a @dataclass(frozen=True), no __init__"
            )

    def __post_init__(self) -> None:
        if self.limit_sequences is not None and self.limit_sequences < 1:
            raise ValueError(f"{type(self).__name__}: limit_sequences is {self.limit_sequences}, it must be at least 1")
        self._complete(name=self.name or self.default_name)
        if (kind := self.protocol_kind) is not None:
            self._complete(protocol=kind.named(self.protocol, self.default_name, self.protocols_like, self.changes))
        elif self.changes and self.protocol is None:
            raise ValueError(f"{type(self).__name__}: has no protocol, so it takes no changes")

    def _complete(self, **values: object) -> None:
        """Replace arguments by what they stand for, while the benchmark is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # For subclasses

    @abstractmethod
    def read(self) -> Sequence[Any]:
        """Open the data set.

        Raises:
            DataError: for every fault of the data that can be found without decoding them.
        """

    @abstractmethod
    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run: return the evaluation that tracks and scores its sequences."""

    @property
    def score_names(self) -> tuple[str, ...]:
        """Every score that the benchmark may give, without its name and stage; empty: not declared."""
        return ()

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """Columns of the rows; their mean ranks the sequences in the report."""
        return ()

    @property
    def protocol(self) -> Any:
        """The protocol of `evaluate`; None for a benchmark that has none."""
        return None

    def extractor(self, encoder: Any) -> nn.Module:
        """Return the feature extractor of an encoder, at the benchmark's stage and stride."""
        return build_feature_extractor(encoder, self.stage, self.stride)

    def data(self) -> dict[str, Any]:
        """Return the facts of the data that the scores depend on: the arguments named in `recorded`."""
        return {name: getattr(self, name) for name in self.recorded}

    def refuse_training_on(self, videos: set[str]) -> None:  # noqa: B027  # most benchmarks refuse none
        """Raise if a training on videos, given by their names, would make scores wrong.

        Raises:
            ValueError: naming a video.
        """

    # Use

    @property
    def score_keys(self) -> tuple[str, ...]:
        """Keys of all scores that may be logged, known before any work; empty if the class declares none."""
        stages = self.stage if isinstance(self.stage, list) else [""]
        return tuple("/".join(filter(None, (self.name, s, key))) for s in stages for key in self.score_names)

    @cached_property
    def data_set(self) -> Sequence[Any]:
        """The whole data set, read once."""
        return self.read()

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run."""
        return self.data_set[: self.limit_sequences]

    def sources(self) -> Sequence[Path]:
        """Return files that scores depend on, besides files of the data set and arguments that name a file."""
        return ()

    def identity(self) -> dict[str, Any]:
        """Return everything that scores depend on, except network and protocol, as plain values."""
        return identity_of(self)

    def evaluate(
        self,
        network: NetworkLike,
        folder: str | Path | None = None,
        name: str | Network | None = None,
        *,
        shared: bool = False,
    ) -> Result:
        """Score a network by the benchmark's protocol.

        Args:
            network: a module, a checkpoint's path, a name ("dino-s16", "timm:NAME", "torchvision:NAME@STAGE/STRIDE"),
                `package.module:callable`, or a feature extractor, whose stage and stride then count.
            folder: folder of results, predictions and pictures; None writes nothing.
            name: name of the network for console and results, or its whole description; None takes the description
                from the network.
            shared: share the sequences among the ranks of the process group; every rank must call it.

        Returns:
            The result, with its scores as fractions, for example `J&F-Mean`; with several stages `res4/J&F-Mean`.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: for faulty data.
            ValueError: if the network cannot be built or lacks the features.
        """
        with random_state_kept():
            features, described = self._features_of(network, name, shared)
            return self.run(features, described, [self.protocol], folder, shared=shared).results[0]

    def evaluate_protocols(
        self,
        network: NetworkLike,
        protocols: Sequence[Any],
        name: str | Network | None = None,
        *,
        shared: bool = False,
    ) -> list[Result]:
        """Score a network by several protocols, if possible in one pass over the frames; see `evaluate`.

        Args:
            network: see `evaluate`.
            protocols: for label propagation, protocols with equal `values_of("pass")`: network input, data, scoring.
            name: see `evaluate`.
            shared: see `evaluate`.

        Returns:
            A result per protocol.
        """
        passes = [protocols] if self.shares_passes else [[protocol] for protocol in protocols]
        with random_state_kept():
            features, described = self._features_of(network, name, shared)
            return [result for each in passes for result in self.run(features, described, each, shared=shared).results]

    def _features_of(self, given: NetworkLike, name: str | Network | None, shared: bool) -> tuple[nn.Module, Network]:
        """Return the extractor and the description of a network; a network by name runs on the GPU, if there is one."""
        with Ranks(shared) as ranks, ranks.together():
            spec = NetworkSpec.of(given)
            encoder = spec.build()
            extractor = spec.extractor(encoder, self)
            if spec.is_named:
                extractor, name = on_device(extractor), name or spec.row
            return extractor, name if isinstance(name, Network) else Network.of(encoder, name)

    def run(
        self,
        extractor: nn.Module,
        network: Network,
        protocols: Sequence[Any],
        folder: str | Path | None = None,
        *,
        shared: bool = False,
        past: Sequence[Evaluated] = (),
        at: tuple[int, int] | None = None,
    ) -> Run:
        """Score the features of a network in one pass over the frames.

        Args:
            extractor: see `extractor`; or a video encoder.
            network: description of the network, for the result; the digest of the weights is added.
            protocols: protocols of the pass; a single one if there is a folder.
            folder: see `evaluate`.
            shared: see `evaluate`.
            past: earlier evaluations of the same training, for the result.
            at: epochs and optimiser steps of the training so far; None outside a training.

        Returns:
            The results and the pictures for a logger.
        """
        began = time.perf_counter()
        with Ranks(shared) as ranks, random_state_kept():
            with ranks.together():
                described = network.model_copy(update={"digest": weights_digest(extractor)})
            context = RunContext(ranks, None if folder is None else Path(folder), tuple(protocols))
            with torch.inference_mode():
                evaluation = self._follow_all(extractor, context)
                with ranks.together():
                    scored = evaluation.compute()
                    charts = evaluation.charts() if scored[0].rows else ()
            with ranks.together():
                seconds = round(time.perf_counter() - began, 2)
                results = [
                    Result(
                        benchmark=self.name,
                        network=described,
                        scores=scores,
                        without=without,
                        stages=stages,
                        rows=rows,
                        sequences=[sequence.name for sequence in self.sequences],
                        limit_sequences=self.limit_sequences,
                        data=self.data() | evaluation.data(),
                        protocol_source=protocol.origin() if isinstance(protocol, EvaluationProtocol) else {},
                        seconds=seconds,
                        seconds_of=evaluation.watch.rounded(),
                        ranks=ranks.size,
                        history=[*past, Evaluated(epoch=at[0], step=at[1], scores=scores)] if at else past,
                        shown=Shown(
                            ranked_by=self.ranked_by,
                            animations=self.animations_show,
                            charts=[chart.plain() for chart in charts],
                            text_columns=self.text_columns,
                        ),
                        provenance=Provenance.now(),
                    )
                    for protocol, (scores, rows, without), stages in zip(
                        protocols, scored, evaluation.stages_of(extractor), strict=True
                    )
                ]
                if ranks.rank == 0:
                    if len(results) == 1:
                        print_result(results[0])
                    if context.folder is not None:
                        evaluation.finish(context.folder)
                        self._write(results[0], context.folder)
        return Run(results, evaluation.overlays)

    def _follow_all(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Track and score the sequences of this rank; the first rank shows the progress in frames."""
        ranks = context.ranks
        with ranks.together():
            if context.folder is not None and ranks.rank == 0:
                require_writable(context.folder)
            with out_of_memory_advice(f"{self.name}: {LOWER}"):
                evaluation = self.start(extractor, context)
            frames = [sequence.num_frames for sequence in self.sequences]
            indices = distribute(frames, ranks.size)[ranks.rank]
            total, done = sum(frames[index] for index in indices), 0
            with signals.ProgressReport(self.name, total, "frames", silent=ranks.rank != 0) as progress:
                for index in indices:
                    signals.check()
                    self._follow(evaluation, self.sequences[index])
                    done += frames[index]
                    progress.advance(partial(str, self.sequences[index].name), to=done)
        return evaluation

    def _follow(self, evaluation: Evaluation, sequence: Any) -> None:
        """Track and score a sequence; an error names it or a file."""
        try:
            with out_of_memory_advice(f"{self.name}, {sequence.name}: {LOWER}"):
                evaluation.follow(sequence)
        except ValueError as error:
            if isinstance(error, DataError) or sequence.name in str(error):
                raise
            raise ValueError(f"{sequence.name}: {error}") from error

    def _write(self, result: Result, folder: Path) -> None:
        """Write the page and the result of a run; the result last."""
        try:
            write_report(folder, result=result)
        except Exception as error:  # no flaw of the page may take the scores away
            (folder / "report.html").unlink(missing_ok=True)  # of an earlier run
            log.warning("%s: report.html could not be written: %s", self.name, error)
        result.save(folder)
        log.info("%s: results are in %s", self.name, folder)
