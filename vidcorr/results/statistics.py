"""Uncertainty of a benchmark's score: intervals and paired tests, from values by sequence.

The sampling unit is the sequence: its objects share camera and scene and stay together. Trainings vary over sequences
and seeds.

Intervals are Student's. The variance is the jackknife's over sequences, plus the variance between seeds for trainings;
degrees of freedom by Welch and Satterthwaite. Intervals need four sequences and are cut to the range of the measure.

Coverage of the 95 % intervals in simulations of scores like DAVIS's, with 2 to 60 sequences: 93 to 96 %, and 90 to 95 %
if a few hard videos skew the scores. Percentile bootstrap: 48 % with 2 sequences, 75 % with 3, 87 % with 8.

False positives of the test at the 5 % level, for two identical trainings with 3 seeds: at most 5 %. A bootstrap over
seeds and sequences has up to 19 %, a bootstrap over sequences up to 73 %. Unequal variances raise the rate: 8 % with
3 seeds of spread 1.5 points against 10 seeds of spread 0.3.

`tests/vidcorr/results/test_statistics.py` repeats small versions of both simulations.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, isnan, nan, sqrt
from statistics import fmean, pvariance, variance
from typing import NamedTuple

ScoresBySequence = Mapping[str, Sequence[float]]
"""Sequence → scores of its objects, in [0, 1]; NaN if undefined."""
FEWEST_SEEDS, FEWEST_SEQUENCES = 3, 4
"""Fewest seeds for a statement about the training behind a score, and fewest sequences for an interval."""
HOW = "Student's, jackknife over sequences; the objects of a sequence stay together"
"""Method of the intervals, printed under tables."""
ABOUT_WEIGHTS = "The p of rows with one run is about these weights, not about how they were trained."


class Difference(NamedTuple):
    """Difference of two rows on the same sequences.

    Attributes:
        mean: mean of the first minus mean of the second.
        low: lower end of the 95 % interval; None with too few seeds or sequences.
        high: upper end, or None.
        p: two-sided p-value of a difference of zero, or None.
        lacks: "fewer than N seeds" or "fewer than N sequences" if the test is missing.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    lacks: str = ""

    @property
    def figures(self) -> str:
        """Difference in percentage points, with interval and p if it was tested."""
        mean = f"{100 * self.mean:+.1f}"
        if self.low is None or self.high is None:
            return mean
        return f"{mean} [{100 * self.low:+.1f}, {100 * self.high:+.1f}], p {self.p:.2g}"

    @property
    def in_points(self) -> str:
        """The figures, and the reason why the test is missing."""
        return f"{self.figures} ({self.lacks}: not tested)" if self.lacks else self.figures


def interval(runs: Sequence[ScoresBySequence], score: str = "") -> tuple[float, float] | None:
    """Compute the 95 % interval of a mean over objects.

    Args:
        runs: scores of a network, or of the seeds of a training. With three seeds or more the interval covers the
            variation over seeds too.
        score: name of the score. The interval is cut to [0, 1] unless the score is a decay.

    Returns:
        Lower and upper end; None with fewer than four sequences, or if the objects of the runs differ.
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
    """Compare two rows on the same sequences.

    Args:
        first: scores of the first row, per seed.
        second: scores of the second row, per seed. Seeds of the two rows are independent samples.
        trained: for both rows, True if the row stands for a training, sampled by its seeds.

    Returns:
        Mean difference over all objects, its 95 % interval and p. Interval and p are None if a training has fewer than
        three seeds, or with fewer than four sequences. The whole result is None with fewer than two sequences, or if
        the objects of the runs differ.
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
    """Return a mean, the ends of its interval and p.

    Args:
        mean: the mean.
        parts: independent parts of its variance, with their degrees of freedom.
    """
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
    """Return the jackknife variance of a mean or a paired difference over sequences, and its degrees of freedom."""
    shapes = {tuple(sorted((name, len(values)) for name, values in run.items())) for run in (*first, *second)}
    if len(shapes) != 1:
        return None
    sequences = []
    for name in first[0]:
        values = _over_runs(first, name)
        if second:
            values = [value - other for value, other in zip(values, _over_runs(second, name), strict=True)]
        if known := [value for value in values if isfinite(value)]:
            sequences.append((sum(known), len(known)))
    number = len(sequences)
    if number < 2:
        return None
    total, objects = map(sum, zip(*sequences, strict=True))
    without = [(total - part) / (objects - count) for part, count in sequences]
    spread = (number - 1) * pvariance(without)
    return (spread if spread > 1e-24 else 0.0), number - 1  # equal values differ by rounding


def _over_runs(runs: Sequence[ScoresBySequence], name: str) -> list[float]:
    """Return the means over runs for the objects of a sequence."""
    return [fmean(values) for values in zip(*(run[name] for run in runs), strict=True)]


def from_best(value: float) -> tuple[bool, float]:
    """Return a sort key: the highest score first, NaN last."""
    return isnan(value), -value


def mean_score(*runs: ScoresBySequence) -> float:
    """Return the mean over objects of the means over runs, without NaN."""
    known = [value for name in runs[0] for value in _over_runs(runs, name) if not isnan(value)]
    return fmean(known) if known else nan
