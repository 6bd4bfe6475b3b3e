"""The evaluation of propagated object masks: prediction, scoring in a thread, files."""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.datasets import MaskSequence
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import object_ids

from ..metrics import ObjectScores
from ..metrics.rules import RULES, Rules, Video, VideoScore
from ..metrics.rules.base import Ids
from ..pictures import Picture, overlay_masks
from ..pictures.animation import Curve, reduced
from ..tracking.label_tracker import LabelTracker, TrackedFrame
from ..tracking.record import IndexedMasks
from .evaluation import Evaluation, Outcome, Row, RunContext, by_stage, over_ranks
from .resized import at_size_of_data

ANIMATIONS_SHOW = "propagated masks; the first frame's are the annotation, where the protocol gives it"


class MaskEvaluation(Evaluation):
    """Follow the objects of each sequence by label propagation; frames are scored while the next ones are propagated.

    Args:
        tracker: carries the labels.
        scoring: its `scorer(sequence, pool)` gives what scores a sequence, with `add`, `close` and `curves` as in
            `ObjectScorer`, or None without ground truth; its `compute(stage)` gives scores and rows.
        context: says where files go.
        predictions: write the predicted masks.
        archive: folder inside predictions.zip that holds the sequences ("" is its top); None: no archive.
    """

    def __init__(
        self,
        tracker: LabelTracker,
        scoring: Any,
        context: RunContext,
        predictions: bool = True,
        archive: str | None = None,
    ) -> None:
        super().__init__(tracker, context, predictions)
        self.scoring, self.archive = scoring, archive

    def follow(self, sequence: Any) -> None:
        """Predict, score and write one sequence; see `Evaluation`."""
        self.follow_masks(sequence)

    def follow_masks(self, sequence: MaskSequence, kind: str = "") -> None:
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

        record = self.record(sequence, overlay_masks, masks, kind, draw_animation=draw_small)
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
    """The values of each object by the rules of a data set.

    Args:
        context: over whose ranks the metrics gather.
        stages: number of stages.
        rules: those of the data set, which need no metadata.
        columns: row's name → more columns of the row.
        summary: rows → scores; None takes those of the rules.
    """

    def __init__(
        self,
        context: RunContext,
        stages: int,
        rules: Rules,
        columns: Mapping[str, Row] | None = None,
        summary: Callable[[Sequence[Row]], dict[str, float]] | None = None,
    ) -> None:
        self.metrics = [ObjectScores(rules, **context.gathering) for _ in range(stages)]
        self.rules, self.columns, self.summary = rules, columns, summary

    def scorer(self, sequence: MaskSequence, pool: Executor) -> "ObjectScorer | None":
        """Return what scores a sequence; None where its masks only introduce objects."""
        followed = any(start < max(sequence.masks) for start in sequence.starts.values())
        return ObjectScorer(sequence, self.rules, self.metrics, pool) if sequence.ground_truth and followed else None

    def compute(self, stage: int) -> tuple[dict[str, float], list[Row]]:
        """Return scores and rows of one stage, gathered over the ranks."""
        scores, rows = over_ranks(self.metrics[stage])
        if self.columns is not None:
            rows = [row | self.columns[row["Sequence"]] for row in rows]
        return (self.summary(rows) if self.summary else scores), rows


def object_evaluation(benchmark: Any, extractor: nn.Module, context: RunContext, rules: str) -> MaskEvaluation:
    """Return what a benchmark of objects begins a run with; without ground truth, predictions are packed for a server.

    Args:
        benchmark: its `protocol`, `sequences` and `predictions` say what is done.
        extractor: extractor of the features.
        context: says where files go.
        rules: name in `RULES` of those by which the masks are scored.
    """
    tracker = LabelTracker(extractor, benchmark.protocol)
    scoring = ObjectMetrics(context, len(tracker.stages), RULES[rules])
    archive = None if all(sequence.ground_truth for sequence in benchmark.sequences) else ""
    return MaskEvaluation(tracker, scoring, context, benchmark.predictions, archive)


class ObjectScorer:
    """The scores of one sequence, for all stages.

    Args:
        sequence: with ground truth.
        rules: say which frames and objects count.
        metrics: one for each stage.
        pool: where the frames are scored.

    Raises:
        DataError: if the rules leave nothing to score.
    """

    def __init__(self, sequence: MaskSequence, rules: Rules, metrics: Sequence[ObjectScores], pool: Executor) -> None:
        self.sequence, self.rules, self.metrics, self.pool = sequence, rules, metrics, pool
        self.stems = {t: sequence.masks[t].stem for t in sorted(sequence.masks)}
        frames = {stem: t for t, stem in self.stems.items()}
        positions = {t: position for position, t in enumerate(self.stems)}
        starts = {number: positions[t] for number, t in sequence.starts.items()}

        def annotation(stem: str) -> Ids:
            return sequence.mask(frames[stem]).numpy()

        try:
            plan = rules.plan(Video(sequence.name, list(frames), annotation, starts=starts))
        except DataError:
            raise
        except ValueError as error:
            raise DataError(f"{sequence.masks[min(sequence.masks)].parent}: {error}") from error
        self.known = set(plan) if rules.refuses_unknown else set(sequence.objects)
        self.scores = [VideoScore(rules, plan) for _ in metrics]
        self.pending: list[Future[None]] = []

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score frame `t`, which has an annotation, and return that: ids `(H, W)`, for the animations.

        Raises:
            DataError: if the annotation holds an id that no mask introduces.
        """
        truth = self.sequence.mask(t).numpy()
        if unknown := set(object_ids(self.rules.ids(truth))) - self.known:
            raise DataError(
                f"{self.sequence.masks[t]}: holds id {min(unknown)}, which no mask introduces; take it out of the "
                "mask, or score these videos by VosBenchmark and rules youtube-vos, where objects may enter later"
            )
        self.pending.append(self.pool.submit(self._score, self.stems[t], truth, tracked.decoded))
        return torch.from_numpy(truth)

    def _score(self, stem: str, truth: Ids, masks: Sequence[Tensor]) -> None:
        if stem not in self.scores[0].objects:
            return
        outlines = self.scores[0].outlines(stem, truth)
        for score, mask in zip(self.scores, masks, strict=True):
            score.add(stem, mask.numpy(), outlines)

    def close(self) -> None:
        """Put the sequence into the metrics."""
        for frame in self.pending:
            frame.result()
        for metric, score in zip(self.metrics, self.scores, strict=True):
            metric.update(self.sequence.name, score.values())

    def curves(self) -> dict[str, Curve]:
        """Return J and F of each frame, the mean over its objects, of the last stage; asked for after `close`."""
        curves: dict[str, Curve] = {}
        for measure in ("J", "F"):
            if measure in self.rules.measures:
                means = self.scores[-1].frame_means(measure)
                frames = [t for t, stem in self.stems.items() if stem in means]
                curves[measure] = frames, [means[self.stems[t]] for t in frames]
        return curves


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
