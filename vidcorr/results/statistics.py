"""Uncertainty of a benchmark's score: intervals and paired tests, from values by sequence.

The sampling unit is the sequence: its objects share camera and scene and stay together. Trainings vary over sequences
and seeds.

Intervals are Student's. The variance over sequences is the jackknife's, which holds for means and for ratios of sums
alike; a training has the variance between its seeds too. Of two parts, each has Student's interval with its own degrees
of freedom, and the interval of the whole is as long as the hypotenuse of the two: it covers in at least 95 of 100 cases
whatever the shares of the parts (Banerjee, Sankhya 22, 1960, for normal scores). Intervals need at least four sequences
and are clipped to the range of the measure.

Two trainings that share three seeds or more are compared over these seeds, in pairs: a seed that is good for both rows
(the same initial weights, the same order of the data) then says nothing about their difference.

Coverage of the 95 % intervals in simulations of scores like DAVIS's, with 2 to 60 sequences: 93 to 96 %, and 90 to 95 %
if a few hard videos skew the scores. Percentile bootstrap: 48 % with 2 sequences, 75 % with 3, 87 % with 8.

False positives of the test at the 5 % level, for two identical trainings: at most 5 %, with 3, 4 and 5 seeds and 4 to
200 sequences (docs/results/false_positives.csv). Both parts in one test with the degrees of freedom of Welch and
Satterthwaite have up to 7 %, the larger p of a test over seeds and one over sequences up to 8 %. Where each seed has
good and bad sequences of its own, their variance is in both parts, and the test finds less than it could. Where seeds
share a spread of 2 points, the test in pairs finds a difference that the test of independent seeds mostly misses.

`tests/vidcorr/results/test_statistics.py` repeats small versions of the simulations.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, nan, sqrt
from operator import sub
from statistics import fmean, pvariance, variance
from typing import NamedTuple

from ..metrics.declared import Score

ScoresBySequence = Mapping[str, Sequence[float]]
"""Sequence → scores of its objects, in [0, 1]; NaN if undefined."""
FRACTION = Score("")
"""A fraction in [0, 1]."""
FEWEST_SEEDS = 3
"""Fewest seeds for a statement about the training behind a score."""
FEWEST_SEQUENCES = 4
"""Fewest sequences for an interval."""
HOW = "Student's, jackknife over sequences; the objects of a sequence stay together"
"""Method of the intervals, printed under tables."""
ABOUT_WEIGHTS = "The p of rows with one run is about these weights, not about how they were trained"


class Sample(NamedTuple):
    """A score of a run over a sample of sequences.

    Attributes:
        score: score of all sequences; NaN without a value.
        without: sequence → score of all the others; NaN for a sequence without a value. If it is empty, the sample
            is empty, and nothing is computed from it.
        seed: seed of the training; None if unknown.
    """

    score: float
    without: Mapping[str, float]
    seed: int | None = None

    @classmethod
    def of_means(cls, videos: ScoresBySequence, seed: int | None = None) -> "Sample":
        """Return the sample of a score that is the mean over the objects of all sequences; NaN values are left out.

        Example:
            >>> Sample.of_means({"bike": [0.25, nan], "dogs": [0.5, 0.75]})
            Sample(score=0.5, without={'bike': 0.625, 'dogs': 0.25}, seed=None)
        """
        finite = {name: list(filter(isfinite, values)) for name, values in videos.items()}
        total = sum(map(sum, finite.values()))
        objects = sum(map(len, finite.values()))
        without = dict.fromkeys(videos, nan)  # NaN stays for a sequence without a value, or the only one with values
        for name, values in finite.items():
            if 0 < len(values) < objects:
                without[name] = (total - sum(values)) / (objects - len(values))
        return cls(total / objects if objects else nan, without, seed)


Variance = tuple[float, int]
"""An estimate of the variance of a mean, or of an independent part of it; and its degrees of freedom, of Student's."""


