"""The evaluation that a benchmark gives to `BenchmarkCallback`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from torch import nn

from datamodules.reading.guards import DataError

from ..metrics.rows import RowValues, SequenceRows
from ..pictures import Picture, overlay_writer
from ..pictures.animation import SequenceAnimation
from ..report import Chart
from ..results.result import Protocol, Row, Stage
from ..tracking.frame_encoder import normalises
from ..tracking.record import Draw, PredictionFile, SequenceRecord
from .ranks import Ranks

RowsT = TypeVar("RowsT", bound=SequenceRows)
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

    def keep(self, name: str, overlay: Picture | None) -> None:
        """Keep an overlay for the logger, of the first few sequences."""
        if overlay is not None and len(self.overlays) < MAX_OVERLAYS:
            self.overlays[name] = overlay


@contextmanager
def errors_named(sequence: str) -> Iterator[None]:
    """Begin an error of the block with the name of the sequence, unless the error names it or is one of a file."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, DataError) or sequence in str(error):
            raise
        raise ValueError(f"{sequence}: {error}") from error


class Evaluation(ABC):
    """Track and score the sequences of one run on one rank.

    Args:
        context: ranks, and where files go.
        metrics: one for each stage of the tracker, see `SequenceRows`.
        tracker: propagates labels, points or boxes, by its `protocols`, and counts seconds in its `watch`; None where
            nothing is tracked.
        predictions: write what was predicted.

    Attributes:
        stages: names of the stages that are scored separately; one empty name where there is one.
        columns: video and object → further columns of their row.
    """

    columns: Mapping[tuple[str, str], RowValues] = MappingProxyType({})

    def __init__(
        self, context: RunContext, metrics: Sequence[Any], tracker: Any = None, predictions: bool = True
    ) -> None:
        self.context, self.metrics, self.tracker, self.predictions = context, metrics, tracker, predictions
        self.stages: Sequence[str] = getattr(tracker, "stages", ("",))

    @abstractmethod
    def follow(self, sequence: Any) -> None:
        """Evaluate one sequence: write its files and update the metrics."""

    def scores_of_stage(self, number: int) -> tuple[dict[str, float], list[tuple[str, str, RowValues]]]:
        """Return the scores, and video, object and values of each row, of one stage over all ranks.

        Without rows there are no scores.
        """
        metric = self.gathered(self.metrics[number])
        values = list(metric.values())
        return (metric.compute() if values else {}), values

    def gathered(self, metric: RowsT) -> RowsT:
        """Return a metric with the rows of all ranks; every rank calls it."""
        metric.gather(self.context.ranks.gather)
        return metric

    def compute(self) -> tuple[dict[str, float], list[Row]]:
        """Return the scores as fractions, and a row for each sequence (and object), over all ranks.

        Every rank calls it. With several stages, their names lead the keys.
        """
        scores: dict[str, float] = {}
        rows: list[Row] = []
        for number, stage in enumerate(self.stages):
            of_stage, values = self.scores_of_stage(number)
            scores |= {f"{stage}/{key}" if stage else key: value for key, value in of_stage.items()}
            rows += [
                Row(video=video, object=part, stage=stage, values=own | self.columns.get((video, part), {}))
                for video, part, own in values
            ]
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

    def stages_of(self, extractor: nn.Module) -> dict[str, Stage]:
        """Return the features and the protocol of each stage, for the result."""
        layers, strides = (_listed(getattr(extractor, name, None)) for name in ("stage", "stride"))
        protocols = getattr(self.tracker, "protocols", [None] * len(self.stages))
        found = {}
        for number, (name, protocol) in enumerate(zip(self.stages, protocols, strict=True)):
            place = number * len(layers) // len(self.stages)  # several protocols share a map
            found[name] = Stage(
                layer=layers[place] or "",
                stride=strides[place] if len(strides) == len(layers) else strides[0],
                normalised_by="" if self.tracker is None or normalises(extractor) else "itself",
                protocol=Protocol() if protocol is None else Protocol.of(protocol),
            )
        return found

    def data(self) -> dict[str, Any]:
        """Return facts of the data that the scores depend on, for the result.

        `constant_features` is there where a video's first frame had the same features in all cells.
        """
        is_constant = getattr(getattr(self.tracker, "encoder", None), "constant", False)
        return {"constant_features": True} if is_constant else {}

    @property
    def seconds(self) -> dict[str, float]:
        """Kind of work → seconds of this rank."""
        return {} if self.tracker is None else self.tracker.watch.rounded()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
