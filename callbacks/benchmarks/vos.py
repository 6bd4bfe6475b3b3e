"""Video object segmentation on any labelled videos: MOSE, LVOS, VOST, a user's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from datamodules.datasets import MaskSequence, Vos
from datamodules.reading.errors import DataError
from lightning_modules.functional import PropagationProtocol

from .base import BenchmarkCallback
from .evaluation import RunContext
from .mask_evaluation import FILMS_SHOW, OBJECT_SCORES, MaskEvaluation, object_evaluation, scored_objects


class VosBenchmark(BenchmarkCallback):
    """Score propagated masks on a folder of frames and a folder of indexed masks: J and F per object.

    Masks may be dense or sparse, with one object or many, and an object may enter with any mask; it is scored on the
    annotated frames after that. Videos whose masks only introduce objects are predicted and packed into
    predictions.zip.

    Logs `vos/J&F-Mean`, `vos/J-Mean`, `vos/F-Mean`, recall and decay. Files: results.json, per_sequence.csv,
    predictions as indexed PNGs, overlays.

    Args:
        root: folder that holds the two folders.
        split: name or path of a list of videos, see `Vos`; None is every video.
        frames: folder of the frames in root, one folder for each video.
        masks: folder of the masks.
        one_object: all ids are one object, as in DAVIS-2016.
        size_tolerance: pixels by which a mask may differ from its frame, see `Vos`.
        ends_scored: the last annotated frame counts; False leaves the first and the last out, as DAVIS does.
        protocol: name of a protocol that its source defines for DAVIS (`vfs`, `crw`, `dino`, …), or a protocol.
        kwargs: those of `BenchmarkCallback`: changes, predictions, name, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: if the protocol defines no values for this kind of benchmark.
    """

    name = "vos"
    score_names = OBJECT_SCORES
    ranked_by = ("J-Mean", "F-Mean")
    recorded = ("split", "one_object", "ends_scored")
    films_show = FILMS_SHOW

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        frames: str = "JPEGImages",
        masks: str = "Annotations",
        one_object: bool = False,
        size_tolerance: int = 0,
        ends_scored: bool = True,
        protocol: str | PropagationProtocol = "vfs",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = PropagationProtocol.of(protocol, type(self).name, self.protocols_like, self.changes)
        self.root, self.split, self.frames, self.masks = root, split, frames, masks
        self.one_object, self.size_tolerance, self.ends_scored = one_object, size_tolerance, ends_scored

    def read(self) -> Sequence[MaskSequence]:
        """Open the folders; a video with ground truth but no frame to score is refused."""
        videos = Vos(self.root, self.split, self.frames, self.masks, self.one_object, self.size_tolerance)
        for video in videos:
            if video.ground_truth and not scored_objects(video, self.ends_scored):
                raise DataError(
                    f"{video.masks[0].parent}: {len(video.masks)} masks, and ends_scored: false leaves none of them to "
                    "score an object on; take the video out of the list, or count the last frame"
                )
        return videos

    def start(self, extractor: nn.Module, context: RunContext) -> MaskEvaluation:
        """Begin a run; see `BenchmarkCallback`."""
        return object_evaluation(self, extractor, context, self.ends_scored)
