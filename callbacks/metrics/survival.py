"""Survival and median error of point tracks, as PointOdyssey is scored."""

import numpy as np
from numpy.typing import NDArray

from .outlines import as_array
from .point_tracking import Array

FAILURE = 16.0
"""Pixels of a 256 × 256 image beyond which a track has failed."""


def track_survival(
    query_points: Array, target_occluded: Array, target_tracks: Array, predicted_tracks: Array, failure: float = FAILURE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute how long each track holds, and its median error.

    A track fails in the first frame whose annotated point is further away than `failure`. Its survival is the fraction
    of the frames before that one, among those from the query on, the query's included; frames without an annotated
    point count as held. Averages over tracks, then over videos, are PointOdyssey's.
    Paper: Zheng et al., PointOdyssey (ICCV 2023), section 5; aharley/pips2 @ 0e0b69d, test_on_pod.py. Difference: there
    every query lies in frame 0, and occluded points are annotated too; here they are not.

    Args:
        query_points: (N, 3) t, y, x; only the time is used.
        target_occluded: (N, T) bool, True where no point is annotated.
        target_tracks: (N, T, 2) x, y in pixels of a 256 × 256 image.
        predicted_tracks: (N, T, 2); NaN is a failure, and infinitely far for the median.
        failure: pixels.

    Returns:
        (N,) survival in [0, 1], and (N,) median error in pixels over the annotated points; NaN where there are none.

    Example:
        >>> track = np.zeros((1, 4, 2))
        >>> moved = track + np.array([[0.0], [3.0], [20.0], [1.0]])
        >>> survival, error = track_survival(np.array([[0, 0, 0]]), np.zeros((1, 4), bool), track, moved)
        >>> survival.item(), round(error.item(), 3)
        (0.5, 2.828)
    """
    queries, hidden, truth, predicted = map(as_array, (query_points, target_occluded, target_tracks, predicted_tracks))
    frames = np.arange(truth.shape[1])
    since_query = frames >= np.round(queries[:, :1])
    annotated = since_query & ~hidden
    distance = np.linalg.norm(predicted.astype(np.float64) - truth, axis=-1)
    distance = np.where(np.isnan(distance), np.inf, distance)
    failed = np.logical_or.accumulate(annotated & (distance > failure), axis=1)
    survival = (since_query & ~failed).sum(1) / since_query.sum(1)
    errors = (row[known] for row, known in zip(distance, annotated, strict=True))
    return survival, np.array([np.median(error) if len(error) else np.nan for error in errors], np.float64)
