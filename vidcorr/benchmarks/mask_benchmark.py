"""Propagated object masks, scored by the rules of a data set."""

import io
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets import MaskSequence
from ..functional import LabelPropagator
from ..functional.propagation.coding import Size
from ..functional.propagation.resizing import resize_images
from ..metrics.declared import Score
from ..metrics.rules import RULES
from ..metrics.scoring import AnnotatedVideo, MaskScorer, Rules, numbers_in, values_of_objects
from ..protocols import PropagationProtocol
from ..results.pictures.animations import overlay_masks_small
from ..results.result import Result, Row
from ..tracking.frame_encoder import FrameEncoder
from ..tracking.labels import MaskCoding, Propagator, TrackedFrame, follow_labels
from ..videos.files import WRONG_JSON, DataError, errors_at
from ..videos.image_files import read_ahead, write_behind
from ..videos.masks import object_ids
from .base import Benchmark, sorted_rows
from .output import Output, SequencePictures

SequenceT = TypeVar("SequenceT", bound=MaskSequence)
CAPTION = "propagated masks; the first frame's are the annotation, where the protocol gives it"


@dataclass(frozen=True)
class MaskBenchmark(Benchmark):
    """Base of the benchmarks of object masks: a reader, a protocol, and scoring rules.

    A subclass has a field `protocol`: a protocol, or the name of a protocol with values for the benchmark; and `rules`,
    an attribute, a field or a property. A user's rules are added to `RULES`.
    """

    protocol_class = PropagationProtocol
    archive_folder: ClassVar[str] = ""
    """Folder of the sequences inside predictions.zip; empty for its top (DAVIS)."""

    @property
    @abstractmethod
    def rules(self) -> str:
        """Name in `RULES` of the data set's scoring rules."""

    @property
    def scoring_rules(self) -> Rules:
        return RULES[self.rules]

    @property
    def declared(self) -> tuple[Score, ...]:
        return self.scoring_rules.declared

    @property
    def pooled(self) -> bool:  # type: ignore[override]
        return self.scoring_rules.pooled

    def score(self, sequence: MaskSequence, encoder: FrameEncoder, output: Output) -> list[Row]:
        """Propagate the masks of a sequence, write them, and score the annotated frames: a row per object.

        A thread scores and writes frames while the network follows later frames. A sequence without ground truth, or
        without an annotated frame after the first object's start, gives no rows.
        """
        sequence, frames = at_size_of_data(sequence, encoder.protocol)
        predictions = PredictedMasks(sequence, self._scorer_of(sequence), output)
        begin = sequence.begin
        # `later` queues a call of `add` for the thread
        with write_behind(predictions.add) as later:
            for t in sequence.annotated:
                if t < begin:
                    later(t, torch.zeros(sequence.size, dtype=torch.uint8))
            for t, tracked in enumerate(follow_masks(sequence, frames, encoder, type(self).propagator), begin):
                # waiting for the thread
                with encoder.watch("score and write"):
                    later(t, tracked.decoded, tracked.frame)
        return predictions.finish()

    def _scorer_of(self, sequence: MaskSequence) -> MaskScorer | None:
        """Return the scorer of a sequence's frames; None without ground truth after the first object's start."""
        first = sequence.begin
        if not sequence.ground_truth or first >= sequence.annotated[-1]:
            return None
        folder = sequence.annotation(first).parent

        def shown(t: int) -> set[int]:
            return numbers_in(sequence.read_mask(t).numpy())

        # from it the rules plan which frames count for which object: they ask `shown` for the masks that they need
        video = AnnotatedVideo(sequence.name, sequence.annotated, shown, starts=sequence.starts)
        with errors_at(folder, *WRONG_JSON):
            scorer = MaskScorer(self.scoring_rules, video)
        if not scorer.plan:
            name = self.scoring_rules.name
            raise DataError(f"{folder}: rules {name} score no object here; take the video out of the list")
        return scorer

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        return self.scoring_rules.scores(values_of_objects(sorted_rows(rows)))

    def doubts(self, rows: Sequence[Row], scores: Mapping[str, float]) -> list[str]:
        return self.scoring_rules.doubts(dict(scores))

    def facts(self, rows: Sequence[Row], encoder: FrameEncoder) -> dict[str, Any]:
        return super().facts(rows, encoder) | {"rules": self.scoring_rules.facts()}

    def finish(self, result: Result, output: Output) -> None:
        """Pack the predictions for a server, if a sequence has no ground truth."""
        if all(sequence.ground_truth for sequence in self.sequences):
            return
        packed: dict[Path, Path] = {}
        for sequence in self.sequences:
            for t in predicted_frames(sequence):
                file = mask_file(sequence, t)
                packed[file] = Path(self.archive_folder, file)
        output.archive(packed)


