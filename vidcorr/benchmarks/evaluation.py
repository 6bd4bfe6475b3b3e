"""The evaluation of a benchmark's sequences in a run, by one rank or several."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from .. import signals
from ..metrics.rows import RowValues
from ..results.page import Chart
from ..results.pictures import Picture
from ..results.pictures.overlays import SequenceAnimation
from ..results.result import Protocol, Row, Stage
from ..tracking.frame_encoder import FrameEncoder, Stopwatch, normalises
from ..tracking.record import Draw, PredictionFile, SequenceWriter
from ..videos.mp4 import Mp4Writer

SHORTEST_LIMIT, PATIENCE = timedelta(hours=4), 4
"""A finished rank waits for the others at least the limit, or PATIENCE times as long as its sequences took."""
EXCHANGE = timedelta(minutes=30)
"""Limit of messages between ranks after all have finished; the messages are small."""


T = TypeVar("T")


class BenchmarkError(RuntimeError):
    """Error for a benchmark that failed on a rank; all ranks raise it, with the message of the failed rank."""


class LostRank(BenchmarkError):
    """Error on the remaining ranks if the process of another rank has ended or hangs."""


class Ranks(AbstractContextManager["Ranks"]):
    """The ranks that share a run; without a process group a single rank.

    Results travel over a separate gloo group, which needs no GPU and has longer limits than the group of the training.
    Use it as a context, or call `close`.

    Args:
        shared: False: this rank runs alone, and no other need call it.
    """

    def __init__(self, shared: bool = True) -> None:
        active = shared and dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if active else 0
        self.size = dist.get_world_size() if active else 1
        self.group: Any = dist.new_group(backend="gloo", timeout=EXCHANGE) if self.size > 1 else None

    def gather(self, value: T) -> list[T]:
        """Return the picklable values of all ranks, in the order of the ranks, on every rank.

        Raises:
            LostRank: if the process of another rank has ended.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self._others_alive():
            dist.all_gather_object(values, value, group=self.group)
        return values

    @contextmanager
    def _others_alive(self) -> Iterator[None]:
        """Raise `LostRank` in place of gloo's error."""
        try:
            yield
        except RuntimeError as error:
            late = "monitoredBarrier in" in str(error)
            reason = "another rank hangs, or takes far longer than this one" if late else "connection closed by peer"
            raise LostRank(
                f"rank {self.rank} of {self.size}: {reason}: read the last lines of the other ranks; one may be "
                "out of memory"
            ) from error

    def largest(self, value: int) -> int:
        """Return the largest value over all ranks, on every rank."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        with self._others_alive():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all ranks; if it fails on a rank, all ranks raise its error.

        Raises:
            BenchmarkError: on every rank; a run of a single rank raises the original error.
            LostRank: if the process of another rank has ended or hangs.
            Stopped: on every rank, if a signal has stopped any of them.
        """
        if self.size == 1:
            yield
            return
        error: BaseException | None = None
        began = time.monotonic()
        try:
            yield
        except (Exception, signals.Stopped) as raised:
            error = raised
        limit = max(SHORTEST_LIMIT, PATIENCE * timedelta(seconds=time.monotonic() - began))
        with self._others_alive():
            dist.monitored_barrier(self.group, limit)
        stopped_by = error.number if isinstance(error, signals.Stopped) else None
        message = None if error is None else f"{type(error).__name__}: {error}"
        ends = self.gather((stopped_by, message))
        if stops := [number for number, _ in ends if number]:
            raise signals.Stopped(stops[0]) from error
        for rank, (_, message) in enumerate(ends):
            if message is not None:
                raise BenchmarkError(f"rank {rank} of {self.size}: {message}") from error

    def close(self, *_: object) -> None:
        """Destroy the process group."""
        if self.group is not None and dist.is_initialized():
            dist.destroy_process_group(self.group)
        self.group = None

    __exit__ = close


