"""AJ_RD: the average Jaccard of points after they come back into view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DISTANCES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Thresholds of the distance, pixels of the benchmark's raster (256 × 256 for TAP-Vid)."""

DURATIONS = (1, 4, 16, 64, 256)
"""Least lengths of an absence, frames."""


def redetection_events(
    target_occluded: NDArray[Any],
    target_tracks: NDArray[Any],
    predicted_occluded: NDArray[Any],
    predicted_tracks: NDArray[Any],
    distances: Sequence[float] = DISTANCES,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the events in which a point of a video comes back, and the Jaccard index from there to the end.

    An event is a frame in which the point is visible and was not in the frame before, after an absence that is longer
    than each earlier one of that point; an absence from frame 0 on counts too. A true positive is visible in both and
    at most the threshold away, a false positive predicted visible and neither.
    Source: google-deepmind/tapnet @ c2cbab8, tapnet/tapnextpp/metrics/aj_rd.py.

    Args:
        target_occluded: (N, T) bool.
        target_tracks: (N, T, 2) x, y in pixels of the benchmark's raster.
        predicted_occluded: (N, T) bool.
        predicted_tracks: (N, T, 2).
        distances: thresholds, pixels.

    Returns:
        (E, 3) point, frame of return and length of the absence of each event, and (E, D) Jaccard index by threshold.
    """
    wanted, predicted = ~np.asarray(target_occluded, bool), ~np.asarray(predicted_occluded, bool)
    error = np.linalg.norm(np.asarray(predicted_tracks, float) - np.asarray(target_tracks, float), axis=-1)
    events = [(point, *event) for point, visible in enumerate(wanted) for event in _returns(visible)]
    values = np.zeros((len(events), len(distances)))
    for row, (point, start, _) in enumerate(events):
        seen, shown, distance = (array[point, start:] for array in (wanted, predicted, error))
        for column, threshold in enumerate(distances):
            near = distance <= threshold
            positives = (seen & shown & near).sum()
            values[row, column] = positives / (seen.sum() + (shown & ~(seen & near)).sum())
    return np.array(events, np.int64).reshape(-1, 3), values


def redetection_scores(
    lengths: NDArray[np.int64],
    values: NDArray[np.float64],
    distances: Sequence[float] = DISTANCES,
    durations: Sequence[int] = DURATIONS,
) -> dict[str, float]:
    """Return `AJ_RD`, and its parts by least length of the absence and by threshold; NaN where there are no events.

    Args:
        lengths: (E,) lengths of the absences of all videos.
        values: (E, D), see `redetection_events`.
        distances: thresholds, pixels.
        durations: least lengths; an event counts for each that it reaches.
    """
    scores: dict[str, float] = {}
    means: list[float] = []
    for duration in durations:
        chosen = values[lengths >= duration]
        columns = chosen.mean(axis=0) if len(chosen) else np.full(len(distances), math.nan)
        scores |= {f"AJ_RD_D{d:g}_dmin{duration}": float(v) for d, v in zip(distances, columns, strict=True)}
        scores[f"AJ_RD_dmin{duration}"] = float(columns.mean())
        means += [float(columns.mean())] if len(chosen) else []
    return {"AJ_RD": float(np.mean(means)) if means else math.nan, **scores}


def _returns(visible: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return frame and length of absence of each return of a point after its longest absence so far."""
    found, absent, longest = [], 0, 0
    for t, seen in enumerate(visible.tolist()):
        if seen and absent > longest:
            found.append((t, absent))
            longest = absent
        absent = 0 if seen else absent + 1
    return found
