"""Video object segmentation on DAVIS, scored as by the official toolkit."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from torch import nn

from datamodules.datasets import Davis, MaskSequence
from datamodules.reading.errors import DataError

from ..metrics import RegionBoundary
from ..tracking.label_propagation import over_ranks
from ..tracking.masks import zip_predictions
from .mask_benchmark import MaskBenchmark, ObjectScorer
from .ranks import Ranks


class DavisBenchmark(MaskBenchmark):
    """J and F of propagated masks on DAVIS-2017 or 2016, per object, first and last frame of a sequence not scored.

    Logs `davis/J&F-Mean`, `davis/J-Mean`, `davis/F-Mean`, recall and decay. Files: results.json, per_sequence.csv,
    predictions as indexed PNGs that the official toolkit reads, overlays. Sequences without ground truth (test-dev) are
    predicted and packed into predictions.zip.

    Papers: Pont-Tuset et al., The 2017 DAVIS Challenge; VFS, section 4.2.

    Args:
        root: folder with JPEGImages, Annotations, ImageSets.
        year: 2017, or 2016 for one object a sequence.
        split: list under ImageSets/<year>, or the path of a list; None is every sequence.
        resolution: folder of that name under JPEGImages and Annotations.
        annotations: see `Davis`.
        size_tolerance: see `Davis`.
        predictions: write the predicted masks.
        kwargs: those of `LabelPropagation`: protocol, changes, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
    """

    name = "davis"
    ranked_by = ("J-Mean", "F-Mean")

    def __init__(
        self,
        root: str | Path,
        year: Literal[2016, 2017] = 2017,
        split: str | None = "val",
        resolution: str = "480p",
        annotations: Literal["dense", "first", "entering"] | None = None,
        size_tolerance: int = 0,
        predictions: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(predictions, **kwargs)
        self.root, self.year, self.split, self.resolution = root, year, split, resolution
        self.annotations, self.size_tolerance = annotations, size_tolerance
        self.metrics: list[RegionBoundary] = []

    def read(self) -> Sequence[MaskSequence]:
        """See `BenchmarkCallback`."""
        sequences = Davis(self.root, self.year, self.split, self.resolution, self.annotations, self.size_tolerance)
        for sequence in sequences:
            if sequence.ground_truth and sequence.num_frames < 3:
                raise DataError(
                    f"{sequence.frames[0].parent}: {sequence.num_frames} frames, of which neither the first nor the "
                    "last is scored; take the sequence out of the list"
                )
        return sequences

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`."""
        super().start(extractor, ranks)
        self.metrics = [RegionBoundary(process_group=ranks.group, sync_on_compute=False) for _ in self.stages]

    def scorer(self, sequence: MaskSequence, pool: Executor) -> ObjectScorer | None:
        """See `MaskBenchmark`."""
        return ObjectScorer(sequence, self.metrics, pool) if sequence.ground_truth else None

    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `LabelPropagation`."""
        return over_ranks(self.metrics[stage])

    def pack(self, folder: Path) -> None:
        """See `BenchmarkCallback`: predictions.zip, where there is nothing here to score the predictions against."""
        if self.predictions and not all(sequence.ground_truth for sequence in self.sequences):
            for stage in self.stages:
                zip_predictions(folder / stage)
