"""Uncertainty of a benchmark's score: intervals, and paired tests between two rows, from values by sequence.

A benchmark of a few dozen videos is a small sample, so a difference of a point may be one of sequences, not of methods.
Sequences are the unit; objects of one sequence share its camera and its scene and stay together. A training is a
sample too: trained again with another seed it scores differently, so rows of trainings vary over seeds and sequences.

Intervals are Student's, with the jackknife's variance over sequences and, for trainings, the variance between seeds
(degrees of freedom by Welch and Satterthwaite). In simulations of scores like DAVIS's they cover 93 to 96 % (90 to 95 %
where a few hard videos make the scores skewed) with 2 to 60 sequences; percentile bootstrap intervals cover 48 % with
2 sequences, 75 % with 3 and 87 % with 8. With fewer than four sequences an interval is so wide that none is given; that
of a measure between 0 and 1 is cut there. Of two identical trainings with 3 seeds, whose scores vary alike, the test
finds a difference at the level 5 % in at most 5 % of cases, a bootstrap over seeds and sequences in up to 19 %, and one
over sequences in up to 73 %. Where the scores vary differently it finds more: 8 % with 3 seeds of spread 1.5 points
against 10 of spread 0.3. `tests/callbacks/results/test_statistics.py` repeats a small version.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, isnan, nan, sqrt
from statistics import fmean, pvariance, variance
from typing import NamedTuple

ScoresBySequence = Mapping[str, Sequence[float]]
"""Sequence → scores of its objects, in [0, 1]; NaN where a score is not defined."""
FEWEST_SEEDS, FEWEST_SEQUENCES = 3, 4
"""Fewest seeds for a statement about the training behind a score, and fewest sequences for an interval."""
HOW = "Student's, jackknife over sequences; the objects of a sequence stay together"
"""The sentence under a table that says how its intervals are made."""
ABOUT_WEIGHTS = "The p of rows with one run is about these weights, not about how they were trained."


class Difference(NamedTuple):
    """Difference of two rows on the same sequences.

    Attributes:
        mean: mean of the first minus mean of the second.
        low: lower end of the 95 % interval; None where there are too few seeds or sequences.
        high: upper end; None where there are too few.
        p: two-sided p-value of a difference of zero; None where there are too few.
        lacks: of what there are too few.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    lacks: str = ""

    @property
    def in_points(self) -> str:
        """Difference and interval in points of per cent, and p."""
        mean = f"{100 * self.mean:+.1f}"
        if self.low is None or self.high is None:
            return f"{mean} ({self.lacks}: not tested)"
        return f"{mean} [{100 * self.low:+.1f}, {100 * self.high:+.1f}], p {self.p:.2g}"


def interval(runs: Sequence[ScoresBySequence], score: str = "") -> tuple[float, float] | None:
    """Compute the 95 % interval of a mean over objects.

    Args:
        runs: the scores of one network, or of each seed; from three seeds on the interval is over these too.
        score: name of the score; all but a decay lie in [0, 1], and so does the interval.

    Returns:
        Lower and upper end; None unless there are four sequences, and the same objects in every run.
    """
    variances = _over_sequences(runs)
    if variances is None or variances[1] + 1 < FEWEST_SEQUENCES:
        return None
    seeds = [_over_seeds(runs)] if len(runs) >= FEWEST_SEEDS else []
    _, low, high, _ = _students(mean_score(*runs), [variances, *seeds])
    return (low, high) if score.endswith("Decay") else (max(low, 0.0), min(high, 1.0))