class Difference(NamedTuple):
    """Difference of two rows on the same sequences.

    Attributes:
        mean: mean of the first minus mean of the second.
        low: lower end of the 95 % interval; None with too few seeds or sequences.
        high: upper end, or None.
        p: two-sided p-value of a difference of zero; None if it is not tested, or a constant other than 0: the same in
            all sequences and seeds.
        sequences: number of the sequences that both rows define.
        lacking: objects of these that one of the rows lacks, or does not define.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    sequences: int | None = None
    lacking: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval; None if the difference is not tested."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def interval(samples: Sequence[Sample], score: Score = FRACTION) -> tuple[float, float] | None:
    """Return the ends of the 95 % interval of a score, cut to the bounds of its declaration.

    None with fewer than four sequences, if the sequences of the samples differ, or if a score is not defined.

    Args:
        samples: the sample of a network, or a sample per seed of a training. With three seeds or more the interval
            covers the variation over seeds too.
        score: declaration of the score.

    Example:
        >>> videos = {"bike": [0.5], "dogs": [0.75], "cows": [0.25], "boat": [0.5]}
        >>> [round(end, 3) for end in interval([Sample.of_means(videos)])]
        [0.175, 0.825]
    """
    over_sequences = _variance_over_sequences(samples)
    scores = [sample.score for sample in samples]
    # degrees of freedom + 1 is the number of sequences with a value
    if over_sequences is None or over_sequences[1] + 1 < FEWEST_SEQUENCES or not all(map(isfinite, scores)):
        return None
    parts = [over_sequences]
    if len(samples) >= FEWEST_SEEDS:
        parts.append(_variance_over_seeds(scores))
    mean = fmean(scores)
    half = _half_length(parts)
    low, high = score.bounds
    return max(mean - half, low), min(mean + half, high)


def difference(
    first: Sequence[Sample], second: Sequence[Sample], trained: tuple[bool, bool] = (False, False)
) -> Difference | None:
    """Compare two rows on the same sequences.

    Args:
        first: samples of the first row, one per seed.
        second: samples of the second row, one per seed. If two trainings share three seeds or more, only the shared
            seeds count, in pairs; the mean then leaves the other seeds out too. Else all seeds count, as independent
            samples.
        trained: (first, second): True if the row stands for a training, sampled by its seeds.

    Returns:
        Difference first − second, its 95 % interval and p. Interval and p are None with fewer than three seeds of a
        training or fewer than four sequences. p is also None for a difference other than 0 that is the same in all
        sequences and seeds. The whole result is None if the sequences of the samples differ.

    Example:
        >>> ours = Sample.of_means({"bike": [0.5], "dogs": [0.75], "cows": [0.25], "boat": [0.5]})
        >>> theirs = Sample.of_means({"bike": [0.25], "dogs": [0.5], "cows": [0.25], "boat": [0.25]})
        >>> found = difference([ours], [theirs])
        >>> found.mean, [round(end, 3) for end in found.ends], round(found.p, 3)
        (0.1875, [-0.011, 0.386], 0.058)
        >>> shifted = Sample.of_means({"bike": [0.75], "dogs": [1.0], "cows": [0.5], "boat": [0.75]})
        >>> difference([shifted], [ours])[:4], difference([ours], [ours])[:4]
        ((0.25, 0.25, 0.25, None), (0.0, 0.0, 0.0, 1.0))
    """
    by_seed = {run.seed: run for run in second if run.seed is not None}
    pairs = [(run, by_seed[run.seed]) for run in first if run.seed in by_seed]
    if any(len({run.seed for run in runs}) < len(runs) for runs in (first, second)):
        pairs = []  # different weights have one number: it tells no pairs
    is_by_seed = all(trained) and len(pairs) >= FEWEST_SEEDS
    if is_by_seed:
        first, second = zip(*pairs, strict=True)
    over_sequences = _variance_over_sequences(first, second)
    if over_sequences is None:
        return None
    of_first = [sample.score for sample in first]
    of_second = [sample.score for sample in second]
    mean = fmean(of_first) - fmean(of_second)
    # scores over the seeds of each row that stands for a training; a network without a training has no such variance
    of_trainings = [scores for scores, is_training in zip((of_first, of_second), trained, strict=True) if is_training]
    fewest_seeds = min(map(len, of_trainings), default=FEWEST_SEEDS)
    if fewest_seeds < FEWEST_SEEDS or over_sequences[1] + 1 < FEWEST_SEQUENCES:
        return Difference(mean)  # too few seeds, or sequences (degrees + 1), for an interval
    if is_by_seed:  # one variance, of the differences seed by seed, replaces the variances of the two rows
        of_trainings = [list(map(sub, of_first, of_second))]
    parts = [over_sequences, *map(_variance_over_seeds, of_trainings)]
    half = _half_length(parts)
    return Difference(mean, mean - half, mean + half, _p_value(mean, parts))


def _half_length(parts: Sequence[Variance], level: float = 0.05) -> float:
    """Return half the length of a mean's interval that misses a share `level` of cases; the variance is a sum of parts.

    Each independent part alone gives half a Student interval; the result is the root of the sum of their squares.
    """
    from scipy.special import stdtrit  # here, because scipy would delay a tool's `--help`

    squares = 0.0
    for variance_of_part, degrees in parts:
        squares += variance_of_part * float(stdtrit(degrees, level / 2)) ** 2
    return sqrt(squares)


def _p_value(mean: float, parts: Sequence[Variance]) -> float | None:
    """Return p: the level at which the interval around a mean just reaches zero.

    If all parts of the variance are 0, the difference is constant: p is None, or 1 for the constant 0. The interval is
        longer
    than that by each part alone, so p lies between the largest p by one part and 1.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtr

    of_parts = []
    for variance_of_part, degrees in parts:
        if variance_of_part > 0:
            of_parts.append(2 * float(stdtr(degrees, -abs(mean) / sqrt(variance_of_part))))
    if not of_parts:  # nothing varies, so there is no scale to measure a difference by
        return None if mean else 1.0
    lowest = max(*of_parts, 1e-300)  # brentq needs more than 0
    if _half_length(parts, lowest) <= abs(mean):  # one part alone varies, or p is below 1e-300
        return lowest
    return float(brentq(lambda level: _half_length(parts, level) - abs(mean), lowest, 1.0))


def _variance_over_seeds(scores: Sequence[float]) -> Variance:
    return variance(scores) / len(scores), len(scores) - 1


def _variance_over_sequences(first: Sequence[Sample], second: Sequence[Sample] = ()) -> Variance | None:
    """Return the jackknife variance over sequences of a score (first), or of a paired difference (first − second).

    Value and degrees are 0 with fewer than two sequences that have a value; None if the sequences of the samples
    differ.
    """
    names = first[0].without.keys()
    if any(run.without.keys() != names for run in (*first, *second)):
        return None
    means = []
    for name in names:
        mean = fmean(sample.without[name] for sample in first)
        if second:
            mean -= fmean(sample.without[name] for sample in second)
        means.append(mean)
    finite = list(filter(isfinite, means))
    if len(finite) < 2:
        return 0.0, 0
    spread = (len(finite) - 1) * pvariance(finite)  # the jackknife's: (n − 1) / n · the sum of squared deviations
    if spread <= 1e-24:  # means that are equal in theory differ by rounding, about 1e-12
        spread = 0.0
    return spread, len(finite) - 1
