"""Region similarity J and boundary accuracy F of the DAVIS challenge, equal to the official evaluation bit for bit."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .outlines import (
    BOUND,
    VOID,
    Masks,
    as_array,
    binary_masks,
    boundary_score,
    integer_ids,
    mask_outlines,
    object_outlines,
    ratio,
    region_score,
)
from .rows import RowMetric, named
from .rules.base import Object, Rules, Values
from .rules.davis import DavisRules


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
    target: Masks,
    bound: float = BOUND,
    void: Masks | None = None,
) -> Tensor:
    """Compute boundary accuracy F: harmonic mean of the precision and recall of the masks' boundary pixels.

    A boundary pixel counts as found when one of the other boundary lies in a disk of radius `bound` around it.
    Two empty boundaries score 1, one empty boundary scores 0; a mask that fills the image has an empty boundary.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4; conventions of davis2017-evaluation.

    Args:
        prediction: (T, H, W) bool, at the annotation's own size.
        target: (T, H, W) bool.
        bound: radius in pixels if ≥ 1 (an integer), else a fraction of the diagonal, rounded up to pixels.
        void: (T, H, W) bool, pixels that are background in both masks.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ, the masks are not binary or `bound` is not a radius.
    """
    masks = binary_masks(prediction, target, void)
    pairs = zip(*(mask_outlines(mask, bound) for mask in masks), strict=True)
    return torch.tensor([boundary_score(*pair) for pair in pairs], dtype=torch.float64)


class ObjectScores(RowMetric):
    """The values of each object by the rules of a data set, and their means, gathered over ranks.

    Args:
        rules: those of the data set.
        videos: metadata of each video, where the rules need them.
        unseen: videos or categories that training has not seen, where the rules distinguish them.
        kwargs: those of torchmetrics.Metric, see `RowMetric` for `process_group`.
    """

    higher_is_better = True

    def __init__(
        self,
        rules: Rules,
        videos: Mapping[str, Mapping[str, Any]] | None = None,
        unseen: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(width=len(rules.columns), **kwargs)
        self.rules, self.columns = rules, rules.columns
        self.videos, self.unseen = videos or {}, unseen

    def update(self, name: str, objects: Mapping[Object, Values]) -> None:
        """Add the objects of a sequence: number → the values that `Rules.summarise` gives; rows as "bike_1"."""
        for number, values in objects.items():
            self.add_row(f"{name}_{number}", list(values.values()))

    def compute(self) -> dict[str, float]:
        """Return the scores of the data set, as fractions; NaN where nothing was scored."""
        objects: dict[tuple[str, Object], Values] = {}
        for name, row in self.table().items():
            video, _, number = name.rpartition("_")
            objects[video, number] = self.scores_of(row)
        scores = self.rules.table(objects, self.videos, self.unseen) if objects else {}
        return scores or dict.fromkeys(self.rules.score_names, math.nan)


class RegionBoundary(ObjectScores):
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

    def __init__(self, bound: float = BOUND, ends_scored: bool = False, **kwargs: Any) -> None:
        super().__init__(DavisRules("davis-2017"), **kwargs)
        self.bound, self.ends_scored = bound, ends_scored

    def update(  # type: ignore[override]
        self,
        prediction: Masks,
        target: Masks,
        *,
        name: str | None = None,
        objects: Iterable[int] | None = None,
        void: Masks | None = None,
    ) -> None:
        """Add one sequence.

        Args:
            prediction: (T, H, W) integer ids (or bool for one object) at the annotation's own size.
            target: (T, H, W) integer ids; 255 is never an object.
            name: the sequence's name; by default its number.
            objects: ids to score; by default 1 to the largest id of the target's first frame, as official.
            void: (T, H, W) bool, pixels that count neither way.

        Raises:
            ValueError: if the shapes differ, there is no object or no scored frame; the message names the sequence.
        """
        name = self.name_or_number(name)
        with named(name):
            predicted, wanted = integer_ids(prediction, "prediction", 3), integer_ids(target, "target", 3)
            ignored = None if void is None else as_array(void)
            for label, array in (("prediction", predicted), ("void", ignored)):
                if array is not None and array.shape != wanted.shape:
                    raise ValueError(f"{label} is {array.shape}, target is {wanted.shape}")
        if objects is None:
            first = wanted[0]
            objects = range(1, int(first.max(where=first != VOID, initial=0)) + 1)
        frames: dict[int, list[tuple[float, float]]] = {number: [] for number in objects}
        scored = range(len(wanted)) if self.ends_scored else range(1, len(wanted) - 1)
        if not frames or not scored:
            raise ValueError(f"{name}: no object to score" if scored else f"{name}: no frame is scored")
        for t in scored:
            hidden = None if ignored is None else ignored[t]
            found, truth = (object_outlines(ids[t], frames, self.bound, hidden) for ids in (predicted, wanted))
            for number, pairs in frames.items():
                outlines = found[number], truth[number]
                pairs.append((region_score(*outlines), boundary_score(*outlines)))
        super().update(name, {number: self.rules.summarise(np.array(pairs)) for number, pairs in frames.items()})
