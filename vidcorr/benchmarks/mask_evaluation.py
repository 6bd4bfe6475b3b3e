"""The evaluation of propagated object masks by the rules of a data set: prediction, scoring in a thread, files."""

import io
import zipfile
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..datasets import MaskSequence
from ..functional import PropagationProtocol
from ..functional.propagation.coding import Size, resize_images
from ..metrics.rules import RULES
from ..metrics.scoring import Ids, MaskScorer, ObjectRows, Rules, Video
from ..results.pictures import Picture, overlay_masks
from ..results.pictures.overlays import Curve, reduced
from ..tracking.label_tracker import LabelTracker, TrackedFrame
from ..tracking.record import IndexedMasks
from ..videos.files import DataError, errors_at
from ..videos.images import read_ahead
from ..videos.mask_files import object_ids
from .base import Benchmark
from .evaluation import Evaluation, RunContext

JPEG_QUALITY = 75
"""Pillow's default, with which the scripts of CatMAE and RSP save resized frames."""
MOST_PENDING = 16
"""Frames that may wait for their scores; then the network waits, so memory does not grow with the video."""
ANIMATIONS_SHOW = "propagated masks; the first frame's are the annotation, where the protocol gives it"


@dataclass(frozen=True)
class MaskBenchmark(Benchmark):
    """Base of the benchmarks of object masks: a reader, a protocol, and scoring rules.

    A subclass has a field `protocol`: a protocol, or the name of a protocol with values for the benchmark.
    """

    animations_show = ANIMATIONS_SHOW
    protocol_kind = PropagationProtocol
    shares_passes = True
    archive: ClassVar[str] = ""
    """Folder of the sequences inside predictions.zip; "" is its top (DAVIS)."""

    @abstractmethod
    def data_rules(self, videos: Sequence[MaskSequence] = ()) -> Rules:
        """Return the data set's scoring rules, for protocols without scoring rules; () stands for data not yet read."""

    def rules_for(self, protocol: Any, videos: Sequence[MaskSequence] = ()) -> Rules:
        """Return the scoring rules: the protocol's if it has any, else the data set's."""
        return self.data_rules(videos) if protocol.scoring == "benchmark" else RULES[protocol.scoring]

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """Return the means of J and F that the rules measure; see `Benchmark`."""
        measures = self.rules_for(self.protocol).measures
        return tuple(f"{measure}-Mean" for measure in measures if measure in ("J", "F"))

    @property
    def videos(self) -> Mapping[str, Mapping[str, Any]]:
        """Video → its metadata, if the rules need them."""
        return {}

    @property
    def unseen_names(self) -> Collection[str]:
        """Videos or categories that training has not seen, if the rules distinguish them."""
        return ()

    @cached_property
    def data_set(self) -> Sequence[MaskSequence]:
        """The whole data set, read once.

        Raises:
            DataError: if the rules leave nothing to score in a video; names the video.
        """
        videos: Sequence[MaskSequence] = self.read()
        rules = self.rules_for(self.protocol, videos)
        for video in videos if rules.inner_only else ():
            if video.ground_truth and len(video.masks) < 3:
                raise DataError(
                    f"{video.masks[0].parent}: {len(video.masks)} masks, but by rules {rules.name} neither the "
                    "first nor the last is scored; take the video out of the list"
                )
        return videos

    def start(self, extractor: nn.Module, context: RunContext) -> "MaskEvaluation":
        """Begin a run; without ground truth, the predictions are packed for a server."""
        sequences, tracker = self.sequences, LabelTracker(extractor, context.protocols)
        rules = self.rules_for(context.protocols[0], self.data_set)  # equal for all protocols of a pass
        metrics = [ObjectRows(rules, self.videos, self.unseen_names) for _ in tracker.stages]
        evaluation = MaskEvaluation(context, metrics, tracker, self.predictions)
        evaluation.facts = {"rules": rules.stated()}
        if not all(sequence.ground_truth for sequence in sequences):
            files = [
                Path(sequence.video, sequence.folder, f"{stem}.png")
                for sequence in sequences
                for stem in predicted_stems(sequence)
                if stem is not None
            ]
            evaluation.packed = {file: Path(self.archive, file) for file in files}
        return evaluation


