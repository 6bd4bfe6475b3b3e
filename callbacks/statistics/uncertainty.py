"""Intervals of a benchmark's scores and paired tests between two runs, from their rows per sequence and object."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .intervals import Difference, bootstrap_interval, paired_difference

ScoreRow = Mapping[str, Any]


def columns_of(score: str) -> tuple[str, ...]:
    """Return the columns of per_sequence.csv whose mean a score is; J&F is the mean of J and F."""
    return ("J-Mean", "F-Mean") if score == "J&F-Mean" else (score,)


def videos_of(rows: Collection[str], videos: Collection[str] = ()) -> dict[str, str]:
    """Return name of a row → its video, of rows that are called VIDEO or VIDEO_ID.

    Where every row has the name of a video, the rows are videos; otherwise they are objects.

    Args:
        rows: their names.
        videos: names of the videos; without them, a number at the end is an object's.

    Example:
        >>> videos_of(["catch_med_2"], ["catch_med_2", "catch_med_0"])
        {'catch_med_2': 'catch_med_2'}
        >>> videos_of(["dog_1", "dog_1_1"], ["dog", "dog_1"])
        {'dog_1': 'dog', 'dog_1_1': 'dog_1'}
    """
    if set(rows) <= set(videos):
        return {name: name for name in rows}
    found = {}
    for name in rows:
        video, _, number = name.rpartition("_")
        of_object = video in videos if videos else bool(video) and number.isdigit()
        found[name] = video if of_object else name
    return found


def values_by_sequence(rows: Sequence[ScoreRow], score: str, sequences: Sequence[str]) -> dict[str, list[float]] | None:
    """Return the values that a score is the mean of, sequence by sequence.

    Args:
        rows: one for each sequence or object, with "Sequence": a sequence's name, or that, "_" and an object's number;
            "Stage" where there are several.
        score: key; with several stages `res4/J&F-Mean`. J&F is the mean of J and F.
        sequences: names of the sequences; none where they are not at hand, see `videos_of`.

    Returns:
        Sequence → values of its objects; None where the rows have no such column.
    """
    stage, _, measure = score.rpartition("/")
    columns = columns_of(measure)
    rows = [row for row in rows if str(row.get("Stage", "")) == stage]
    videos, found = videos_of([str(row["Sequence"]) for row in rows], set(sequences)), dict[str, list[float]]()
    for row in rows:
        try:
            value = float(np.mean([float(row[column]) for column in columns]))
        except (KeyError, ValueError, TypeError):
            return None
        found.setdefault(videos[str(row["Sequence"])], []).append(value)
    return found or None


def mean_over_runs(runs: Sequence[Mapping[str, Sequence[float]] | None]) -> dict[str, list[float]] | None:
    """Return the mean over runs of each value of `values_by_sequence`; None unless they have the same objects."""
    known = [values for values in runs if values]
    shapes = {tuple(sorted((name, len(values)) for name, values in run.items())) for run in known}
    if len(known) < len(runs) or len(shapes) != 1:
        return None
    return {name: np.mean([run[name] for run in known], axis=0).tolist() for name in known[0]}


def difference_of(
    first: Mapping[str, Sequence[float]] | None, second: Mapping[str, Sequence[float]] | None
) -> Difference | None:
    """Return first minus second, paired by sequence; None unless they have the same objects."""
    if not first or not second:
        return None
    if {name: len(values) for name, values in first.items()} != {name: len(values) for name, values in second.items()}:
        return None
    return paired_difference(first, second)


def score_intervals(
    scores: Mapping[str, float], rows: Sequence[ScoreRow], sequences: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Compute the 95 % interval of each score that is the mean of its rows, by bootstrap over sequences.

    Scores over the pooled frames or joints of a data set (mIoU, PCK, decay of a mean) are left out where they are not
    that mean, and so is everything where there is one sequence only.

    Args:
        scores: key → value.
        rows: see `values_by_sequence`.
        sequences: names of the sequences.

    Returns:
        Key → lower and upper end.
    """
    intervals = {}
    for key, value in scores.items():
        found = values_by_sequence(rows, key, sequences)
        if found is None or len(found) < 2:
            continue
        if abs(float(np.nanmean([item for group in found.values() for item in group])) - value) < 1e-6:
            intervals[key] = bootstrap_interval(list(found.values()))
    return intervals


def rows_difference(
    first: Sequence[ScoreRow], second: Sequence[ScoreRow], score: str, sequences: Sequence[str]
) -> Difference | None:
    """Test the difference of two runs in a score, paired by sequence.

    Args:
        first: rows of a run.
        second: rows of the other.
        score: see `values_by_sequence`.
        sequences: names of the sequences.

    Returns:
        First minus second; None where the rows have no such column or not the same objects.
    """
    ours, theirs = (values_by_sequence(rows, score, sequences) for rows in (first, second))
    return None if ours is None or len(ours) < 2 else difference_of(ours, theirs)
