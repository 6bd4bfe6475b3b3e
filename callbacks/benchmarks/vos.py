"""Video object segmentation on any labelled videos: MOSE, LVOS, VOST, a user's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from datamodules.datasets import MaskSequence, Vos
from datamodules.reading.errors import DataError
from lightning_modules.functional import PropagationProtocol

from ..metrics.rules import RULES
from .base import BenchmarkCallback
from .evaluation import RunContext
from .mask_evaluation import ANIMATIONS_SHOW, MaskEvaluation, object_evaluation


class VosBenchmark(BenchmarkCallback):
    """Score propagated masks on a folder of frames and a folder of indexed masks: J and F per object.

    Masks may be dense or sparse, with one object or many, and an object may enter with any mask; it is scored on the
    annotated frames after that, unless other rules are named. Videos whose masks only introduce objects are predicted
    and packed into predictions.zip.

    Logs `vos/J&F-Mean`, `vos/J-Mean`, `vos/F-Mean`, recall and decay; by other rules what these give, as
    `vidcorr score` names it. Files: results.json, per_sequence.csv, predictions as indexed PNGs, overlays.

    Args:
        root: folder that holds the two folders.
        split: name or path of a list of videos, see `Vos`; None is every video.
        frames: folder of the frames in root, one folder for each video.
        masks: folder of the masks.
        one_object: all ids are one object, as in DAVIS-2016.
        size_tolerance: pixels by which a mask may differ from its frame, see `Vos`.
        rules: the data set's rules by which masks are scored, as in `vidcorr score`: "youtube-vos", "davis-2017",
            "davis-2016", "vost", "sa-v" or "vos-benchmark" (MOSE).
        protocol: name of a protocol that its source defines for DAVIS (`vfs`, `crw`, `dino`, …), or a protocol.
        kwargs: those of `BenchmarkCallback`: changes, predictions, name, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: if the protocol defines no values for this kind of benchmark, or the rules need metadata.
    """

    name = "vos"
    ranked_by: tuple[str, ...] = ("J-Mean", "F-Mean")
    recorded = ("split", "one_object")
    animations_show = ANIMATIONS_SHOW

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        frames: str = "JPEGImages",
        masks: str = "Annotations",
        one_object: bool = False,
        size_tolerance: int = 0,
        rules: str = "youtube-vos",
        protocol: str | PropagationProtocol = "vfs",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = PropagationProtocol.of(protocol, type(self).name, self.protocols_like, self.changes)
        self.root, self.split, self.frames, self.masks = root, split, frames, masks
        self.one_object, self.size_tolerance, self.rules = one_object, size_tolerance, rules
        offered = [name for name, known in RULES.items() if not known.needs_meta]
        if rules not in offered:
            raise ValueError(f"VosBenchmark: rules {rules!r}: expected one of {', '.join(offered)}")
        self.score_names = RULES[rules].score_names
        self.ranked_by = tuple(f"{measure}-Mean" for measure in RULES[rules].measures if measure in ("J", "F"))

    def read(self) -> Sequence[MaskSequence]:
        """Open the folders; a video with ground truth but no frame to score is refused."""
        videos = Vos(self.root, self.split, self.frames, self.masks, self.one_object, self.size_tolerance)
        for video in videos:
            if video.ground_truth and len(video.masks) < 3 and self.rules != "youtube-vos":
                raise DataError(
                    f"{video.masks[0].parent}: {len(video.masks)} masks, but by rules {self.rules} neither the first "
                    "nor the last is scored; take the video out of the list"
                )
        return videos

    def start(self, extractor: nn.Module, context: RunContext) -> MaskEvaluation:
        """Begin a run; see `BenchmarkCallback`."""
        return object_evaluation(self, extractor, context, self.rules)

    def metadata(self) -> dict[str, Any]:
        """Return split, kind of objects and rules, for results.json."""
        return super().metadata() | {"rules": RULES[self.rules].stated()}
