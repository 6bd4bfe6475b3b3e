"""Intervals and tests: by hand, by simulation of what they promise, and from the rows of a benchmark."""

import numpy as np
import pytest
from scipy import stats

from tests.helpers.false_positives import KINDS, SEEDS, SEQUENCES, rate
from vidcorr.metrics.declared import Score
from vidcorr.results.statistics import Sample, difference, interval

of = Sample.of_means
ANY = Score("J-Decay", low=None, high=None)
"""A score without bounds."""


def by_name(values, seed=None):
    return of({str(number): [value] for number, value in enumerate(values)}, seed)


def test_one_object_a_sequence_gives_students_interval_and_test():
    first, second = np.random.default_rng(0).uniform(size=(2, 9))
    expected = stats.t.interval(0.95, 8, first.mean(), stats.sem(first))
    assert interval([by_name(first)]) == pytest.approx(expected)
    two_seeds = [by_name(first), by_name(first + 0.2)]  # too few to tell how seeds vary
    assert interval(two_seeds, ANY) == pytest.approx(np.add(expected, 0.1))
    found = difference([by_name(first)], [by_name(second)])
    assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.mean == pytest.approx((first - second).mean())


def test_an_interval_needs_four_sequences_and_stays_where_its_score_is():
    far = [0.0, 1.0, 0.9, 0.1]
    assert interval([by_name(far[:3])]) is None
    assert interval([by_name(far)]) == (0, 1)
    above = interval([by_name([1.1, 1.3, 1.2, 1.25])], Score("AP", high=None))  # it may count more than all instances
    assert above[0] < 1.2125 < above[1]
    low, high = interval([by_name(far)], ANY)
    assert low < 0
    assert high > 1
    few = difference([by_name([0.5, 0.6, 0.9])], [by_name([0.4, 0.5, 0.9])])
    assert (few.mean, few.ends) == (pytest.approx(0.2 / 3), None)
    assert difference([by_name([0.5])], [by_name([0.4])]).ends is None


@pytest.mark.slow
def test_two_identical_trainings_differ_in_at_most_five_of_a_hundred_comparisons():
    """The table docs/results/false_positives.csv in short; the bounds are three standard errors above 5 %."""
    for kind in KINDS:
        rates = [rate(seeds, sequences, kind, draws=30) for seeds in SEEDS for sequences in SEQUENCES]
        assert np.mean(rates) < 0.078, kind
    rates = [rate(3, sequences, "80 % seeds, 20 % sequences", draws=600) for sequences in SEQUENCES[2:]]
    assert np.mean(rates) < 0.064
