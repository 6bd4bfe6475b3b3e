"""The evaluation of propagated object masks: prediction, scoring in a thread, files."""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from datamodules.datasets import MaskSequence
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import object_ids

from ..metrics import RegionBoundary, SequenceScore, object_outlines
from ..pictures import Picture, overlay_masks
from ..pictures.film import Curve, reduced
from ..tracking.label_tracker import LabelTracker, TrackedFrame
from ..tracking.record import IndexedMasks
from .evaluation import Evaluation, Outcome, Row, RunContext, by_stage, over_ranks
from .resized import at_size_of_data

OBJECT_SCORES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
FILMS_SHOW = "propagated masks; the first frame's are the annotation, where the protocol gives it"


class SequenceScorer(Protocol):
    """Score the predictions of one sequence, for all stages."""

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score frame `t`, which has ground truth, and return it: ids `(H, W)`, for the films."""

    def close(self) -> None:
        """Put the sequence into the metrics."""

    def curves(self) -> dict[str, Curve]:
        """Return measures over the frames, of the last stage, for the report; asked for after `close`."""


class MaskMetrics(Protocol):
    """The metrics of a run."""

    def scorer(self, sequence: Any, pool: Executor) -> SequenceScorer | None:
        """Return the scorer of a sequence and its thread; None where there is no ground truth."""

    def compute(self, stage: int) -> tuple[dict[str, float], list[Row]]:
        """Return scores and rows of one stage, gathered over the ranks."""


class MaskEvaluation(Evaluation):
    """Follow the objects of each sequence by label propagation; frames are scored while the next ones are propagated.

    Args:
        tracker: carries the labels.
        scoring: the metrics.
        context: says where files go.
        predictions: write the predicted masks.
        archive: folder inside predictions.zip that holds the sequences ("" is its top); None: no archive.
    """

    def __init__(
        self,
        tracker: LabelTracker,
        scoring: MaskMetrics,
        context: RunContext,
        predictions: bool = True,
        archive: str | None = None,
    ) -> None:
        super().__init__(tracker, context, predictions)
        self.scoring, self.archive = scoring, archive

    def follow(self, sequence: MaskSequence, kind: str = "") -> None:
        """Predict, score and write one sequence.

        Args:
            sequence: what to follow.
            kind: folder for its files, where a benchmark follows a sequence in several ways.
        """
        sequence = at_size_of_data(sequence, self.tracker.protocols[0])
        watch, view = self.tracker.watch, self.tracker.view(sequence.size)
        frames = annotated_frames(sequence)

        def masks(folder: Path) -> IndexedMasks:
            stems = [frame.stem for frame in sequence.frames]
            return IndexedMasks(folder / sequence.name, stems, sequence.reported)

        def draw_small(frame: Tensor, mask: Tensor) -> Picture:
            return overlay_masks(*reduced(frame, mask))

        record = self.record(sequence, overlay_masks, masks, kind, draw_film=draw_small)
        with ThreadPoolExecutor(max_workers=1) as pool, record:
            scorer = self.scoring.scorer(sequence, pool)
            for t, tracked in enumerate(self.tracker.track_masks(frames, sequence.starts, view)):
                truth = None
                if scorer is not None and t in sequence.masks:
                    with watch("score"):
                        truth = scorer.add(t, tracked)
                with watch("write"):
                    record.add(tracked.frame, tracked.decoded, truth=truth)
            if scorer is not None:
                with watch("score"):
                    scorer.close()
            record.close(scorer.curves() if scorer else None)
        self.context.keep(f"{kind}/{sequence.name}" if kind else sequence.name, record.sheet)

    def compute(self) -> Outcome:
        """Gather the metrics; see `Evaluation`."""
        stages = self.tracker.stages
        return by_stage(stages, (self.scoring.compute(number) for number in range(len(stages))))

    def pack(self, folder: Path) -> None:
        """Write predictions.zip, where one is wanted."""
        if self.predictions and self.archive is not None:
            for stage in self.tracker.stages:
                zip_predictions(folder / stage, self.archive)


class ObjectMetrics:
    """J and F of each object, by `RegionBoundary`.

    Args:
        context: over whose ranks the metrics gather.
        stages: number of stages.
        ends_scored: the last frame of an object counts.
        gaps_count: see `scored_objects`.
        columns: row's name → more columns of the row.
        summary: rows → scores; None takes those of `RegionBoundary`.
    """

    def __init__(
        self,
        context: RunContext,
        stages: int,
        ends_scored: bool = False,
        gaps_count: bool = False,
        columns: Mapping[str, Row] | None = None,
        summary: Callable[[Sequence[Row]], dict[str, float]] | None = None,
    ) -> None:
        self.metrics = [RegionBoundary(ends_scored=ends_scored, **context.gathering) for _ in range(stages)]
        self.gaps_count, self.columns, self.summary = gaps_count, columns, summary

    def scorer(self, sequence: MaskSequence, pool: Executor) -> "ObjectScorer | None":
        """Return what scores a sequence; None where its masks only introduce objects."""
        if not sequence.ground_truth:
            return None
        objects = scored_objects(sequence, self.metrics[0].ends_scored, self.gaps_count)
        return ObjectScorer(sequence, objects, self.metrics, pool)

    def compute(self, stage: int) -> tuple[dict[str, float], list[Row]]:
        """Return scores and rows of one stage, gathered over the ranks."""
        scores, rows = over_ranks(self.metrics[stage])
        if self.columns is not None:
            rows = [row | self.columns[row["Sequence"]] for row in rows]
        return (self.summary(rows) if self.summary else scores), rows


def object_evaluation(
    benchmark: Any, extractor: nn.Module, context: RunContext, ends_scored: bool = False, gaps_count: bool = False
) -> MaskEvaluation:
    """Return what a benchmark of objects begins a run with; without ground truth, predictions are packed for a server.

    Args:
        benchmark: its `protocol`, `sequences` and `predictions` say what is done.
        extractor: extractor of the features.
        context: says where files go.
        ends_scored: the last frame of an object counts.
        gaps_count: see `scored_objects`.
    """
    tracker = LabelTracker(extractor, benchmark.protocol)
    scoring = ObjectMetrics(context, len(tracker.stages), ends_scored, gaps_count)
    archive = None if all(sequence.ground_truth for sequence in benchmark.sequences) else ""
    return MaskEvaluation(tracker, scoring, context, benchmark.predictions, archive)


class ObjectScorer:
    """J and F of each object on the annotated frames after the one that introduces it.

    Args:
        sequence: with ground truth.
        objects: result of `scored_objects`.
        metrics: one for each stage; an object that no later frame annotates is left out.
        pool: where the frames are scored.
    """

    def __init__(
        self, sequence: MaskSequence, objects: tuple[int, ...], metrics: Sequence[RegionBoundary], pool: Executor
    ) -> None:
        self.sequence, self.objects, self.metrics = sequence, objects, metrics
        self.frames: list[int] = []
        self.scores = [
            SequenceScore(sequence.name, self.objects, bound=metric.bound, ends_scored=metric.ends_scored, pool=pool)
            for metric in metrics
        ]

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score an annotated frame; see `SequenceScorer`.

        Raises:
            DataError: if its mask holds an id that no mask introduces.
        """
        truth = self.sequence.mask(t)
        present = tuple(number for number in self.objects if self._start(number) < t)
        self.frames.append(t)
        if unknown := set(object_ids(truth.numpy())) - set(self.sequence.objects):
            raise DataError(
                f"{self.sequence.masks[t]}: holds id {min(unknown)}, which no mask introduces; take it out of the "
                "mask, or score these videos by VosBenchmark, where objects may enter later"
            )
        target = object_outlines(truth, present)
        for score, mask in zip(self.scores, tracked.decoded, strict=True):
            score.add(mask, target, objects=present)
        return truth

    def _start(self, number: int) -> int:
        return self.sequence.starts.get(number, 0)  # 0 for an id in a gap

    def close(self) -> None:
        """Put the sequence into the metrics."""
        if self.objects:
            for metric, score in zip(self.metrics, self.scores, strict=True):
                metric.update(score)

    def curves(self) -> dict[str, Curve]:
        """Return J and F of each frame, the mean over its objects."""
        scored = self.frames if self.scores[-1].ends_scored else self.frames[1:-1]
        values: dict[int, list[tuple[float, float]]] = {t: [] for t in scored}
        for k, pair in self.scores[-1].frames().items():
            later = [t for t in scored if self._start(k) < t]
            for t, of_frame in zip(later, zip(*pair, strict=True), strict=True):
                values[t].append(of_frame)
        means = {t: np.mean(pairs, axis=0) for t, pairs in values.items() if pairs}
        region, boundary = np.array(list(means.values())).reshape(-1, 2).T.tolist()
        return {"J": (list(means), region), "F": (list(means), boundary)}


