"""What the benchmarks of object masks share: the loop over a sequence, its files and the scoring of objects."""

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from torch import nn

from datamodules.datasets import MaskSequence

from ..metrics import RegionBoundary, SequenceScore, object_outlines
from ..pictures import overlay_masks
from ..report import Film, reduced
from ..report.material import Curve
from ..tracking.label_propagation import LabelPropagation
from ..tracking.masks import MaskWriter, Prediction, predict_masks


class Scorer(Protocol):
    """Scores the predictions of one sequence, for all stages."""

    def add(self, t: int, prediction: Prediction) -> None:
        """The next frame."""

    def close(self) -> None:
        """The sequence is over: put it into the metrics."""

    def curves(self) -> dict[str, Curve]:
        """Measures over the frames, of the last stage, for the report; asked for after `close`."""


class MaskBenchmark(LabelPropagation):
    """A benchmark whose objects are masks; a benchmark defines `read`, `scorer` and `scores_of`, and its metrics.

    Args:
        predictions: write the predicted masks.
        kwargs: those of `LabelPropagation`.
    """

    films_show = "propagated masks; the first frame's are the annotation"

    def __init__(self, predictions: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictions = predictions

    @abstractmethod
    def scorer(self, sequence: Any, pool: Executor) -> Scorer | None:
        """What scores a sequence, with a thread to do it in; None where there is no ground truth."""

    def run(self, extractor: nn.Module, sequence: MaskSequence) -> None:
        """See `BenchmarkCallback`."""
        self.follow(extractor, sequence)

    def follow(self, extractor: nn.Module, sequence: MaskSequence, kind: str = "") -> None:
        """Predict, score and write a sequence; frames are scored in a thread while the next ones are propagated.

        Args:
            extractor: see `build_feature_extractor`.
            sequence: what to follow.
            kind: folder in that of the run for its files, where a benchmark follows a sequence in several ways.
        """
        writers, folder = self._writers(sequence, kind), self.folder
        film = Film(folder, sequence.name, sequence.num_frames, kind) if folder else None
        with ThreadPoolExecutor(max_workers=1) as pool:
            scorer = self.scorer(sequence, pool)
            for t, prediction in enumerate(predict_masks(self, extractor, sequence)):
                if scorer is not None:
                    with self.stopwatch("score"):
                        scorer.add(t, prediction)
                with self.stopwatch("write"):
                    for writer, mask in zip(writers, prediction.masks, strict=False):
                        writer.add(prediction.frame, mask)
                    if film is not None and film.wants(t):
                        film.add(overlay_masks(*reduced(prediction.frame, prediction.masks[-1])))
            if scorer is not None:
                with self.stopwatch("score"):
                    scorer.close()
        if film is not None:
            film.close(scorer.curves() if scorer else None)
        for writer in writers[-1:]:
            if (picture := writer.close()) is not None:
                self.keep(f"{kind}/{sequence.name}" if kind else sequence.name, picture)

    def _writers(self, sequence: MaskSequence, kind: str) -> list[MaskWriter]:
        if self.folder is None:
            return []
        folders = [self.folder / stage / kind for stage in self.stages]
        return [MaskWriter(folder, sequence, self.predictions) for folder in folders]


class ObjectScorer:
    """J and F of each object on the annotated frames after the one that introduces it.

    Args:
        sequence: with ground truth.
        metrics: one for each stage; an object that no later frame annotates is left out.
        pool: where the frames are scored.
    """

    def __init__(self, sequence: MaskSequence, metrics: Sequence[RegionBoundary], pool: Executor) -> None:
        self.sequence, self.metrics = sequence, metrics
        last = max(sequence.masks)
        self.objects = tuple(i for i in sequence.objects if sequence.starts[i] < last)
        self.frames: list[int] = []
        self.scores = [
            SequenceScore(sequence.name, self.objects, bound=metric.bound, ends_scored=metric.ends_scored, pool=pool)
            for metric in metrics
        ]

    def add(self, t: int, prediction: Prediction) -> None:
        """See `Scorer`."""
        if t not in self.sequence.masks:
            return
        present = tuple(i for i in self.objects if self.sequence.starts[i] < t)
        self.frames.append(t)
        target = object_outlines(self.sequence.mask(t), present)
        for score, mask in zip(self.scores, prediction.masks, strict=True):
            score.add(mask, target, objects=present)

    def close(self) -> None:
        """See `Scorer`."""
        if self.objects:
            for metric, score in zip(self.metrics, self.scores, strict=True):
                metric.update(score)

    def curves(self) -> dict[str, Curve]:
        """See `Scorer`: J and F, the mean over the objects of a frame."""
        scored = self.frames if self.scores[-1].ends_scored else self.frames[1:-1]
        values: dict[int, list[tuple[float, float]]] = {t: [] for t in scored}
        for k, pair in self.scores[-1].frames().items():
            later = [t for t in scored if self.sequence.starts[k] < t]
            for t, of_frame in zip(later, zip(*pair, strict=True), strict=True):
                values[t].append(of_frame)
        means = {t: np.mean(pairs, axis=0) for t, pairs in values.items() if pairs}
        region, boundary = np.array(list(means.values())).reshape(-1, 2).T.tolist()
        return {"J": (list(means), region), "F": (list(means), boundary)}