class MaskEvaluation(Evaluation):
    """Follow objects by label propagation, and score them by the rules of the metrics.

    A thread scores frames while the network propagates later frames.

    Attributes:
        packed: file, relative to the predictions → its place in predictions.zip; empty: no archive. An earlier run may
            have left other files.
        facts: what `data` states beside the facts of every evaluation.
    """

    packed: Mapping[Path, Path] = MappingProxyType({})
    facts: Mapping[str, Any] = MappingProxyType({})

    def scorer(self, sequence: Any, pool: Executor) -> Any:
        """Return the scorer of a sequence, with `add` and `finish` as in `ObjectScorer`; None does not score it.

        A sequence is scored if an object has masks after its first.
        """
        followed = any(start < max(sequence.masks) for start in sequence.starts.values())
        return ObjectScorer(sequence, self.metrics, pool) if sequence.ground_truth and followed else None

    def follow(self, sequence: MaskSequence, kind: str = "") -> None:
        """Predict, score and write a sequence.

        Args:
            sequence: the sequence.
            kind: folder of its files, if a benchmark follows it in several ways.
        """
        sequence, frames = at_size_of_data(sequence, self.tracker.protocols[0])
        view, stems = self.tracker.view(sequence.size), predicted_stems(sequence)
        files = [
            IndexedMasks(folder / sequence.video / sequence.folder, stems) for folder in self.prediction_folders(kind)
        ]
        nothing = torch.zeros(sequence.size, dtype=torch.uint8)
        for file in files:
            for _ in range(len(stems) - sequence.num_frames):  # the frames before the first object
                file.add(nothing)
        with (
            ThreadPoolExecutor(max_workers=1) as pool,
            self.record(sequence, overlay_masks, files, kind, draw_animation=_overlay_small) as record,
        ):
            scorer = self.scorer(sequence, pool)
            tracked_frames = self.tracker.track_masks(annotated_frames(sequence, frames), sequence.starts, view)
            for t, tracked in enumerate(tracked_frames):
                truth = None
                if scorer is not None and t in sequence.masks:
                    with self.watch("score"):
                        truth = scorer.add(t, tracked)
                with self.watch("write"):
                    record.add(tracked.frame, tracked.decoded, truth=truth)
            curves: dict[str, Curve] = {}
            if scorer is not None:
                with self.watch("score"):
                    curves = scorer.finish()
            record.close(curves)

    def finish(self, folder: Path) -> None:
        """Write predictions.zip for data without ground truth; see `Evaluation`."""
        folders = self.prediction_folders() if self.packed else []
        for predictions in folders:
            with zipfile.ZipFile(predictions.with_suffix(".zip"), "w", zipfile.ZIP_STORED) as archive:
                for file in sorted(self.packed):
                    archive.write(predictions / file, self.packed[file])

    def data(self) -> dict[str, Any]:
        """Return the scoring rules; see `Evaluation`."""
        return {**self.facts, **super().data()}


def _overlay_small(frame: Tensor, mask: Tensor) -> Picture:
    return overlay_masks(*reduced(frame, mask))


def predicted_stems(sequence: MaskSequence) -> list[str | None]:
    """Return the stem of each frame's predicted mask, None for a frame that the benchmark does not report.

    If it reports all frames, the frames before the first object come first: their predictions are empty.
    """
    if sequence.reported is None:
        return [path.stem for path in (*sequence.earlier, *sequence.frames)]
    return [path.stem if t in sequence.reported else None for t, path in enumerate(sequence.frames)]


