"""Percentage of correct points in relation to the object's area, as BADJA is scored."""

from typing import Any

import numpy as np
import torch

from .outlines import as_array
from .point_tracking import Array, QueryMode, mean_of_defined, scored_frames
from .rows import RowMetric

FRACTION = 0.2
"""Of the square root of the area, within which a point is correct."""


def area_counts(
    query_points: Array,
    target_occluded: Array,
    target_tracks: Array,
    predicted_tracks: Array,
    areas: Array,
    query_mode: QueryMode = "first",
    fraction: float = FRACTION,
) -> tuple[int, int]:
    """Count the truly visible points of a video within `fraction` of the square root of the object's area, and all.

    All points of all scored frames count the same; the frames are those of `tapvid_metrics`.
    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018); the count is that of aharley/pips, test_on_badja.py.
    Difference: there frames are brought to 320 x 512 px first, which changes their aspect, and only joints that are
    visible in the first frame are followed.

    Args:
        query_points: (N, 3) t, y, x; only the time is used.
        target_occluded: (N, T) bool.
        target_tracks: (N, T, 2) x, y in pixels of the frames.
        predicted_tracks: (N, T, 2) x, y in pixels of the frames; NaN is never correct.
        areas: (T,) pixels of the object in each frame.
        query_mode: "first" or "strided".
        fraction: above 0; the distance is strictly below fraction · √area.

    Returns:
        Number of correct points, and number of points that count.

    Raises:
        ValueError: if the shapes do not fit together or the mode is unknown.

    Example:
        >>> track = np.array([[[8.0, 8.0], [9.0, 8.0], [10.0, 8.0]]])
        >>> seen = np.zeros((1, 3), bool)
        >>> area_counts(np.array([[0, 8, 8]]), seen, track, track + [3.0, 0.0], np.array([100.0, 100.0, 400.0]))
        (1, 2)
    """
    queries, hidden, truth, predicted, area = (
        as_array(x) for x in (query_points, target_occluded, target_tracks, predicted_tracks, areas)
    )
    if truth.shape != predicted.shape or truth.shape != (*hidden.shape, 2) or area.shape != hidden.shape[1:]:
        raise ValueError(
            f"expected tracks (N, T, 2), occlusion (N, T) and areas (T,), got {truth.shape}, {predicted.shape}, "
            f"{hidden.shape} and {area.shape}"
        )
    counted = ~hidden.astype(bool) & scored_frames(queries, hidden.shape[1], query_mode)
    distance = np.linalg.norm(predicted.astype(np.float64) - truth, axis=-1)
    correct = counted & (distance < fraction * np.sqrt(area.astype(np.float64)))
    return int(correct.sum()), int(counted.sum())


class AreaPCK(RowMetric):
    """Mean over videos of the fraction that `area_counts` gives, under the key `PCK@0.2`.

    The state is one row of counts per video, so that the score does not depend on how the videos are spread over ranks.
    A video in which no point counts is left out of the mean.

    Args:
        query_mode: "first" or "strided".
        fraction: fraction of the square root of the area.
        kwargs: those of torchmetrics.Metric, see `RowMetric` for `process_group`.
    """

    higher_is_better = True

    def __init__(self, query_mode: QueryMode = "first", fraction: float = FRACTION, **kwargs: Any) -> None:
        super().__init__(width=2, **kwargs)
        self.query_mode, self.fraction = query_mode, fraction

    @property
    def key(self) -> str:
        """Name of the score."""
        return f"PCK@{self.fraction:g}"

    def update(
        self,
        query_points: Array,
        target_occluded: Array,
        target_tracks: Array,
        predicted_tracks: Array,
        areas: Array,
        *,
        name: str | None = None,
    ) -> None:
        """Add one video; arguments and errors of `area_counts`."""
        counts = area_counts(
            query_points, target_occluded, target_tracks, predicted_tracks, areas, self.query_mode, self.fraction
        )
        self.add_row(self.name_or_number(name), counts)

    def compute(self) -> dict[str, float]:
        """Return the mean over videos, a fraction; NaN where no video has a point that counts."""
        return {self.key: mean_of_defined(self.by_video().values())}

    def by_video(self) -> dict[str, float]:
        """Return the score of each video of this rank by name; those of all ranks inside `sync_context()`."""
        rows: dict[str, torch.Tensor] = self.table()
        return {name: float(row[0] / row[1]) for name, row in rows.items()}
