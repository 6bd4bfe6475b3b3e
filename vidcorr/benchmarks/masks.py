"""Propagated object masks, scored by the rules of a data set: prediction, scores in a thread, files."""

import io
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..datasets import MaskSequence
from ..functional import PropagationProtocol
from ..functional.propagation.coding import Size
from ..functional.propagation.resizing import resize_images
from ..metrics.rules import RULES
from ..metrics.scoring import Ids, MaskScorer, Object, Rules, Values, Video
from ..results.pictures import overlay_masks
from ..results.pictures.animations import Curve, overlay_masks_small
from ..results.result import Row
from ..tracking.frame_encoder import Output
from ..tracking.label_tracker import LabelTracker, TrackedFrame
from ..tracking.record import IndexedMasks, RunWriter, files_of
from ..videos.files import DataError, errors_at
from ..videos.images import AGAIN, read_ahead
from ..videos.mask_files import object_ids
from .base import Benchmark
from .run import Scorer

JPEG_QUALITY = 75
"""Pillow's default, with which the scripts of CatMAE and RSP save resized frames."""
MOST_PENDING = 16
"""Frames that may wait for their scores; then the network waits, so memory does not grow with the video."""
SequenceT = TypeVar("SequenceT", bound=MaskSequence)
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
        """Return the means of J and F that the rules measure."""
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
        if not rules.inner_only:
            return videos
        for video in videos:
            if video.ground_truth and len(video.masks) < 3:
                raise DataError(
                    f"{video.masks[0].parent}: {len(video.masks)} masks, but by rules {rules.name} neither the "
                    "first nor the last is scored; take the video out of the list"
                )
        return videos

    def scorer(self, extractor: nn.Module, protocols: Sequence[Any]) -> "ObjectScorer":
        """Return the scorer of a run; the protocols of a pass have the same rules."""
        rules = self.rules_for(protocols[0], self.data_set)
        return ObjectScorer(extractor, LabelTracker(extractor, protocols), rules, self)

    def columns_of(self, sequence: MaskSequence, number: int) -> dict[str, Any]:
        """Return further columns of an object's row; by default none."""
        return {}

    @property
    def pooled(self) -> bool:  # type: ignore[override]
        """True if the rules average over groups of objects."""
        return self.rules_for(self.protocol, self.data_set).pooled

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the scores of the data set by its rules, from the values of the objects."""
        rules = self.rules_for(self.protocol, self.data_set)
        return rules.table(self.values_of_objects(rows), self.videos, self.unseen_names)

    def values_of_objects(self, rows: Sequence[Row]) -> dict[tuple[str, Object], Values]:
        """Return (video, object) → the values that the rules measured, sorted by name."""
        objects: dict[tuple[str, Object], Values] = {}
        for row in self.in_order(rows):
            values: Values = {}
            for column, value in row.values.items():
                if column not in self.text_columns:
                    values[column] = float(value)
            objects[row.video, row.object] = values
        return objects

    def packed(self) -> dict[Path, Path]:
        """Return the predictions of data without ground truth, which are packed for a server."""
        if all(sequence.ground_truth for sequence in self.sequences):
            return {}
        packed: dict[Path, Path] = {}
        for sequence in self.sequences:
            for stem in predicted_stems(sequence):
                if stem is not None:
                    file = Path(sequence.video, sequence.folder, f"{stem}.png")
                    packed[file] = Path(self.archive, file)
        return packed


class FrameScores(Protocol):
    """The scores of a sequence under way, frame by frame."""

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score the annotated frame `t`, and return its annotation: ids `(H, W)`, for the animations."""
        ...

    def finish(self) -> dict[str, Curve]:
        """End the scoring; return the measures of the last output, frame by frame."""
        ...