def scored_objects(sequence: MaskSequence, ends_scored: bool, gaps_count: bool = False) -> tuple[int, ...]:
    """Return the objects of a sequence with a frame to score after the one that introduces them.

    Args:
        sequence: with ground truth.
        ends_scored: the last annotated frame counts.
        gaps_count: every id up to the largest of the first frame is an object, as davis2017-evaluation counts them.
    """
    annotated = sorted(sequence.masks)
    last = annotated[-1] if ends_scored else annotated[-2] if len(annotated) > 1 else -1
    starts = dict(sequence.starts)
    if gaps_count:
        largest = max((number for number, start in starts.items() if start == 0), default=0)
        starts = dict.fromkeys(range(1, largest + 1), 0) | starts
    return tuple(sorted(number for number, start in starts.items() if start < last))


def annotated_frames(sequence: MaskSequence) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield each frame of a sequence, with its mask where that introduces objects.

    Raises:
        DataError: if that mask does not hold an object that it is to introduce; the metric counts two empty masks as a
            perfect match.
    """
    for t, frame in enumerate(sequence.read()):
        entering = sequence.entering(t)
        mask = sequence.mask(t) if entering else None
        if mask is not None and (absent := set(entering) - set(object_ids(mask.numpy()))):
            raise DataError(f"{sequence.masks[t]}: does not hold object {min(absent)}, which is to start in this frame")
        yield frame, mask


def zip_predictions(folder: Path, inside: str = "") -> Path:
    """Put `folder/predictions` into `folder/predictions.zip`.

    Args:
        folder: folder of the run.
        inside: folder of the archive that holds the sequences; "" is its top (DAVIS), "Annotations" is YouTube-VOS's.

    Returns:
        The archive.
    """
    path = folder / "predictions.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((folder / "predictions").rglob("*.png")):
            archive.write(file, Path(inside) / file.relative_to(folder / "predictions"))
    return path
