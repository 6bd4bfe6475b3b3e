"""Video object segmentation on DAVIS, scored as by the official toolkit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from datamodules.datasets import Davis, MaskSequence
from datamodules.reading.errors import DataError
from lightning_modules.functional import PropagationProtocol

from ..metrics.rules import RULES
from .base import BenchmarkCallback
from .evaluation import RunContext
from .mask_evaluation import ANIMATIONS_SHOW, MaskEvaluation, object_evaluation


class DavisBenchmark(BenchmarkCallback):
    """Score propagated masks on DAVIS-2017 or 2016: J and F per object, first and last frame not scored.

    Logs `davis/J&F-Mean`, `davis/J-Mean`, `davis/F-Mean`, recall and decay. Files: results.json, per_sequence.csv,
    predictions as indexed PNGs that the official toolkit reads, overlays. Sequences without ground truth (test-dev) are
    predicted and packed into predictions.zip.

    The scores are those of the official toolkit to the last bit. As there, every id up to the largest of the first
    frame counts, and a missing one as found perfectly (J = F = 1); DAVIS itself has no gap, and `VosBenchmark` counts
    the objects that there are.

    Papers: Pont-Tuset et al., The 2017 DAVIS Challenge; VFS, section 4.2.

    Args:
        root: folder with JPEGImages, Annotations, ImageSets.
        year: 2017, or 2016 for one object per sequence.
        split: list under ImageSets/<year>, or the path of a list; None is every sequence.
        resolution: folder of that name under JPEGImages and Annotations.
        annotations: see `Davis`.
        size_tolerance: see `Davis`.
        protocol: name of a protocol that its source defines for DAVIS (`vfs`, `crw`, `dino`, …), or a protocol.
        kwargs: those of `BenchmarkCallback`: changes, predictions, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: if the protocol defines no values for this benchmark.
    """

    name = "davis"
    score_names = RULES["davis-2017"].score_names
    ranked_by = ("J-Mean", "F-Mean")
    recorded = ("year", "split", "resolution")
    animations_show = ANIMATIONS_SHOW

    def __init__(
        self,
        root: str | Path,
        year: Literal[2016, 2017] = 2017,
        split: str | None = "val",
        resolution: str = "480p",
        annotations: Literal["dense", "first", "entering"] | None = None,
        size_tolerance: int = 0,
        protocol: str | PropagationProtocol = "vfs",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = PropagationProtocol.of(protocol, type(self).name, self.protocols_like, self.changes)
        self.root, self.year, self.split, self.resolution = root, year, split, resolution
        self.annotations, self.size_tolerance = annotations, size_tolerance

    def read(self) -> Sequence[MaskSequence]:
        """Open the data set; a sequence too short to be scored is refused."""
        sequences = Davis(self.root, self.year, self.split, self.resolution, self.annotations, self.size_tolerance)
        for sequence in sequences:
            if sequence.ground_truth and sequence.num_frames < 3:
                raise DataError(
                    f"{sequence.frames[0].parent}: {sequence.num_frames} frames, but neither the first nor the "
                    "last is scored; take the sequence out of the list"
                )
        return sequences

    def start(self, extractor: nn.Module, context: RunContext) -> MaskEvaluation:
        """Begin a run; see `BenchmarkCallback`."""
        return object_evaluation(self, extractor, context, "davis-2017")
