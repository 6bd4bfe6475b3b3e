"""The evaluation that a benchmark gives to `BenchmarkCallback`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..pictures import Picture, overlay_writer
from ..pictures.animation import SequenceAnimation
from ..report import Chart
from ..results.written import Row
from ..tracking.record import Draw, PredictionFile, SequenceRecord
from .ranks import Ranks

MAX_OVERLAYS = 8
"""Sequences whose overlays go to the logger."""


@dataclass
class RunContext:
    """One run of a benchmark, on one rank.

    Attributes:
        ranks: among which the sequences are distributed.
        folder: where files go; None: nothing is written.
        overlays: name → overlay of the first few sequences, for the logger.
    """

    ranks: Ranks
    folder: Path | None = None
    overlays: dict[str, Picture] = field(default_factory=dict)

    @property
    def gathering(self) -> dict[str, Any]:
        """Arguments of a metric that gathers over the ranks."""
        return {"process_group": self.ranks.group, "sync_on_compute": False}

    def keep(self, name: str, overlay: Picture | None) -> None:
        """Keep an overlay for the logger, of the first few sequences."""
        if overlay is not None and len(self.overlays) < MAX_OVERLAYS:
            self.overlays[name] = overlay


class Evaluation(ABC):
    """Track and score the sequences of one run on one rank.

    Args:
        context: ranks, and where files go.
        metrics: one for each stage of the tracker, which gathers rows over the ranks, see `RowMetric`.
        tracker: propagates labels, points or boxes, by its `protocols`, and counts seconds in its `watch`; None where
            nothing is tracked.
        predictions: write what was predicted.

    Attributes:
        stages: names of the stages that are scored separately; one empty name where there is one.
        columns: name of a row → its columns besides the scores.
    """

    columns: Mapping[str, Row] = MappingProxyType({})

    def __init__(
        self, context: RunContext, metrics: Sequence[Any], tracker: Any = None, predictions: bool = True
    ) -> None:
        self.context, self.metrics, self.tracker, self.predictions = context, metrics, tracker, predictions
        self.stages: Sequence[str] = getattr(tracker, "stages", ("",))

    @abstractmethod
    def follow(self, sequence: Any) -> None:
        """Evaluate one sequence: write its files and update the metrics."""

    def scores_of_stage(self, number: int) -> tuple[dict[str, float], list[Row]]:
        """Return scores and rows of one stage over all ranks; no scores where there are no rows."""
        metric = self.metrics[number]
        with metric.sync_context():
            rows = list(metric.rows())  # first, since `compute` leaves the metric with this rank's own rows
            return (metric.compute() if rows else {}), rows

    def compute(self) -> tuple[dict[str, float], list[Row]]:
        """Return the scores as fractions, and a row for each sequence (and object), over all ranks.

        Every rank calls it. With several stages, their names lead the keys and the rows.
        """
        scores: dict[str, float] = {}
        rows: list[Row] = []
        for number, stage in enumerate(self.stages):
            of_stage, its_rows = self.scores_of_stage(number)
            scores |= {f"{stage}/{key}" if stage else key: value for key, value in of_stage.items()}
            stated = {"Stage": stage} if stage else {}
            rows += [stated | row | self.columns.get(row.get("Sequence", ""), {}) for row in its_rows]
        return scores, rows

    def charts(self) -> Sequence[Chart]:
        """Return charts over all sequences and ranks, for the report; every rank calls it, after `compute`."""
        return ()

    def finish(self, folder: Path) -> dict[str, Picture]:
        """Write files that need those of all ranks, and return name → picture, for the folder and the logger.

        Called on the first rank when all are done.
        """
        return {}

    def record(
        self,
        sequence: Any,
        draw: Draw,
        prediction: Callable[[Path], PredictionFile],
        kind: str = "",
        draw_animation: Draw | None = None,
        video: bool = False,
    ) -> SequenceRecord:
        """Open the output files of a sequence; none if the run has no folder.

        Args:
            sequence: only its name and number of frames are used.
            draw: see `SequenceRecord`.
            prediction: folder of a map's predictions → its file, where predictions are written.
            kind: folder of the sequence's files, where a benchmark follows it in several ways.
            draw_animation: see `SequenceRecord`.
            video: also write an overlay of every frame.
        """
        folder = self.context.folder
        if folder is None:
            return SequenceRecord(sequence.num_frames, draw)
        folders = [folder / stage / kind for stage in self.stages]
        overlays = folders[-1] / "overlays"
        return SequenceRecord(
            sequence.num_frames,
            draw,
            predictions=[prediction(each / "predictions") for each in folders if self.predictions],
            overlay=overlays / f"{sequence.name}.png",
            animation=SequenceAnimation(folder, sequence.name, sequence.num_frames, kind),
            draw_animation=draw_animation,
            video=overlay_writer(overlays / f"{sequence.name}.mp4") if video else None,
        )

    def metadata(self) -> dict[str, Any]:
        """Return what the scores depend on, for results.json: the protocol of each map, and seconds."""
        if self.tracker is None:
            return {}
        protocols = [{"digest": protocol.digest(), **protocol.fields()} for protocol in self.tracker.protocols]
        return {
            "protocol": protocols[0] if len(protocols) == 1 else protocols,
            "seconds_of_rank_0": self.tracker.watch.rounded(),
        }
