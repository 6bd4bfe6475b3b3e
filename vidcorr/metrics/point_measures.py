"""Further measures of point tracks: AJ_RD after points come back, PointOdyssey's survival, and BADJA's PCK."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .outlines import as_array
from .point_tracking import Array, PointQueries, QueryMode, mean_of_defined, tapvid_counts, tapvid_scores

DISTANCES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Thresholds of the distance for AJ_RD, pixels of the benchmark's raster (256 × 256 for TAP-Vid)."""

DURATIONS = (1, 4, 16, 64, 256)
"""Minimum lengths of an absence for AJ_RD, frames."""

FAILURE = 16.0
"""Pixels of a 256 × 256 image beyond which a track has failed."""

FRACTION = 0.2
"""BADJA's PCK counts points within this fraction of the square root of the object's area."""

AREA_PCK = f"PCK@{FRACTION:g}"
"""Key of BADJA's PCK."""


def redetection_events(
    target_occluded: NDArray[Any],
    target_tracks: NDArray[Any],
    predicted_occluded: NDArray[Any],
    predicted_tracks: NDArray[Any],
    distances: Sequence[float] = DISTANCES,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the events in which points reappear, and the Jaccard index from the event to the end of the video.

    An event is the first visible frame after an absence that is longer than all earlier absences of the point; an
    absence from frame 0 on counts too. A true positive is visible in both tracks and at most the threshold away; a
    false positive is predicted visible, and not visible or too far.
    Source: google-deepmind/tapnet @ c2cbab8, tapnet/tapnextpp/metrics/aj_rd.py.

    Args:
        target_occluded: (N, T) bool.
        target_tracks: (N, T, 2) x, y in pixels of the benchmark's raster.
        predicted_occluded: (N, T) bool.
        predicted_tracks: (N, T, 2).
        distances: thresholds, pixels.

    Returns:
        (E, 3) point, frame of return and length of absence of the events, and (E, D) Jaccard index by threshold.
    """
    visible = ~np.asarray(target_occluded, bool)
    predicted_visible = ~np.asarray(predicted_occluded, bool)
    error = np.linalg.norm(np.asarray(predicted_tracks, float) - np.asarray(target_tracks, float), axis=-1)
    events: list[tuple[int, int, int]] = []
    for point, of_point in enumerate(visible):
        for start, absence in _returns(of_point):
            events.append((point, start, absence))
    values = np.zeros((len(events), len(distances)))
    for row, (point, start, _) in enumerate(events):
        seen = visible[point, start:, None]
        shown = predicted_visible[point, start:, None]
        right = seen & (error[point, start:, None] <= np.asarray(distances))
        values[row] = (shown & right).sum(axis=0) / (seen.sum() + (shown & ~right).sum(axis=0))
    return np.array(events, np.int64).reshape(-1, 3), values


def redetection_scores(
    lengths: NDArray[np.int64],
    values: NDArray[np.float64],
    distances: Sequence[float] = DISTANCES,
    durations: Sequence[int] = DURATIONS,
) -> dict[str, float]:
    """Return `AJ_RD`, and its parts by minimum length of the absence and by threshold; NaN without events.

    Args:
        lengths: (E,) lengths of the absences of all videos.
        values: (E, D) Jaccard index of each event at each threshold, from `redetection_events`.
        distances: thresholds, pixels.
        durations: minimum lengths; an event counts for all that it reaches.
    """
    scores: dict[str, float] = {}
    means: list[float] = []
    for duration in durations:
        chosen = values[lengths >= duration]
        by_distance = np.full(len(distances), math.nan)
        if len(chosen):
            by_distance = chosen.mean(axis=0)
            means.append(float(by_distance.mean()))
        for distance, value in zip(distances, by_distance.tolist(), strict=True):
            scores[f"AJ_RD_D{distance:g}_dmin{duration}"] = value
        scores[f"AJ_RD_dmin{duration}"] = float(by_distance.mean())
    overall = float(np.mean(means)) if means else math.nan
    return {"AJ_RD": overall, **scores}


def _returns(visible: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (frame, length of absence) of a point's returns after its longest absence so far."""
    found = []
    absent = 0
    longest = 0
    for t, seen in enumerate(visible.tolist()):
        if seen and absent > longest:
            found.append((t, absent))
            longest = absent
        absent = 0 if seen else absent + 1
    return found


def track_survival(queries: PointQueries, tracks: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the survival of tracks, and their median errors.

    A track fails in the first frame in which it is more than `FAILURE` pixels away from the annotated point. Its
    survival is the fraction of frames before the failure, among the frames from the query's on; a track holds in frames
    without an annotated point. PointOdyssey averages over tracks, then over videos.
    Paper: Zheng et al., PointOdyssey (ICCV 2023), section 5; aharley/pips2 @ 0e0b69d, test_on_pod.py. Difference: in
    PointOdyssey all queries lie in frame 0, and occluded points are annotated too; here they are not.

    Args:
        queries: queries and annotation in pixels of a 256 × 256 image; hidden points are not annotated.
        tracks: (N, T, 2) predicted x, y; NaN is a failure, and infinitely far for the median.

    Returns:
        (N,) survival in [0, 1], and (N,) median error in pixels over the annotated points; NaN without any.

    Example:
        >>> from vidcorr.metrics import sample_queries
        >>> track = np.zeros((1, 4, 2))
        >>> moved = track + np.array([[0.0], [3.0], [20.0], [1.0]])
        >>> survival, error = track_survival(sample_queries(np.zeros((1, 4), bool), track), moved)
        >>> survival.item(), round(error.item(), 3)
        (0.5, 2.828)
    """
    since_query = np.arange(queries.occluded.shape[1]) >= queries.frames
    annotated = since_query & ~queries.occluded
    distance = np.linalg.norm(as_array(tracks).astype(np.float64) - queries.tracks, axis=-1)
    distance = np.where(np.isnan(distance), np.inf, distance)
    failed = np.logical_or.accumulate(annotated & (distance > FAILURE), axis=1)
    survival = (since_query & ~failed).sum(1) / since_query.sum(1)
    median_error = np.full(len(distance), np.nan)
    for point, counted in enumerate(annotated):
        if counted.any():
            median_error[point] = np.median(distance[point, counted])
    return survival, median_error


def area_counts(queries: PointQueries, tracks: Array, areas: Array, query_mode: QueryMode = "first") -> tuple[int, int]:
    """Count the annotated visible points within a fifth of the square root of the object's area, and all of them.

    All points of all scored frames have equal weight; `tapvid_metrics` scores the same frames.
    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018); the count follows aharley/pips, test_on_badja.py.
    Difference: pips resizes frames to 320 x 512 px first, which changes their aspect ratio, and follows only joints
    that are visible in the first frame.

    Args:
        queries: queries and annotation in pixels of the frames.
        tracks: (N, T, 2) predicted x, y in pixels of the frames; NaN is never correct.
        areas: (T,) pixels of the object by frame.
        query_mode: "first" or "strided".

    Returns:
        Number of correct points, and number of points that count.

    Raises:
        ValueError: if the shapes do not fit together or the mode is unknown.

    Example:
        >>> from vidcorr.metrics import sample_queries
        >>> track = np.array([[[8.0, 8.0], [9.0, 8.0], [10.0, 8.0]]])
        >>> queries = sample_queries(np.zeros((1, 3), bool), track)
        >>> area_counts(queries, track + [3.0, 0.0], np.array([100.0, 100.0, 400.0]))
        (1, 2)
    """
    predicted, area = as_array(tracks), as_array(areas)
    queries.check(predicted, queries.occluded)
    if area.shape != queries.occluded.shape[1:]:
        raise ValueError(f"expected the area in each of {queries.occluded.shape[1]} frames, got {area.shape}")
    counted = ~queries.occluded & queries.scored(query_mode)
    distance = np.linalg.norm(predicted.astype(np.float64) - queries.tracks, axis=-1)
    correct = counted & (distance < FRACTION * np.sqrt(area.astype(np.float64)))
    return int(correct.sum()), int(counted.sum())


def track_measures(
    queries: PointQueries,
    occluded: Array,
    tracks: Array,
    query_mode: QueryMode = "first",
    *,
    pixel: tuple[float, float] = (1.0, 1.0),
    areas: Array | None = None,
    further: bool = False,
) -> dict[str, Any]:
    """Measure the tracks of a video: TAP-Vid's counts, and further measures beside them.

    Args:
        queries: queries and annotation, in pixels of the raster.
        occluded: (N, T) bool, predicted.
        tracks: (N, T, 2) predicted x, y in pixels of the raster.
        query_mode: "first" or "strided".
        pixel: x and y, pixels of the frame per pixel of the raster.
        areas: (T,) area of the object by frame, pixels of the frame; adds the counts of BADJA's PCK.
        further: add the events of AJ_RD; and for queries "first" PointOdyssey's survival and the median error in
            pixels, means over the tracks.

    Returns:
        `tracks`, the (N, 18) counts of `tapvid_counts`; with areas `area`, correct and counted points; with `further`
        `returns`, the lengths of absences (E,) and Jaccard indices (E, D) of the events, `survival` and
        `median_error`, NaN if a track is lost in most frames. Plain lists and numbers.

    Raises:
        ValueError: if the shapes or types do not fit together, or the mode is unknown.
    """
    counts = tapvid_counts(queries, occluded, tracks, query_mode)
    measures: dict[str, Any] = {"tracks": counts.tolist()}
    if areas is not None:
        at_own_size = replace(queries, tracks=queries.tracks * pixel)
        measures["area"] = list(area_counts(at_own_size, as_array(tracks) * pixel, areas, query_mode))
    if further and query_mode == "first":
        survival, error = track_survival(queries, tracks)
        measures["survival"] = mean_of_defined(survival)
        mean_error = mean_of_defined(error)
        measures["median_error"] = mean_error if np.isfinite(mean_error) else np.nan
    if further:
        events, values = redetection_events(queries.occluded, queries.tracks, as_array(occluded), as_array(tracks))
        measures["returns"] = [events[:, 2].tolist(), values.tolist()]
    return measures


def track_scores(videos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means over videos: BADJA's PCK if videos have areas, TAP-Vid's metrics, survival and median error.

    Args:
        videos: the measures of each video, from `track_measures`, in the order in which they are summed.

    Returns:
        Key → mean. `median_error` is in pixels of the raster, NaN if it is so for a video with points; all others are
        fractions.
    """
    scores: dict[str, float] = {}
    areas = _measure_of(videos, "area")
    if areas:
        fractions = [correct / counted for correct, counted in areas if counted]
        scores[AREA_PCK] = mean_of_defined(fractions)
    scores |= tapvid_scores([measures["tracks"] for measures in videos])
    survivals = np.array(_measure_of(videos, "survival"), np.float64)  # None, as rows hold NaN, becomes NaN
    if len(survivals):
        errors = np.array(_measure_of(videos, "median_error"), np.float64)[np.isfinite(survivals)]
        scores["survival"] = mean_of_defined(survivals)
        scores["median_error"] = float(errors.mean()) if len(errors) else float("nan")
    return scores


def returns_scores(videos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return AJ_RD and its parts, over the events of all videos together; empty if no video was measured `further`.

    Args:
        videos: the measures of each video, from `track_measures`.
    """
    events = _measure_of(videos, "returns")
    if not events:
        return {}
    lengths = [np.array(of_video, np.int64) for of_video, _ in events]
    values = [np.array(of_video, np.float64).reshape(-1, len(DISTANCES)) for _, of_video in events]
    return redetection_scores(np.concatenate(lengths), np.concatenate(values))


def _measure_of(videos: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Return a measure of the videos that have it."""
    return [measures[key] for measures in videos if key in measures]
