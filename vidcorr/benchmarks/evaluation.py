"""The evaluation of a benchmark's sequences in a run."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn

from ..metrics.rows import RowValues
from ..results.page import Chart
from ..results.pictures import Picture
from ..results.pictures.animation import SequenceAnimation
from ..results.result import Protocol, Row, Stage
from ..tracking.frame_encoder import normalises
from ..tracking.record import Draw, PredictionFile, SequenceWriter
from ..tracking.stopwatch import Stopwatch
from ..videos.guards import DataError
from ..videos.mp4 import Mp4Writer
from .ranks import Ranks

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


@contextmanager
def errors_named(sequence: str) -> Iterator[None]:
    """Prefix errors with the name of the sequence, unless they name it or a file."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, DataError) or sequence in str(error):
            raise
        raise ValueError(f"{sequence}: {error}") from error


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
        self.stages: Sequence[str] = getattr(tracker, "stages", ("",))
        self.watch: Stopwatch = getattr(tracker, "watch", None) or Stopwatch()
        self.overlays: dict[str, Picture] = {}

    @abstractmethod
    def follow(self, sequence: Any) -> None:
        """Evaluate a sequence: write its files and update the metrics."""

    def scores_of_stage(self, number: int) -> tuple[dict[str, float], list[tuple[str, str, RowValues]]]:
        """Return scores and rows (video, object, values) of an output; without rows no scores.

        The metrics hold the rows of all ranks.
        """
        values = list(self.metrics[number].values())
        return (self.metrics[number].compute() if values else {}), values

    def without(self, number: int) -> dict[str, dict[str, float]]:
        """Return pooled score → sequence → score of all the others, of an output; see `SequenceRows`."""
        return self.metrics[number].without() if list(self.metrics[number].values()) else {}

    def compute(self) -> list[Scored]:
        """Return scores and rows of each protocol; every rank calls it.

        With several stages, the keys begin with the stage's name.
        """
        for metric in self.metrics:
            metric.gather(self.context.ranks.gather)
        found = [Scored({}, [], {}) for _ in self.context.protocols]
        for number, stage in enumerate(self.stages):
            scores, rows, without = found[number % len(found)]
            of_output, values = self.scores_of_stage(number)
            names = {key: f"{stage}/{key}" if stage else key for key in of_output}
            scores |= {names[key]: value for key, value in of_output.items()}
            without |= {names[key]: others for key, others in self.without(number).items() if key in names}
            rows += [
                Row(video=video, object=part, stage=stage, values=measured | self.columns.get((video, part), {}))
                for video, part, measured in values
            ]
        return found

    def charts(self) -> Sequence[Chart]:
        """Return charts of all sequences and ranks for the report; every rank calls it after `compute`."""
        return ()

    def finish(self, folder: Path) -> dict[str, Picture]:
        """Write files that cover all ranks, and return name → picture, for the folder and the logger.

        The first rank calls it after all ranks are done.
        """
        return {}

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
        protocols = getattr(self.tracker, "protocols", [None] * len(self.stages))
        for number, (name, protocol) in enumerate(zip(self.stages, protocols, strict=True)):
            place = number // count  # the protocols share a map
            found[number % count][name] = Stage(
                layer=layers[place] or "",
                stride=strides[place] if len(strides) == len(layers) else strides[0],
                normalised_by="" if self.tracker is None or normalises(extractor) else "itself",
                protocol=Protocol() if protocol is None else Protocol.of(protocol),
            )
        return found

    def data(self) -> dict[str, Any]:
        """Return the facts of the data that the scores depend on, for the result.

        `constant_features` is True if the first frame of a video had equal features in all cells.
        """
        is_constant = getattr(getattr(self.tracker, "encoder", None), "constant", False)
        return {"constant_features": True} if is_constant else {}
