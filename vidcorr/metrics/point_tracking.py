"""Point tracking by the rules of TAP-Vid: query samplers, metrics per video and track, means over videos."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .outlines import as_array

QueryMode = Literal["first", "strided"]

PIXEL_THRESHOLDS = (1, 2, 4, 8, 16)

JACCARDS = ("jaccard_1", "jaccard_2", "jaccard_4", "jaccard_8", "jaccard_16")
WITHIN = ("pts_within_1", "pts_within_2", "pts_within_4", "pts_within_8", "pts_within_16")
METRICS = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", *JACCARDS, *WITHIN)
"""Keys of the official code."""

Array = Tensor | NDArray[Any]


@dataclass(frozen=True, eq=False)
class PointQueries:
    """Queries of a video with their annotated tracks.

    Args:
        points: (N, 3) float64 t, y, x: frame index, and raster pixels.
        tracks: (N, T, 2) x, y in raster pixels, in the type of the annotation.
        occluded: (N, T) bool, True for a hidden point.
        track: (N,) int64, indices of the queries' annotated tracks.

    Raises:
        ValueError: if the shapes or types do not fit together, or a query lies outside the frames.
    """

    points: NDArray[np.float64]
    tracks: NDArray[Any]
    occluded: NDArray[np.bool_]
    track: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.check(self.tracks, self.occluded)
        num_frames = self.occluded.shape[1]
        if not ((self.frames >= 0) & (self.frames < max(num_frames, 1))).all():
            raise ValueError(f"queries must lie in frames 0 to {num_frames - 1}, got {self.points[:, 0].tolist()}")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def frames(self) -> NDArray[Any]:
        """Frames of the queries, (N, 1), rounded half to even."""
        return np.round(self.points[:, :1])

    def scored(self, query_mode: QueryMode) -> NDArray[np.bool_]:
        """Return which frames count, (N, T): for "first" those after the query's frame, for "strided" all others."""
        require_mode(query_mode)
        index = np.arange(self.occluded.shape[1])
        return index > self.frames if query_mode == "first" else index != self.frames

    def check(self, tracks: NDArray[Any], occluded: NDArray[Any]) -> None:
        """Raise ValueError, unless tracks are (N, T, 2) and their occlusion is bool (N, T) of these queries."""
        expected = (len(self), *self.tracks.shape[1:2])
        if tracks.shape != (*expected, 2) or occluded.shape != expected or occluded.dtype != bool:
            given = f"{tracks.shape} and {occluded.shape} {occluded.dtype}"
            wanted = f"{(*expected, 2)} and {expected} bool"
            raise ValueError(f"expected tracks (N, T, 2) and bool occlusion (N, T), {wanted}; got {given}")


def sample_queries(occluded: Array, tracks: Array, query_mode: QueryMode = "first", stride: int = 5) -> PointQueries:
    """Choose queries as TAP-Vid's official samplers do.

    "first" queries a track in its first visible frame; "strided" queries every visible track in every `stride`-th frame
    from frame 0 on. A track that is never visible has no query. Difference from the original code: for a video without
    any visible point "first" returns no query, and the original raises.
    Source: google-deepmind/tapnet, tapnet/tapvid/evaluation_datasets.py.

    Args:
        occluded: (N, T) bool, True for a hidden point.
        tracks: (N, T, 2) x, y in raster pixels.
        query_mode: "first" or "strided".
        stride: number of frames between queries, for "strided".

    Returns:
        The queries, ordered by track for "first", by frame and then by track for "strided".

    Raises:
        ValueError: if the shapes do not fit together, or the mode is unknown.

    Example:
        >>> occluded = np.array([[True, False, False], [False, False, True]])
        >>> queries = sample_queries(occluded, np.zeros((2, 3, 2)))
        >>> queries.points[:, 0], queries.track
        (array([1., 0.]), array([0, 1]))
    """
    require_mode(query_mode)
    hidden = as_array(occluded)
    positions = as_array(tracks)
    if query_mode == "first":
        track = np.flatnonzero(~hidden.all(axis=1))
        # the first visible frame; `argmax` refuses an empty video, which has no track to query
        frame = (~hidden[track]).argmax(axis=1) if len(track) else track
    else:
        queried_frames = np.arange(0, hidden.shape[1], stride)
        # visible (queried frame, track), frame by frame
        index, track = np.nonzero(~hidden[:, queried_frames].T)
        frame = queried_frames[index]
    x, y = positions[track, frame].astype(np.float64).reshape(-1, 2).T
    points = np.column_stack([frame.astype(np.float64), y, x])
    return PointQueries(points, positions[track], hidden[track], track.astype(np.int64))


