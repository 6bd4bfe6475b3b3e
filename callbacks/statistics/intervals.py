"""Uncertainty of a benchmark's score: bootstrap intervals over sequences, and paired tests between two methods.

A benchmark of a few dozen videos is a small sample, so a difference of a point may be one of sequences, not of methods.
Sequences are the unit that is resampled; objects of one sequence share its camera and its scene and stay together.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
EXACT = 14
"""Sequences up to which the sign-flip test visits all 2^N sign patterns."""


class Difference(NamedTuple):
    """Difference of two methods on the same sequences.

    Attributes:
        mean: mean of the first minus mean of the second.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided p-value of the sign-flip test over sequences.
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def in_points(self) -> str:
        """Difference and interval in points of per cent, and p."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.mean:+.1f} [{low:+.1f}, {high:+.1f}], p {self.p:.2g}"


def bootstrap_interval(
    groups: Sequence[Sequence[float]], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval of a mean over objects, resampling sequences with replacement.

    Args:
        groups: a sequence of videos, each with the scores of its objects; NaN is left out.
        resamples: number of bootstrap samples.
        seed: seed of the generator; the same seed gives the same interval.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: if there is no finite score.
    """
    sums, counts = _sums(groups)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def paired_difference(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Difference:
    """Compare two methods that were scored on the same sequences.

    Args:
        first: sequence → scores of its objects.
        second: the same sequences, with as many objects each, in the same order.

    Returns:
        Difference of the means over all objects, its 95 % percentile bootstrap interval over sequences, and the
        two-sided p-value of the hypothesis that swapping the methods on any sequence changes nothing.

    Raises:
        ValueError: if the sequences or their numbers of objects differ.
    """
    if {name: len(values) for name, values in first.items()} != {name: len(values) for name, values in second.items()}:
        raise ValueError("a paired comparison needs the same sequences and objects on both sides")
    names = sorted(first)
    differences = [[a - b for a, b in zip(first[name], second[name], strict=True)] for name in names]
    sums, counts = _sums(differences)
    total = counts.sum()
    mean = float(sums.sum() / total)
    low, high = bootstrap_interval(differences)
    if len(sums) <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(sums))))
        p = float((np.abs(signs @ sums / total) >= abs(mean) - 1e-12).mean())
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(RESAMPLES, len(sums)))
        extreme = (np.abs(signs @ sums / total) >= abs(mean) - 1e-12).sum()
        p = float((extreme + 1) / (RESAMPLES + 1))
    return Difference(mean, low, high, p)


def _sums(groups: Sequence[Sequence[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of the finite scores of each sequence that has any."""
    finite = [values[np.isfinite(values)] for values in (np.asarray(group, np.float64) for group in groups)]
    finite = [values for values in finite if len(values)]
    if not finite:
        raise ValueError("there is no finite score to resample")
    return np.array([values.sum() for values in finite]), np.array([float(len(values)) for values in finite])