class MaskTracker(Scorer):
    """Propagates the masks of sequences, and feeds the frames to scores and files."""

    tracker: LabelTracker

    def follow(
        self,
        sequence: MaskSequence,
        frames: Iterator[Tensor],
        scores: FrameScores | None,
        writer: RunWriter | None,
        kind: str = "",
    ) -> None:
        """Predict, score and write a sequence.

        Args:
            sequence: the sequence.
            frames: its frames.
            scores: takes the annotated frames; None scores nothing.
            writer: the files of the run; None writes nothing.
            kind: folder of its files, if a benchmark follows it in several ways.
        """
        sizes = self.tracker.sizes(sequence.size)
        masks = partial(_predicted_masks, sequence)
        with files_of(writer, sequence, overlay_masks, masks, kind=kind, draw_animation=overlay_masks_small) as files:
            tracked_frames = self.tracker.track_masks(annotated_frames(sequence, frames), sequence.starts, sizes)
            for t, tracked in enumerate(tracked_frames):
                truth = None
                if scores is not None and t in sequence.masks:
                    with self.watch("score"):
                        truth = scores.add(t, tracked)
                if files is not None:
                    with self.watch("write"):
                        files.add(tracked.frame, tracked.decoded, truth=truth)
            curves: dict[str, Curve] = {}
            if scores is not None:
                with self.watch("score"):
                    curves = scores.finish()
            if files is not None:
                files.close(curves)


def _predicted_masks(sequence: MaskSequence, folder: Path) -> IndexedMasks:
    """Return the file of a sequence's masks, with empty masks for the frames before its first object."""
    stems = predicted_stems(sequence)
    masks = IndexedMasks(folder / sequence.video / sequence.folder, stems)
    nothing = torch.zeros(sequence.size, dtype=torch.uint8)
    for _ in range(len(stems) - sequence.num_frames):
        masks.add(nothing)
    return masks


class ObjectScorer(MaskTracker):
    """Propagates object masks, and scores the objects by the rules of a data set.

    A thread scores frames while the network propagates later frames.

    Args:
        extractor: the features of a network.
        tracker: propagates the masks.
        rules: scoring rules of the data set.
        benchmark: its metadata, and further columns of the rows.
    """

    def __init__(self, extractor: nn.Module, tracker: LabelTracker, rules: Rules, benchmark: MaskBenchmark) -> None:
        super().__init__(extractor, tracker)
        self.rules = rules
        self.benchmark = benchmark

    def score(self, sequence: MaskSequence, writer: RunWriter | None) -> Iterator[tuple[Output, Row]]:
        """Track and score a sequence: a row per object.

        A sequence is scored if an object has masks after its first.
        """
        sequence, frames = at_size_of_data(sequence, self.tracker.protocols[0])
        is_followed = bool(sequence.starts) and min(sequence.starts.values()) < max(sequence.masks)
        if not sequence.ground_truth or not is_followed:
            self.follow(sequence, frames, None, writer)
            return
        meta = self.benchmark.videos.get(sequence.video, {})
        with ThreadPoolExecutor(max_workers=1) as pool:
            scores = ObjectScores(sequence, self.rules, meta, len(self.outputs), pool)
            self.follow(sequence, frames, scores, writer)
        for output, objects in zip(self.outputs, scores.objects, strict=True):
            for number, values in objects.items():
                columns = self.benchmark.columns_of(sequence, int(number))
                name = sequence.folder or str(number)
                yield output, Row(video=sequence.video, object=name, stage=output.stage, values=values | columns)

    def facts(self) -> dict[str, Any]:
        """Return the scoring rules, and whether features were constant."""
        return {"rules": self.rules.stated(), **super().facts()}


def predicted_stems(sequence: MaskSequence) -> list[str | None]:
    """Return the stem of each frame's predicted mask, None for a frame that the benchmark does not report.

    If it reports all frames, the frames before the first object come first: their predictions are empty.
    """
    if sequence.reported is None:
        return [path.stem for path in (*sequence.earlier, *sequence.frames)]
    return [path.stem if t in sequence.reported else None for t, path in enumerate(sequence.frames)]


