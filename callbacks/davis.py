"""Video object segmentation on DAVIS, scored as by the official toolkit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from torch import nn

from datamodules.datasets import Davis, MaskSequence

from .label_propagation import LabelPropagation
from .masks import MaskWriter, log_picture, predict_masks, zip_predictions
from .metrics import RegionBoundary, SequenceScore, object_outlines
from .ranks import Ranks
from .visualisation import Picture


class DavisBenchmark(LabelPropagation):
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
        super().__init__(**kwargs)
        self.root, self.year, self.split, self.resolution = root, year, split, resolution
        self.annotations, self.size_tolerance = annotations, size_tolerance
        self.predictions = predictions
        self.metrics: list[RegionBoundary] = []
        self.overlays: dict[str, Picture] = {}
        self._folder_of_run: Path | None = None
        self._first_rank = True

    def read(self) -> Sequence[MaskSequence]:
        """See `BenchmarkCallback`."""
        return Davis(self.root, self.year, self.split, self.resolution, self.annotations, self.size_tolerance)

    def start(self, extractor: nn.Module, ranks: Ranks, folder: Path | None) -> None:
        """See `BenchmarkCallback`."""
        super().start(extractor, ranks, folder)
        self.metrics = [RegionBoundary(process_group=ranks.group, sync_on_compute=False) for _ in self.stages]
        self.overlays = {}
        self._folder_of_run = folder
        self._first_rank = ranks.rank == 0

    def run(self, extractor: nn.Module, sequence: MaskSequence) -> None:
        """See `BenchmarkCallback`; frames are scored in a thread while the next ones are propagated."""
        writers = self._writers(sequence)
        with ThreadPoolExecutor(max_workers=1) as pool:
            scores = [SequenceScore(sequence.name, sequence.objects, pool=pool) for _ in self.stages]
            for t, (frame, masks) in enumerate(predict_masks(self, extractor, sequence)):
                if sequence.ground_truth:
                    with self.stopwatch("score"):
                        target = object_outlines(sequence.mask(t), sequence.objects)
                        for score, mask in zip(scores, masks, strict=True):
                            score.add(mask, target)
                with self.stopwatch("write"):
                    for writer, mask in zip(writers, masks, strict=False):
                        writer.add(frame, mask)
            if sequence.ground_truth:
                for metric, score in zip(self.metrics, scores, strict=True):
                    metric.update(score)
        for writer in writers[-1:]:
            if (picture := writer.close()) is not None:
                self.overlays[sequence.name] = picture

    def finish(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `BenchmarkCallback`; packs the predictions where there is nothing here to score them against."""
        if self._first_rank and self._folder_of_run and not all(s.ground_truth for s in self.sequences):
            for stage in self.stages:
                zip_predictions(self._folder_of_run / stage)
        return super().finish()

    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `LabelPropagation`."""
        metric = self.metrics[stage]
        with metric.sync_context():
            rows = metric.rows()
            return (metric.compute() if rows else {}), rows

    def _writers(self, sequence: MaskSequence) -> list[MaskWriter]:
        if self._folder_of_run is None:
            return []
        folders = [self._folder_of_run / stage for stage in self.stages]
        return [MaskWriter(folder, sequence, self.predictions) for folder in folders]

    def draw(self, logger: Any, step: int) -> None:
        """See `BenchmarkCallback`: the overlays of a few sequences."""
        for name, picture in list(self.overlays.items())[:8]:
            log_picture(logger, f"{self.name}/{name}", picture, step)