def difference(
    first: Sequence[ScoresBySequence], second: Sequence[ScoresBySequence], trained: tuple[bool, bool] = (False, False)
) -> Difference | None:
    """Compare two rows that were scored on the same sequences.

    Args:
        first: the scores of each run (seed) of the first row.
        second: those of the second; seeds of the two rows are independent samples.
        trained: whether each row stands for a training, of which the runs are a sample, not for one network.

    Returns:
        Mean difference over all objects, its 95 % interval and p; the last two are None where a row of a training has
        fewer than three seeds, or there are fewer than four sequences. None unless there are two sequences, and the
        same objects in every run.
    """
    variances = _over_sequences(first, second)
    if variances is None:
        return None
    mean = mean_score(*first) - mean_score(*second)
    sides = [runs for runs, of_training in zip((first, second), trained, strict=True) if of_training]
    if any(len(runs) < FEWEST_SEEDS for runs in sides):
        return Difference(mean, lacks=f"fewer than {FEWEST_SEEDS} seeds")
    if variances[1] + 1 < FEWEST_SEQUENCES:
        return Difference(mean, lacks=f"fewer than {FEWEST_SEQUENCES} sequences")
    return Difference(*_students(mean, [variances, *map(_over_seeds, sides)]))


def _students(mean: float, parts: Sequence[tuple[float, int]]) -> tuple[float, float, float, float]:
    """Return a mean, the ends of its interval and p, from independent parts of its variance, each with its freedom."""
    from scipy.special import stdtr, stdtrit  # with numpy, most of the start of a tool's `--help`

    total = sum(part for part, _ in parts)
    if total == 0:
        return mean, mean, mean, float(mean == 0)
    freedom = total**2 / sum(part**2 / degrees for part, degrees in parts)
    error = sqrt(total)
    half = float(stdtrit(freedom, 0.975)) * error
    return mean, mean - half, mean + half, float(2 * stdtr(freedom, -abs(mean) / error))


def _over_seeds(runs: Sequence[ScoresBySequence]) -> tuple[float, int]:
    """Return the variance of the mean over runs, and its degrees of freedom."""
    means = [mean_score(run) for run in runs]
    return variance(means) / len(means), len(means) - 1


def _over_sequences(
    first: Sequence[ScoresBySequence], second: Sequence[ScoresBySequence] = ()
) -> tuple[float, int] | None:
    """Return the jackknife's variance over sequences of a mean, or of a paired difference, and its freedom."""
    shapes = {tuple(sorted((name, len(values)) for name, values in run.items())) for run in (*first, *second)}
    if len(shapes) != 1:
        return None
    sequences = []
    for name in first[0]:
        values = _over_runs(first, name)
        if second:
            values = [one - other for one, other in zip(values, _over_runs(second, name), strict=True)]
        if known := [value for value in values if isfinite(value)]:
            sequences.append((sum(known), len(known)))
    number = len(sequences)
    if number < 2:
        return None
    total, objects = sum(each for each, _ in sequences), sum(count for _, count in sequences)
    without = [(total - each) / (objects - count) for each, count in sequences]
    spread = (number - 1) * pvariance(without)
    return (spread if spread > 1e-24 else 0.0), number - 1  # equal values differ by rounding


def _over_runs(runs: Sequence[ScoresBySequence], name: str) -> list[float]:
    """Return the mean over runs of each object of a sequence."""
    return [fmean(values) for values in zip(*(run[name] for run in runs), strict=True)]


def is_mean(videos: ScoresBySequence, score: float) -> bool:
    """Return whether a score is the mean over objects; others, such as an IoU over pixels, have no interval."""
    return bool(videos) and abs(mean_score(videos) - score) < 1e-6


def interval_of(videos: ScoresBySequence, value: float, score: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a score, see `interval`; None where it is no mean over sequences."""
    return interval([videos], score) if is_mean(videos, value) else None


def from_best(value: float) -> tuple[bool, float]:
    """Return what scores are sorted by, the highest first and undefined ones last."""
    return isnan(value), -value


def mean_score(*runs: ScoresBySequence) -> float:
    """Return the mean over all objects of the mean over runs; NaN is left out."""
    known = [value for name in runs[0] for value in _over_runs(runs, name) if not isnan(value)]
    return fmean(known) if known else nan
