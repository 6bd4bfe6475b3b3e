"""A run of a benchmark: outputs of a network, their rows over all sequences and ranks, a result per protocol."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from .. import signals
from ..backbones import weights_digest
from ..backbones.eval_mode import eval_mode
from ..functional.device import out_of_memory_advice, random_state_kept
from ..progress import ProgressReport
from ..results.pictures import Picture
from ..results.provenance import Provenance
from ..results.result import Evaluated, Network, Protocol, Result, Row, Stage, leave_one_out, require_writable
from ..tracking.frame_encoder import LOWER, FrameEncoder, Output, first_map, normalises
from ..tracking.record import RunWriter
from ..tracking.stopwatch import Stopwatch
from ..videos.files import DataError
from .ranks import Ranks, distribute

if TYPE_CHECKING:
    from .base import Benchmark

log = logging.getLogger(__name__)


class Scorer(ABC):
    """Tracks and scores the sequences of a run, one after another, on one rank.

    Args:
        extractor: the features of a network, in eval mode.
        tracker: propagates labels, points or boxes; None if the benchmark tracks nothing.

    Attributes:
        outputs: the tracker's feature maps under its protocols; a single map if nothing is tracked.
        watch: seconds by kind of work.
    """

    def __init__(self, extractor: nn.Module, tracker: Any = None) -> None:
        self.extractor = extractor
        self.tracker = tracker
        self.outputs: list[Output]
        self.watch: Stopwatch
        if tracker is None:
            self.outputs = [first_map(extractor)]
            self.watch = Stopwatch()
        else:
            self.outputs = tracker.outputs
            self.watch = tracker.watch

    @abstractmethod
    def score(self, sequence: Any, writer: RunWriter | None) -> Iterator[tuple[Output, Row]]:
        """Track and score a sequence.

        Args:
            sequence: a sequence of the benchmark.
            writer: the files of the run; None writes nothing.

        Yields:
            An output and a row; the row names the output's stage.
        """

    def stage_of(self, output: Output) -> Stage:
        """Return the features and the protocol of an output, for the result."""
        protocol = Protocol() if output.protocol is None else Protocol.of(output.protocol)
        is_declared = self.tracker is None or normalises(self.extractor)
        normalised_by = "" if is_declared else "itself"
        return Stage(layer=output.layer, stride=output.stride, normalised_by=normalised_by, protocol=protocol)

    def facts(self) -> dict[str, Any]:
        """Return entries for the result's `data` beside those of the data set; a subclass adds its own.

        `constant_features` is True if the first frame of a video had equal features in all cells, so that its scores
        are chance.
        """
        encoder = getattr(self.tracker, "encoder", None)
        if isinstance(encoder, FrameEncoder) and encoder.constant:
            return {"constant_features": True}
        return {}


class Run(NamedTuple):
    """Results and pictures of a run.

    Attributes:
        results: a result per protocol.
        pictures: name → overlay of one of the first few sequences, for a logger.
    """

    results: list[Result]
    pictures: dict[str, Picture]


def run(
    benchmark: Benchmark,
    extractor: nn.Module,
    network: Network,
    protocols: Sequence[Any],
    folder: Path | None = None,
    *,
    shared: bool = False,
    past: Sequence[Evaluated] = (),
    at: tuple[int, int] | None = None,
) -> Run:
    """Score the features of a network on a benchmark, in one pass over the frames.

    Args:
        benchmark: reads the sequences, scores them, and computes scores of the rows.
        extractor: the features of a network, as `benchmark.extractor` returns them; or a video encoder.
        network: description of the network, for the result; the digest of the weights is added.
        protocols: protocols of the pass; a single one if there is a folder.
        folder: folder of results, predictions and pictures; None writes nothing.
        shared: share the sequences among the ranks of the process group; every rank must call it.
        past: earlier evaluations of the same training, for the result.
        at: epochs and optimiser steps of the training so far; None outside a training.
    """
    began = time.perf_counter()
    with Ranks(shared) as ranks, random_state_kept(), eval_mode(extractor), torch.inference_mode():
        with ranks.together():  # each rank tracks and scores its share of the sequences
            if folder is not None and ranks.rank == 0:
                require_writable(folder)
            digest = weights_digest(extractor)
            with out_of_memory_advice(f"{benchmark.name}: {LOWER}"):
                scorer = benchmark.scorer(extractor, protocols)
            writer = None
            if folder is not None:
                writer = RunWriter(folder, [output.stage for output in scorer.outputs], benchmark.predictions)
            own_rows: dict[Output, list[Row]] = {output: [] for output in scorer.outputs}
            for sequence in _share(benchmark, ranks):
                with _named(benchmark, sequence):
                    for output, row in scorer.score(sequence, writer):
                        own_rows[output].append(row)
        rows_of_ranks = ranks.gather(list(own_rows.values()))
        with ranks.together():  # from the rows of all ranks each rank makes the same results
            seconds = round(time.perf_counter() - began, 2)
            network = network.model_copy(update={"digest": digest})
            judges = [benchmark.under(protocol) for protocol in protocols]
            results: list[Result] = []
            for place, judge in enumerate(judges):
                stages: dict[str, Stage] = {}
                rows: dict[str, list[Row]] = {}
                for output, *of_ranks in zip(scorer.outputs, *rows_of_ranks, strict=True):
                    if output.place == place:
                        stages[output.stage] = scorer.stage_of(output)
                        rows[output.stage] = judge.in_order(list(chain.from_iterable(of_ranks)))
                scores = scores_of_stages(judge, rows)
                history = list(past)
                if at is not None:
                    history.append(Evaluated(epoch=at[0], step=at[1], scores=scores))
                facts = benchmark.data() | scorer.facts() | judge.facts_of_rows(rows)
                of_all_stages = list(chain.from_iterable(rows.values()))
                result = Result(
                    benchmark=benchmark.name,
                    network=network,
                    scores=scores,
                    without=jackknife_of_stages(judge, rows),
                    stages=stages,
                    rows=of_all_stages,
                    sequences=[sequence.name for sequence in benchmark.sequences],
                    limit_sequences=benchmark.limit_sequences,
                    data=facts,
                    protocol_source=judge.source_of_protocol(),
                    seconds=seconds,
                    seconds_of=scorer.watch.rounded(),
                    ranks=ranks.size,
                    history=history,
                    shown=judge.shown(rows),
                    provenance=Provenance.now(),
                )
                results.append(result)
            if ranks.rank == 0:
                _report(judges, results, writer)
    pictures = {} if writer is None else writer.pictures
    return Run(results, pictures)


def _report(judges: Sequence[Benchmark], results: Sequence[Result], writer: RunWriter | None) -> None:
    """Print the scores, log the warnings about results, and write the files of the run.

    Args:
        judges: the benchmark under each protocol.
        results: the result of each protocol; with a writer a single one.
        writer: the files of the run; None writes nothing.
    """
    if len(results) == 1:
        results[0].print()
    for judge, result in zip(judges, results, strict=True):
        for remark in judge.remarks(result):
            log.warning("%s: %s", judge.name, remark)
    if writer is not None:
        writer.finish(results[0], judges[0].tables(results[0]), judges[0].packed())


def _share(benchmark: Benchmark, ranks: Ranks) -> Iterator[Any]:
    """Yield the sequences of this rank; the first rank shows the progress in frames.

    Raises:
        Stopped: between two sequences, if a signal asks for it.
    """
    sequences = benchmark.sequences
    frames = [sequence.num_frames for sequence in sequences]
    indices = distribute(frames, ranks.size)[ranks.rank]
    total = sum(frames[index] for index in indices)
    with ProgressReport(benchmark.name, total, "frames", silent=ranks.rank != 0) as progress:
        for index in indices:
            signals.check()
            yield sequences[index]
            progress.advance(frames[index], sequences[index].name)


@contextmanager
def _named(benchmark: Benchmark, sequence: Any) -> Iterator[None]:
    """Name the sequence in errors of a block, unless they name it or a file."""
    try:
        with out_of_memory_advice(f"{benchmark.name}, {sequence.name}: {LOWER}"):
            yield
    except ValueError as error:
        if isinstance(error, DataError) or sequence.name in str(error):
            raise
        raise ValueError(f"{sequence.name}: {error}") from error


def scores_of_stages(benchmark: Benchmark, rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """Return the scores of rows, stage by stage; keys begin with the stage's name, if it has one.

    Args:
        benchmark: the benchmark under the protocol of the rows.
        rows: name of a stage → its rows; without rows there are no scores.
    """
    found: dict[str, float] = {}
    for stage, of_stage in rows.items():
        if of_stage:
            for key, score in benchmark.scores(of_stage).items():
                found[f"{stage}/{key}".removeprefix("/")] = score
    return found


def jackknife_of_stages(benchmark: Benchmark, rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, float]]:
    """Return score → sequence → score of all the others, for pooled scores; keys begin with the stage's name.

    Args:
        benchmark: the benchmark under the protocol of the rows.
        rows: name of a stage → its rows.
    """
    found: dict[str, dict[str, float]] = {}
    if benchmark.pooled:
        for stage, of_stage in rows.items():
            for key, scores in leave_one_out(of_stage, benchmark.scores).items():
                found[f"{stage}/{key}".removeprefix("/")] = scores
    return found