class ObjectScorer:
    """The scores of a sequence, for all stages.

    Args:
        sequence: a sequence with ground truth.
        metrics: a metric per stage; their rules say which frames and objects count.
        pool: scores the frames.

    Raises:
        DataError: if the rules leave nothing to score, or count a frame without a mask.
    """

    def __init__(self, sequence: MaskSequence, metrics: Sequence[ObjectRows], pool: Executor) -> None:
        self.sequence, self.metrics, self.pool = sequence, metrics, pool
        self.rules: Rules = metrics[0].rules
        self.stems = {t: sequence.masks[t].stem for t in sorted(sequence.masks)}
        files = {path.stem: path for path in (*sequence.earlier, *(sequence.masks[t] for t in self.stems))}
        starts = {number: list(files).index(self.stems[t]) for number, t in sequence.starts.items()}
        folder = sequence.masks[min(self.stems)].parent

        def annotation(stem: str) -> Ids:
            return sequence.read_ids(files[stem]).numpy()

        meta = metrics[0].videos.get(sequence.video, {})
        video = Video(sequence.video, list(files), annotation, meta, starts=starts)
        with errors_at(folder):
            self.scorer = MaskScorer(self.rules, video, len(metrics))
        if not self.scorer.plan:
            raise DataError(f"{folder}: rules {self.rules.name} score no object here; take the video out of the list")
        if lacking := sorted(self.scorer.objects.keys() - files.keys()):
            raise DataError(f"{folder}: the metadata counts frame {lacking[0]}, which has no mask")
        self.pending: deque[Future[None]] = deque()
        nothing = [torch.zeros(sequence.size, dtype=torch.uint8)] * len(metrics)
        for path in sequence.earlier:  # nothing is predicted before the first object
            self.pending.append(pool.submit(self._score, path, annotation(path.stem), nothing))

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score the annotated frame `t`, and return its annotation: ids `(H, W)`, for the animations.

        Raises:
            DataError: if an earlier annotation holds an unknown id, and the rules refuse it.
        """
        file = self.sequence.masks[t]
        truth = self.sequence.read_ids(file).numpy()
        while len(self.pending) >= MOST_PENDING:
            self.pending.popleft().result()
        self.pending.append(self.pool.submit(self._score, file, truth, tracked.decoded))
        return torch.from_numpy(truth)

    def _score(self, file: Path, truth: Ids, masks: Sequence[Tensor]) -> None:
        with errors_at(file):
            self.scorer.add(file.stem, truth, *(mask.numpy() for mask in masks))

    def finish(self) -> dict[str, Curve]:
        """Update the metrics; return J and F by frame, means over objects, of the last stage."""
        for frame in self.pending:
            frame.result()
        for metric, objects in zip(self.metrics, self.scorer.finish(), strict=True):
            metric.update(
                self.sequence.video, {self.sequence.folder or number: values for number, values in objects.items()}
            )
        curves: dict[str, Curve] = {}
        for measure in ("J", "F"):
            if measure in self.rules.measures:
                means = self.scorer.frame_means(measure)
                frames = [t for t, stem in self.stems.items() if stem in means]
                curves[measure] = frames, [means[self.stems[t]] for t in frames]
        return curves


def annotated_frames(sequence: MaskSequence, frames: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the frames of a sequence; a frame in which objects start has its mask, any other None.

    Raises:
        DataError: if a mask lacks an object that starts in it: the metric would count two empty masks as a perfect
            match.
    """
    begins = set(sequence.starts.values())
    for t, frame in enumerate(frames):
        mask = sequence.mask(t) if t in begins else None
        if mask is not None and (absent := set(sequence.entering(t)) - set(object_ids(mask.numpy()))):
            raise DataError(f"{sequence.masks[t]}: lacks object {min(absent)}, which starts here by the data set")
        yield frame, mask


def at_size_of_data(sequence: MaskSequence, protocol: PropagationProtocol) -> tuple[MaskSequence, Iterator[Tensor]]:
    """Return a sequence and its frames, masks and frames at the size of a protocol's `resized_data`."""
    size = protocol.resized_data
    if size is None or size == sequence.size:
        return sequence, sequence.read()
    frames = read_ahead(saved_at(sequence.frame(t), size) for t in range(sequence.num_frames))
    return replace(sequence, size=size), frames


def saved_at(frame: Tensor, size: Size) -> Tensor:
    """Return a frame resized by the nearest pixel, saved as JPEG and read again, as a resized data set holds it."""
    resized = resize_images(frame[None], size, "pillow-nearest")[0]
    file = io.BytesIO()
    Image.fromarray(resized.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=JPEG_QUALITY)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
