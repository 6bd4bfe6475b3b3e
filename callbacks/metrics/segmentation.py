"""Region similarity J and boundary accuracy F of the DAVIS challenge, equal to the official evaluation bit for bit."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .outlines import (
    BOUND,
    VOID,
    Masks,
    Outline,
    as_array,
    binary_masks,
    boundary_score,
    integer_ids,
    mask_outlines,
    object_outlines,
    ratio,
    region_score,
)
from .rows import RowMetric


def region_similarity(prediction: Masks, target: Masks, void: Masks | None = None) -> Tensor:
    """Compute region similarity J: intersection over union of two masks, frame by frame.

    Two empty masks score 1, as in the official evaluation.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4.

    Args:
        prediction: (T, H, W) bool, at the annotation's own size.
        target: (T, H, W) bool.
        void: (T, H, W) bool, pixels that count neither way.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ or the masks are not binary.

    Example:
        >>> mask = torch.ones(2, 4, 4, dtype=torch.bool)
        >>> region_similarity(mask, mask)
        tensor([1., 1.], dtype=torch.float64)
    """
    predicted, wanted = binary_masks(prediction, target, void)
    return torch.tensor(
        [
            ratio(int(np.count_nonzero(p & t)), int(np.count_nonzero(p | t)))
            for p, t in zip(predicted, wanted, strict=True)
        ],
        dtype=torch.float64,
    )


def boundary_accuracy(
    prediction: Masks,
    target: Masks | Sequence[Outline],
    bound: float = BOUND,
    void: Masks | None = None,
) -> Tensor:
    """Compute boundary accuracy F: harmonic mean of the precision and recall of the masks' boundary pixels.

    A boundary pixel counts as found when one of the other boundary lies in a disk of radius `bound` around it.
    Two empty boundaries score 1, one empty boundary scores 0; a mask that fills the picture has an empty boundary.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4; conventions of davis2017-evaluation.

    Args:
        prediction: (T, H, W) bool, at the annotation's own size.
        target: (T, H, W) bool, or what `mask_outlines` made of it with the same `bound` and `void`: several
            predictions can then be scored against one target without finding its boundary again.
        bound: radius in pixels if ≥ 1 (an integer), else a fraction of the diagonal, rounded up to pixels.
        void: (T, H, W) bool, pixels that are background in both masks.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ, the masks are not binary or `bound` is not a radius.
    """
    if isinstance(target, Tensor | np.ndarray):
        prediction, target = binary_masks(prediction, target, void)
        void, target = None, mask_outlines(target, bound)
    predicted, wanted = mask_outlines(prediction, bound, void), list(target)
    if len(wanted) != len(predicted):
        raise ValueError(f"prediction has {len(predicted)} frames, target has {len(wanted)}")
    return torch.tensor([boundary_score(*pair) for pair in zip(predicted, wanted, strict=True)], dtype=torch.float64)


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


class SequenceScore:
    """J and F of one sequence, frame after frame, without keeping the frames.

    The outlines of an annotation are found once for several predictions, by `object_outlines`:

        >>> target = torch.tensor([[0, 1, 2], [0, 1, 2]], dtype=torch.uint8)
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


class RegionBoundary(RowMetric):
    """J, F and J&F over sequences: mean, recall and decay of each object, averaged over the objects.

    The state is one row per object; rows are gathered over ranks, sorted and then averaged in float64.

    Args:
        bound: as for `boundary_accuracy`.
        ends_scored: False leaves out the first and last frame of a sequence (DAVIS, semi-supervised).
        kwargs: those of torchmetrics.Metric, see `RowMetric` for `process_group`.

    Example:
        >>> metric = RegionBoundary()
        >>> ids = torch.ones(5, 8, 8, dtype=torch.uint8)
        >>> metric.update(ids, ids, name="square")
        >>> metric.compute()["J&F-Mean"]
        1.0
        >>> [row["Sequence"] for row in metric.rows()]
        ['square_1']
    """

    higher_is_better = True
    columns = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")

    def __init__(self, bound: float = BOUND, ends_scored: bool = False, **kwargs: Any) -> None:
        super().__init__(width=len(self.columns), **kwargs)
        self.bound, self.ends_scored = bound, ends_scored

    def update(
        self,
        prediction: Masks | SequenceScore,
        target: Masks | None = None,
        *,
        name: str | None = None,
        objects: Iterable[int] | None = None,
        void: Masks | None = None,
    ) -> None:
        """Add one sequence.

        Args:
            prediction: (T, H, W) integer ids (or bool for one object) at the annotation's own size, or a finished
                `SequenceScore`, which needs nothing else.
            target: (T, H, W) integer ids; 255 is never an object.
            name: the sequence's name; by default its number.
            objects: ids to score; by default 1 to the largest id of the target's first frame, as official.
            void: (T, H, W) bool, pixels that count neither way.

        Raises:
            ValueError: if the shapes differ, there is no object or no scored frame; the message names the sequence.
        """
        if isinstance(prediction, SequenceScore):
            self._append(prediction)
            return
        if target is None:
            raise ValueError("update needs a prediction and a target, or a SequenceScore alone")
        name = self.name_or_number(name)
        predicted, wanted = integer_ids(prediction, f"{name}: prediction", 3), integer_ids(target, f"{name}: target", 3)
        if predicted.shape != wanted.shape:
            raise ValueError(f"{name}: prediction is {predicted.shape}, target is {wanted.shape}")
        ignored = None if void is None else as_array(void)
        if ignored is not None and ignored.shape != wanted.shape:
            raise ValueError(f"{name}: void is {ignored.shape}, target is {wanted.shape}")
        if objects is None:
            first = wanted[0]
            objects = range(1, int(first.max(where=first != VOID, initial=0)) + 1)
        score = SequenceScore(name, objects, bound=self.bound, ends_scored=self.ends_scored)
        for t in range(len(wanted)):
            score.add(predicted[t], wanted[t], void=None if ignored is None else ignored[t])
        self._append(score)

    def compute(self) -> dict[str, float]:
        """Return scores under the official toolkit's names, as fractions; NaN where nothing was scored."""
        table = self.table()
        rows = torch.stack(list(table.values())) if table else torch.full((1, self.width), math.nan)
        # numpy's sum, whose pairs are those of the official mean
        scores = {key: float(np.mean(column)) for key, column in zip(self.columns, rows.numpy().T.copy(), strict=True)}
        return {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}

    def scores_of(self, row: Tensor) -> dict[str, float]:
        """Return the six statistics of an object, whose row is called as by the official code, "bike_1"."""
        return dict(zip(self.columns, row.tolist(), strict=True))

    def _append(self, score: SequenceScore) -> None:
        if not score.objects:
            raise ValueError(f"{score.name}: no object to score")
        for k, (region, boundary) in score.frames().items():
            row = f"{score.name}_{k}"
            try:
                statistics = [*sequence_statistics(region), *sequence_statistics(boundary)]
            except ValueError as error:
                raise ValueError(f"{row}: {error}") from error
            self.add_row(row, statistics)


def _mean(values: NDArray[np.float64]) -> float:
    known = ~np.isnan(values)  # zeros in the place of NaN, as numpy's nanmean adds up
    return float(np.where(known, values, 0.0).sum() / known.sum()) if known.any() else math.nan