class PredictedMasks:
    """The predicted masks of a sequence, which are scored, written and drawn frame by frame."""

    def __init__(self, sequence: MaskSequence, scorer: MaskScorer | None, output: Output) -> None:
        self.sequence = sequence
        self.scorer = scorer
        self.output = output
        self.written = predicted_frames(sequence)
        self.pictures = SequencePictures(output, sequence, overlay_masks_small, caption=CAPTION)

    def add(self, t: int, ids: Tensor, frame: Tensor | None = None) -> None:
        """Score and write the ids `(H, W)` of frame `t`; draw them over the frame, if it is given."""
        sequence = self.sequence
        truth = None
        if self.scorer is not None and t in sequence.annotated:
            truth = sequence.read_mask(t)
            # an unknown id, if the rules refuse it
            with errors_at(sequence.annotation(t)):
                self.scorer.add(t, truth.numpy(), ids.numpy())
        if t in self.written:
            self.output.mask(mask_file(sequence, t), ids)
        if frame is not None:
            self.pictures.add(frame, ids, truth=truth)

    def finish(self) -> list[Row]:
        if self.scorer is None:
            self.pictures.close()
            return []
        self.pictures.close(self.scorer.curves(self.sequence.begin))
        rows: list[Row] = []
        for number, values in self.scorer.finish().items():
            rows.append(Row(video=self.sequence.name, object=str(number), values=values))
        return rows


def predicted_frames(sequence: MaskSequence) -> set[int]:
    """Return the numbers of the frames whose predicted masks are written.

    If a data set names the frames that it wants (`reported`), these, from the first object on; else all frames from
    the first object on, and the annotated frames before it.
    """
    followed = set(range(sequence.begin, sequence.num_frames))
    if sequence.reported is None:
        return followed.union(sequence.annotated)
    return followed.intersection(sequence.reported)


def mask_file(sequence: MaskSequence, t: int) -> Path:
    """Return the path of a frame's predicted mask, below the folder of predictions."""
    return Path(sequence.name, f"{sequence.frames[t].stem}.png")


def follow_masks(
    sequence: MaskSequence, frames: Iterator[Tensor], encoder: FrameEncoder, propagator: Propagator = LabelPropagator
) -> Iterator[TrackedFrame]:
    """Propagate the masks of a sequence, and yield every frame from the first object on with its predicted mask."""
    # counted from the first frame that is followed
    starts = {number: t - sequence.begin for number, t in sequence.starts.items()}
    # seen: a benchmark does not reduce frames before they enter the network
    coding = MaskCoding(encoder, size=sequence.size, seen=sequence.size, starts=starts)
    return follow_labels(frames_with_starts(sequence, frames), coding, propagator)


def frames_with_starts(sequence: MaskSequence, frames: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield every frame of a sequence from the first object on, with its mask if objects start in it.

    Raises:
        DataError: if a mask lacks an object that starts in it. The object would never be predicted, and metrics count
            two empty masks as a perfect match.
    """
    for t, frame in enumerate(frames, start=sequence.begin):
        mask = None
        entering = {number for number, start in sequence.starts.items() if start == t}
        if entering:
            mask = sequence.read_mask(t)
            absent = entering - set(object_ids(mask.numpy()))
            if absent:
                lacking = f"lacks object {min(absent)}, which starts here by the data set's metadata"
                raise DataError(f"{sequence.annotation(t)}: {lacking}")
        yield frame, mask


def at_size_of_data(sequence: SequenceT, protocol: PropagationProtocol) -> tuple[SequenceT, Iterator[Tensor]]:
    """Return a sequence and its frames from the first object on, at the protocol's `resized_data` if it has one."""
    size = protocol.resized_data
    if size is None or size == sequence.size:
        return sequence, sequence.read(sequence.begin)
    followed = range(sequence.begin, sequence.num_frames)
    # `read_ahead`: a thread reads and resizes frames before they are asked for
    frames = read_ahead(saved_at(sequence.frame(t), size) for t in followed)
    return replace(sequence, size=size), frames


def saved_at(frame: Tensor, size: Size) -> Tensor:
    """Return a frame uint8 `(3, H, W)` as a resized data set holds it: of a size, by nearest pixel, saved as JPEG."""
    resized = resize_images(frame[None], size, "pillow-nearest")[0]
    file = io.BytesIO()
    # by Pillow's default quality, 75, as the scripts of CatMAE and RSP do
    Image.fromarray(resized.permute(1, 2, 0).numpy()).save(file, "JPEG")
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
