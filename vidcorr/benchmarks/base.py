"""Base of all benchmarks: their interface and the run over a data set, without Lightning and torchmetrics."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import signals
from ..backbones import build_feature_extractor, weights_digest
from ..functional.device import out_of_memory_advice, random_state_kept
from ..functional.evaluation_protocol import EvaluationProtocol
from ..results.page import write_report
from ..results.pictures import Picture, write_picture
from ..results.rendering import print_result
from ..results.result import Evaluated, Network, Provenance, Result, Shown, require_writable
from ..tracking.frame_encoder import LOWER
from ..videos.progress import ProgressReport
from .evaluation import Evaluation, RunContext, errors_named
from .ranks import Ranks, distribute

log = logging.getLogger(__name__)


class Benchmark(ABC):
    """A data set with its evaluation, and the run over its sequences.

    A subclass defines `name`, `read` and `start`, and declares `score_names`. The sequences are distributed over the
    ranks by length; an error on any rank ends the benchmark on all ranks. The run leaves the network unchanged and
    restores torch's random state.

    Args:
        limit_sequences: only the first N, for a quick check; the result records it.
        predictions: write the predictions, if the benchmark has files for them.
        changes: fields of the protocol to change; the protocol's name then shows them.
        name: prefix of keys and name of folders, needed if two benchmarks of a class run together; None is the name of
            the class.
        stage: stage of the encoder, or a list of stages with separate scores; None is the encoder's default.
        stride: pixels per feature cell; None is the backbone's default, 8 for a ResNet and the patch of a ViT. The
            protocol's name shows a stride that differs from the protocol's.

    Attributes:
        result: the result of the last run; None before the first.
        overlays: sequence → its overlay, for the first few sequences of the last run.
        plots: name → picture, of the last run.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores.
    """

    name: str
    score_names: tuple[str, ...] = ()
    """Every score that the benchmark may give, without its name and stage; empty: not declared."""
    protocols_like: tuple[str, ...] = ("davis",)
    """Fallback benchmarks, for protocols without values for this benchmark."""
    ranked_by: tuple[str, ...] = ()
    """Columns of the rows; their mean ranks the sequences in the report."""
    text_columns: tuple[str, ...] = ()
    """Text columns of the rows, in addition to Stage and Sequence."""
    recorded: tuple[str, ...] = ()
    """Attributes that results.json states."""
    animations_show: str = ""
    """Caption of the animations: the drawings over the frames."""

    def __init__(
        self,
        limit_sequences: int | None = None,
        predictions: bool = True,
        changes: dict[str, Any] | None = None,
        name: str | None = None,
        stage: str | list[str] | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        if name is not None:
            self.name = name
        if limit_sequences is not None and limit_sequences < 1:
            raise ValueError(f"{type(self).__name__}: limit_sequences is {limit_sequences}, it must be at least 1")
        self.limit_sequences = limit_sequences
        self.predictions, self.changes = predictions, changes or {}
        self.stage, self.stride = stage, stride
        self.result: Result | None = None
        self.overlays: dict[str, Picture] = {}
        self.plots: dict[str, Picture] = {}
        self._sequences: Sequence[Any] | None = None
        self._most: int | None = None  # sequences of a `fast_dev_run`

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

    def extractor(self, encoder: nn.Module) -> nn.Module:
        """Return the feature extractor of an encoder, at the benchmark's stage and stride."""
        return build_feature_extractor(encoder, self.stage, self.stride)

    def data(self) -> dict[str, Any]:
        """Return the facts of the data that the scores depend on: the attributes named in `recorded`."""
        return {name: getattr(self, name) for name in self.recorded}

    def protocol_source(self) -> dict[str, str]:
        """Return the publication of the protocol and the values it leaves open; empty without a named protocol."""
        protocol = getattr(self, "protocol", None)
        if not isinstance(protocol, EvaluationProtocol):
            return {}
        return protocol.origin(type(self).name, self.protocols_like)

    # Use

    @property
    def score_keys(self) -> tuple[str, ...]:
        """Keys of all scores that may be logged, known before any work; empty if the class declares none."""
        stages = self.stage if isinstance(self.stage, list) else [""]
        return tuple("/".join(filter(None, (self.name, s, key))) for s in stages for key in self.score_names)

    @property
    def sequences(self) -> Sequence[Any]:
        """The sequences of a run, read once; in a `fast_dev_run` as many as it has batches."""
        if self._sequences is None:
            self._sequences = self.read()[: self.limit_sequences]
        return self._sequences[: self._most]

    def evaluate(
        self,
        extractor: nn.Module,
        folder: str | Path | None = None,
        network: str | Network | None = None,
        past: Sequence[Evaluated] = (),
        at: tuple[int, int] | None = None,
    ) -> dict[str, float]:
        """Run the benchmark, with or without a Trainer.

        Args:
            extractor: result of `feature_extractor(stage, stride)` or `build_feature_extractor`; or a module with
                such a method, evaluated at the stage and stride of the benchmark.
            folder: folder of results, predictions and pictures; None writes nothing.
            network: name of the network for console and results, or its whole description; None takes the description
                from the network.
            past: earlier evaluations of the same training, for the result.
            at: epochs and optimiser steps of the training so far; None outside a training.

        Returns:
            Scores as fractions, for example `J&F-Mean`; with several stages `res4/J&F-Mean`. `result` has the rest.

        Raises:
            BenchmarkError: if it failed on another rank.
            DataError: for faulty data.
        """
        module = extractor
        if hasattr(extractor, "feature_extractor"):
            extractor = self.extractor(extractor)
        began = time.perf_counter()
        with Ranks() as ranks:
            context = RunContext(ranks, None if folder is None else Path(folder))
            with random_state_kept(), torch.inference_mode():
                with ranks.together():
                    if context.folder is not None and ranks.rank == 0:
                        require_writable(context.folder)
                    with out_of_memory_advice(f"{self.name}: {LOWER}"):
                        evaluation = self.start(extractor, context)
                    for sequence in self._sequences_of(ranks):
                        advice = f"{self.name}, {sequence.name}: {LOWER}"
                        with out_of_memory_advice(advice), errors_named(sequence.name):
                            evaluation.follow(sequence)
                with ranks.together():
                    scores, rows = evaluation.compute()
                    charts = evaluation.charts() if rows else ()
            with ranks.together():
                self.overlays = evaluation.overlays
                described = network if isinstance(network, Network) else Network.of(module, network)
                self.result = Result(
                    benchmark=self.name,
                    network=described.model_copy(update={"digest": weights_digest(extractor)}),
                    scores=scores,
                    stages=evaluation.stages_of(extractor),
                    rows=rows,
                    sequences=[sequence.name for sequence in self.sequences],
                    limit_sequences=self.limit_sequences,
                    data=self.data() | evaluation.data(),
                    protocol_source=self.protocol_source(),
                    seconds=round(time.perf_counter() - began, 2),
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
                if ranks.rank == 0:
                    print_result(self.result)
                    if context.folder is not None:
                        self.plots = evaluation.finish(context.folder)
                        self._write(self.result, context.folder)
        return scores

    def _sequences_of(self, ranks: Ranks) -> Iterator[Any]:
        """Yield the sequences of this rank; the first rank shows the progress in frames."""
        frames = [sequence.num_frames for sequence in self.sequences]
        numbers = distribute(frames, ranks.size)[ranks.rank]
        total, done = sum(frames[number] for number in numbers), 0
        with ProgressReport(self.name, total, "frames", silent=ranks.rank != 0) as progress:
            for number in numbers:
                signals.check()
                yield self.sequences[number]
                done += frames[number]
                progress.advance(partial(str, self.sequences[number].name), to=done)

    def _write(self, result: Result, folder: Path) -> None:
        """Write the plots, the page and the result of a run; the result last."""
        for name, picture in self.plots.items():
            write_picture(folder / f"{name}.png", picture)
        try:
            write_report(folder, result=result)
        except Exception as error:  # no flaw of the page may take the scores away
            (folder / "report.html").unlink(missing_ok=True)  # of an earlier run
            log.warning("%s: report.html could not be written: %s", self.name, error)
        result.save(folder)
        log.info("%s: results are in %s", self.name, folder)