def tapvid_metrics(
    query_points: Array,
    target_occluded: Array,
    target_tracks: Array,
    predicted_occluded: Array,
    predicted_tracks: Array,
    query_mode: QueryMode = "first",
) -> dict[str, float]:
    """Compute TAP-Vid's metrics of a video, over all its queries together.

    A point is within a threshold if its squared distance is strictly less than the threshold's square. `pts_within_d`
    is the fraction of truly visible points within d, whatever visibility is predicted. `jaccard_d` is TP / (truly
    visible + FP); FP are points predicted visible that are occluded or not within d. `occlusion_accuracy` is the
    fraction of points with the right visibility. "first" scores the frames after a query, "strided" all frames but the
    query's.
    Paper: Doersch et al., TAP-Vid (NeurIPS 2022), section 3.3; google-deepmind/tapnet, `compute_tapvid_metrics`.

    Args:
        query_points: (N, 3) t, y, x; only the time is used, rounded half to even.
        target_occluded: (N, T) bool.
        target_tracks: (N, T, 2) x, y in raster pixels of an image of 256 × 256; distances are computed in the widest
            type of the two tracks.
        predicted_occluded: (N, T) bool.
        predicted_tracks: (N, T, 2); NaN is never within a threshold.
        query_mode: "first" or "strided".

    Returns:
        Fractions by the names in `METRICS`; NaN for 0/0.

    Raises:
        ValueError: if the shapes or types do not fit together, a query lies outside the frames or the mode is unknown.

    Example:
        >>> track = np.array([[[8.0, 8.0], [9.0, 8.0], [10.0, 8.0]]])
        >>> seen = np.zeros((1, 3), bool)
        >>> scores = tapvid_metrics(np.array([[0, 8, 8]]), seen, track, seen, track + [3.0, 0.0])
        >>> scores["pts_within_2"], scores["pts_within_4"], scores["average_jaccard"]
        (0.0, 1.0, 0.6)
    """
    points = as_array(query_points)
    queries = PointQueries(points, as_array(target_tracks), as_array(target_occluded), np.arange(len(points)))
    counts = tapvid_counts(queries, predicted_occluded, predicted_tracks, query_mode)
    return video_fractions(counts)


def tapvid_counts(
    queries: PointQueries, occluded: Array, tracks: Array, query_mode: QueryMode = "first"
) -> NDArray[np.int64]:
    """Count for each query (N, 18) the frames and points from which `video_fractions` makes TAP-Vid's metrics.

    These are frames scored, frames with the right visibility, frames truly visible; then for the five thresholds in
    turn visible points within it, true positives and false positives.
    """
    predicted_hidden = as_array(occluded)
    positions = as_array(tracks)
    queries.check(positions, predicted_hidden)
    hidden = queries.occluded
    scored = queries.scored(query_mode)
    visible = ~hidden & scored
    predicted_visible = ~predicted_hidden & scored
    # distances, (N, T)
    squared = np.sum(np.square(positions - queries.tracks), axis=-1)
    counts = [scored, (hidden == predicted_hidden) & scored, visible]
    for threshold in PIXEL_THRESHOLDS:
        within = squared < threshold**2
        # a false positive is predicted visible, but hidden, or too far from the annotated point
        counts += [visible & within, visible & within & predicted_visible, predicted_visible & (hidden | ~within)]
    return np.stack([count.sum(axis=1) for count in counts], axis=1).astype(np.int64)


def video_fractions(counts: object) -> dict[str, float]:
    """Return name → value of `METRICS` from counts of a video, by query or summed; NaN for 0/0."""
    columns = 3 + 3 * len(PIXEL_THRESHOLDS)
    total = np.array(counts, np.int64).reshape(-1, columns).sum(axis=0)
    scored, right, visible = total[:3]
    within, true_positives, false_positives = total[3:].reshape(-1, 3).T
    with np.errstate(invalid="ignore"):
        points = within / visible
        # visible: true positives and false negatives
        jaccard = true_positives / (visible + false_positives)
        accuracy = right / scored
    values = [jaccard.mean(), points.mean(), accuracy, *jaccard, *points]
    return dict(zip(METRICS, map(float, values), strict=True))


def track_scores(videos: Sequence[object]) -> dict[str, float]:
    """Return the means of `METRICS` over the counts of videos, in the order in which the official code adds them up.

    A mean leaves out videos in which its metric is 0/0, where the original code gives NaN for the data set.

    Example:
        >>> seen = [2, 1, 1] + 5 * [1, 1, 1]  # of two frames one is seen rightly, and near within each threshold
        >>> scores = track_scores([seen, [2, 2, 0] + 15 * [0]])  # and in another video both are hidden, rightly
        >>> scores["average_jaccard"], scores["average_pts_within_thresh"], scores["occlusion_accuracy"]
        (0.5, 1.0, 0.75)
    """
    all_fractions = list(map(video_fractions, videos))
    means: dict[str, float] = {}
    for key in METRICS:
        means[key] = nan_mean([fractions[key] for fractions in all_fractions])
    return means


def nan_mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any.

    The values are added in order, as in the official code: from Python 3.12 on `sum` compensates rounding, and the last
    digit would depend on the interpreter.

    Example:
        >>> nan_mean([0.25, float("nan"), 0.75]), nan_mean([])
        (0.5, nan)
        >>> nan_mean([0.1] * 10)
        0.09999999999999999
    """
    defined = [value for value in values if not np.isnan(value)]
    return reduce(add, defined) / len(defined) if defined else float("nan")


def rules_of(query_mode: QueryMode) -> dict[str, Any]:
    """Return the rules of TAP-Vid's scores for results.json, under the names of a protocol's fields."""
    source = "google-deepmind/tapnet: tapnet/tapvid/evaluation_datasets.py"
    rules = {"query_mode": query_mode, "query_stride": 5, "scored_size": 256}
    return {"name": "tap-vid", "source": source, **rules}


def require_mode(query_mode: str) -> None:
    """Raise ValueError for an unknown mode of queries."""
    if query_mode not in get_args(QueryMode):
        raise ValueError(f"query_mode must be one of {get_args(QueryMode)}, got {query_mode!r}")
