"""J and F of a sequence, and their means over objects, by NumPy and OpenCV: torch is not imported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .outlines import BOUND, Masks, Outline, boundary_score, object_outlines, region_score

OBJECT_COLUMNS = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""Statistics of an object, under the official toolkit's names."""


class SequenceScore:
    """J and F of one sequence, frame after frame, without keeping the frames.

    The outlines of an annotation are found once for several predictions, by `object_outlines`:

        >>> target = np.array([[0, 1, 2], [0, 1, 2]], dtype=np.uint8)
        >>> scores = [SequenceScore(stage, (1, 2)) for stage in ("res3", "res4")]
        >>> for _ in range(4):
        ...     outlines = object_outlines(target, (1, 2))
        ...     for score in scores:
        ...         score.add(target, outlines)
        >>> scores[0].frames()[1]
        (array([1., 1.]), array([1., 1.]))

    Args:
        name: the sequence's name.
        objects: ids to score.
        bound: as for `boundary_accuracy`.
        ends_scored: False leaves out the first and the last frame that is added (DAVIS, semi-supervised).
        pool: scores the frames while the caller continues (and must leave them unchanged); without it `add`
            scores at once. Errors then come out of `frames`.
    """

    def __init__(
        self,
        name: str,
        objects: Iterable[int],
        *,
        bound: float = BOUND,
        ends_scored: bool = False,
        pool: Executor | None = None,
    ) -> None:
        self.name, self.objects = name, tuple(objects)
        self.bound, self.ends_scored, self.pool = bound, ends_scored, pool
        self._frames: list[Mapping[int, tuple[float, float]] | Future[dict[int, tuple[float, float]]]] = []

    def add(
        self,
        prediction: Masks,
        target: Masks | Mapping[int, Outline],
        *,
        objects: Iterable[int] | None = None,
        void: Masks | None = None,
    ) -> None:
        """Score one frame.

        Args:
            prediction: (H, W) integer ids at the annotation's own size; ids outside `objects` are background.
            target: (H, W) integer ids, or what `object_outlines` made of it with the same bound and void.
            objects: those scored in this frame, by default all (an object that enters late is scored after that).
            void: (H, W) bool, pixels that count neither way.

        Raises:
            ValueError: if the sizes differ or the maps do not hold integers; the message names the sequence.
        """
        if not self._frames and not self.ends_scored:
            self._frames.append({})
            return
        arguments = (prediction, target, self.objects if objects is None else tuple(objects), void)
        self._frames.append(self.pool.submit(self._score, *arguments) if self.pool else self._score(*arguments))

    def frames(self) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return J and F of the scored frames, two (T,) arrays for each object."""
        scored = [frame.result() if isinstance(frame, Future) else frame for frame in self._frames]
        if not self.ends_scored:
            scored = scored[1:-1]
        result = {}
        for k in self.objects:
            pairs = np.array([frame[k] for frame in scored if k in frame], dtype=np.float64).reshape(-1, 2)
            result[k] = (pairs[:, 0], pairs[:, 1])
        return result

    def _score(
        self,
        prediction: Masks,
        target: Masks | Mapping[int, Outline],
        objects: tuple[int, ...],
        void: Masks | None,
    ) -> dict[int, tuple[float, float]]:
        try:
            predicted = object_outlines(prediction, objects, self.bound, void)
            wanted = target if isinstance(target, Mapping) else object_outlines(target, objects, self.bound, void)
            return {
                k: (region_score(predicted[k], wanted[k]), boundary_score(predicted[k], wanted[k])) for k in objects
            }
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error


def sequence_statistics(values: ArrayLike) -> tuple[float, float, float]:
    """Return mean, recall and decay of a measure over the frames of one sequence.

    Recall is the fraction of frames above 0.5, strictly; NaN is a miss there and left out of the means. Decay is the
    mean of the first quarter less the mean of the last, the quarters sharing their end frames as in the official code.
    That code holds frame numbers in 8 bits, so its decay wraps from 256 frames on; here it does not.

    Args:
        values: (T,) J or F of each frame.

    Raises:
        ValueError: if there is no frame.
    """
    measure = np.asarray(values, dtype=np.float64)
    if measure.ndim != 1 or not measure.size:
        raise ValueError(f"values must be (T,) with at least one scored frame, got shape {measure.shape}")
    edges = np.round(np.linspace(1, len(measure), 5) + 1e-10).astype(int) - 1
    first, last = measure[edges[0] : edges[1] + 1], measure[edges[3] : edges[4] + 1]
    return _mean(measure), float(np.mean(measure > 0.5)), _mean(first) - _mean(last)


def object_statistics(score: SequenceScore) -> dict[str, list[float]]:
    """Return the values of `OBJECT_COLUMNS` for each object of a sequence, by the official row names ("bike_1").

    Raises:
        ValueError: if there is no object or no scored frame; the message names the sequence.
    """
    if not score.objects:
        raise ValueError(f"{score.name}: no object to score")
    rows = {}
    for k, (region, boundary) in score.frames().items():
        row = f"{score.name}_{k}"
        try:
            rows[row] = [*sequence_statistics(region), *sequence_statistics(boundary)]
        except ValueError as error:
            raise ValueError(f"{row}: {error}") from error
    return rows


def mean_over_objects(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return `J&F-Mean` and the means of `OBJECT_COLUMNS`, as fractions; NaN where there is no row."""
    columns = np.array(rows, dtype=np.float64).T.copy() if rows else np.full((len(OBJECT_COLUMNS), 1), math.nan)
    # numpy's sum, whose pairs are those of the official mean
    scores = {key: float(np.mean(column)) for key, column in zip(OBJECT_COLUMNS, columns, strict=True)}
    return {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}


def _mean(values: NDArray[np.float64]) -> float:
    known = ~np.isnan(values)  # zeros in the place of NaN, as numpy's nanmean adds up
    return float(np.where(known, values, 0.0).sum() / known.sum()) if known.any() else math.nan