class ObjectScores:
    """The scores of a sequence's objects, for all outputs.

    Args:
        sequence: a sequence with ground truth.
        rules: rules of the data set, which say which frames and objects count.
        meta: the video's entry in the metadata of the data set; empty without metadata.
        outputs: number of predictions of each frame.
        pool: scores the frames.

    Attributes:
        objects: per output, object → values; complete after `finish`.

    Raises:
        DataError: if the rules leave nothing to score, or count a frame without a mask.
    """

    def __init__(
        self, sequence: MaskSequence, rules: Rules, meta: Mapping[str, Any], outputs: int, pool: Executor
    ) -> None:
        self.sequence = sequence
        self.pool = pool
        self.objects: list[dict[Object, Values]] = []
        self.pending: deque[Future[None]] = deque()
        masks = dict(sorted(sequence.masks.items()))
        self.stems = {t: path.stem for t, path in masks.items()}
        files = {path.stem: path for path in (*sequence.earlier, *masks.values())}
        stems = list(files)
        starts = {number: stems.index(self.stems[t]) for number, t in sequence.starts.items()}
        folder = next(iter(masks.values())).parent

        def annotation(stem: str) -> Ids:
            return sequence.read_ids(files[stem]).numpy()

        video = Video(sequence.video, stems, annotation, meta, starts=starts)
        with errors_at(folder):
            self.scorer = MaskScorer(rules, video, outputs)
        if not self.scorer.plan:
            raise DataError(f"{folder}: rules {rules.name} score no object here; take the video out of the list")
        without_mask = sorted(self.scorer.objects.keys() - files.keys())
        if without_mask:
            raise DataError(f"{folder}: the metadata counts frame {without_mask[0]}, which has no mask")
        nothing = [torch.zeros(sequence.size, dtype=torch.uint8)] * outputs
        for path in sequence.earlier:  # nothing is predicted before the first object
            self.pending.append(pool.submit(self._score, path, annotation(path.stem), nothing))

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        """Score the annotated frame `t`, and return its annotation: ids `(H, W)`, for the animations.

        Raises:
            DataError: if an earlier annotation holds an unknown id, and the rules refuse it.
        """
        file = self.sequence.masks[t]
        truth = self.sequence.read_ids(file)
        while len(self.pending) >= MOST_PENDING:
            self.pending.popleft().result()
        self.pending.append(self.pool.submit(self._score, file, truth.numpy(), tracked.decoded))
        return truth

    def _score(self, file: Path, truth: Ids, masks: Sequence[Tensor]) -> None:
        with errors_at(file):
            self.scorer.add(file.stem, truth, *map(Tensor.numpy, masks))

    def finish(self) -> dict[str, Curve]:
        """Complete `objects`; return J and F of the last output, frame by frame, averaged over objects."""
        for frame in self.pending:
            frame.result()
        self.objects = self.scorer.finish()
        curves: dict[str, Curve] = {}
        for measure in ("J", "F"):
            if measure in self.scorer.rules.measures:
                means = self.scorer.frame_means(measure)
                mean_of_frame: dict[int, float] = {}
                for t, stem in self.stems.items():
                    if stem in means:
                        mean_of_frame[t] = means[stem]
                curves[measure] = list(mean_of_frame), list(mean_of_frame.values())
        return curves


def annotated_frames(sequence: MaskSequence, frames: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the frames of a sequence; a frame in which objects start has its mask, any other None.

    Raises:
        DataError: if a mask lacks an object that starts in it: the metric would count two empty masks as a perfect
            match.
    """
    begins = set(sequence.starts.values())
    for t, frame in enumerate(frames):
        mask = None
        if t in begins:
            mask = sequence.mask(t)
            absent = set(sequence.entering(t)) - set(object_ids(mask.numpy()))
            if absent:
                lacking = f"lacks object {min(absent)}, which starts here by the data set's metadata"
                raise DataError(f"{sequence.masks[t]}: {lacking}; {AGAIN}")
        yield frame, mask


def at_size_of_data(sequence: SequenceT, protocol: PropagationProtocol) -> tuple[SequenceT, Iterator[Tensor]]:
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