def distribute(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Distribute sequences so that ranks have about equally many frames: the longest first, to the least loaded rank.

    Args:
        lengths: numbers of frames of the sequences.
        size: number of ranks.

    Returns:
        Indices of the sequences, a list per rank.

    Example:
        >>> distribute([10, 90, 50, 45], 2)
        [[1, 0], [2, 3]]
    """
    parts: list[list[int]] = [[] for _ in range(size)]
    frames = [0] * size
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        least = frames.index(min(frames))
        parts[least].append(number)
        frames[least] += lengths[number]
    return parts


MAX_OVERLAYS = 8
"""Number of sequences with overlays in the logger."""


class RunContext(NamedTuple):
    """A run of a benchmark, as a rank sees it.

    Attributes:
        ranks: the ranks that share the sequences.
        folder: folder of the files; None writes nothing.
        protocols: protocols of the run; (None,) for a benchmark without protocols.
    """

    ranks: Ranks
    folder: Path | None = None
    protocols: tuple[Any, ...] = (None,)


class Scored(NamedTuple):
    """Scores of a protocol as fractions, and the rows of sequences or objects, over all ranks.

    Attributes:
        without: see `Result`.
    """

    scores: dict[str, float]
    rows: list[Row]
    without: dict[str, dict[str, float]]


ScoresOfStage = tuple[dict[str, float], list[tuple[str, str, RowValues]], dict[str, dict[str, float]]]
"""Scores, rows (video, object, values), and pooled score → sequence → score of all the others, see `Result`."""


class Evaluation(ABC):
    """Track and score a rank's sequences in a run.

    Args:
        context: ranks and folder of the run.
        metrics: a metric for every output of the tracker, and any further metrics; see `SequenceRows`.
        tracker: propagates labels, points or boxes by its `protocols`; None if the benchmark tracks nothing.
        predictions: write the predictions.

    Attributes:
        stages: names of the stages of the outputs: an output per stage and protocol; a single stage has an empty name.
        watch: seconds by kind of work, those of the tracker included.
        overlays: name → overlay of the first few sequences, for the logger.
        columns: video and object → further columns of their row.
    """

    columns: Mapping[tuple[str, str], RowValues] = MappingProxyType({})

    def __init__(
        self, context: RunContext, metrics: Sequence[Any], tracker: Any = None, predictions: bool = True
    ) -> None:
        self.context, self.metrics, self.tracker, self.predictions = context, metrics, tracker, predictions
        self.stages: Sequence[str] = tracker.stages if tracker else ("",)
        self.watch: Stopwatch = tracker.watch if tracker else Stopwatch()
        self.overlays: dict[str, Picture] = {}

    @abstractmethod
    def follow(self, sequence: Any) -> None:
        """Evaluate a sequence: write its files and update the metrics."""

    def scores_of_stage(self, index: int) -> ScoresOfStage:
        """Return the scores of an output, without rows none. The metrics hold the rows of all ranks."""
        metric = self.metrics[index]
        rows = list(metric.values())
        return (metric.compute(), rows, metric.without()) if rows else ({}, rows, {})

    def compute(self) -> list[Scored]:
        """Return scores and rows of each protocol; every rank calls it.

        With several stages, the keys begin with the stage's name.
        """
        for metric in self.metrics:
            metric.gather(self.context.ranks.gather)
        found = [Scored({}, [], {}) for _ in self.context.protocols]
        for index, stage in enumerate(self.stages):
            scores, rows, without = found[index % len(found)]
            of_stage, values, without_each = self.scores_of_stage(index)
            names = {key: f"{stage}/{key}" if stage else key for key in of_stage}
            scores |= {names[key]: value for key, value in of_stage.items()}
            without |= {names[key]: others for key, others in without_each.items() if key in names}
            rows += [
                Row(video=video, object=part, stage=stage, values=measured | self.columns.get((video, part), {}))
                for video, part, measured in values
            ]
        return found

    def charts(self) -> Sequence[Chart]:
        """Return charts of all sequences and ranks for the report; every rank calls it after `compute`."""
        return ()

    def finish(self, folder: Path) -> None:  # noqa: B027, most have no such files
        """Write files that cover all ranks; the first rank calls it after all ranks are done."""

    def prediction_folders(self, kind: str = "") -> list[Path]:
        """Return a folder of predictions per stage; none if the run writes no predictions.

        Args:
            kind: folder of the files, if a benchmark follows a sequence in several ways.
        """
        folder = self.context.folder
        if folder is None or not self.predictions:
            return []
        return [folder / stage / kind / "predictions" for stage in self.stages]

    @contextmanager
    def record(
        self,
        sequence: Any,
        draw: Draw,
        predictions: Sequence[PredictionFile],
        kind: str = "",
        draw_animation: Draw | None = None,
        video: bool = False,
    ) -> Iterator[SequenceWriter]:
        """Open the output files of a sequence during the block; a run without a folder has none.

        Args:
            sequence: a sequence; its name and number of frames are used.
            draw: see `SequenceWriter`.
            predictions: files in `prediction_folders`.
            kind: folder of the files, if a benchmark follows the sequence in several ways.
            draw_animation: see `SequenceWriter`.
            video: also write an overlay of every frame.
        """
        name, frames, folder = sequence.name, sequence.num_frames, self.context.folder
        pictures: dict[str, Any] = {}
        if folder is not None:
            overlays = folder / self.stages[-1] / kind / "overlays"
            pictures["overlay"] = overlays / f"{name}.png"
            pictures["animation"] = SequenceAnimation(folder, name, frames, kind)
            pictures["video"] = Mp4Writer(overlays / f"{name}.mp4", 30, crf="23") if video else None
        with SequenceWriter(frames, draw, predictions, draw_animation=draw_animation, **pictures) as record:
            yield record
        self.keep_overlay(f"{kind}/{name}" if kind else name, record)

    def keep_overlay(self, name: str, record: SequenceWriter) -> None:
        """Keep the overlay of a record for the logger, of the first few sequences."""
        if record.sheet is not None and len(self.overlays) < MAX_OVERLAYS:
            self.overlays[name] = record.sheet

    def stages_of(self, extractor: nn.Module) -> list[dict[str, Stage]]:
        """Return, for each protocol, stage → its features and protocol, for the result."""
        values = [getattr(extractor, name, None) for name in ("stage", "stride")]
        layers, strides = (value if isinstance(value, list) else [value] for value in values)
        count = len(self.context.protocols)
        found: list[dict[str, Stage]] = [{} for _ in range(count)]
        protocols = self.tracker.protocols if self.tracker else [None] * len(self.stages)
        for index, (name, protocol) in enumerate(zip(self.stages, protocols, strict=True)):
            place = index // count  # the protocols share a map
            found[index % count][name] = Stage(
                layer=layers[place] or "",
                stride=strides[place] if len(strides) == len(layers) else strides[0],
                normalised_by="" if self.tracker is None or normalises(extractor) else "itself",
                protocol=Protocol() if protocol is None else Protocol.of(protocol),
            )
        return found

    def data(self) -> dict[str, Any]:
        """Return the properties of the data that affect the scores, to be stored in the result.

        `constant_features` is True if the first frame of a video had equal features in all cells.
        """
        encoder = getattr(self.tracker, "encoder", None)
        return {"constant_features": True} if isinstance(encoder, FrameEncoder) and encoder.constant else {}
