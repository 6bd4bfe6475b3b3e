"""Intervals and tests: by hand, by simulation of what they promise, and from the rows of a benchmark."""

import numpy as np
import pytest
from scipy import stats

from tests.helpers.runs import davis_result
from vidcorr.results.result import Row
from vidcorr.results.statistics import difference, from_best, interval

VALUES = {"bike": [0.5], "two_dogs": [0.9, 0.1], "cat": [0.5], "cow": [0.5]}
"""J of the objects of each sequence."""


def by_name(values):
    return {str(number): [value] for number, value in enumerate(values)}


def test_one_object_a_sequence_gives_students_interval_and_test():
    first, second = np.random.default_rng(0).uniform(size=(2, 9))
    expected = stats.t.interval(0.95, 8, first.mean(), stats.sem(first))
    assert interval([by_name(first)]) == pytest.approx(expected)
    found = difference([by_name(first)], [by_name(second)])
    assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.mean == pytest.approx((first - second).mean())


def test_objects_of_one_sequence_stay_together_and_missing_scores_are_left_out():
    once = {"a": [0.4], "b": [0.6], "c": [0.5], "d": [0.45]}
    assert interval([once]) == pytest.approx(interval([{name: 20 * values for name, values in once.items()}]))
    half = {name: [0.5] for name in "bcd"}
    assert interval([{"a": [0.5, float("nan")], **half}]) == pytest.approx((0.5, 0.5))
    assert interval([{"a": [float("nan")], **half}]) is None
    assert interval([{"a": [0.5, 0.6]}]) is None


def test_an_interval_needs_four_sequences_and_stays_where_its_score_is():
    far = [0.0, 1.0, 0.9, 0.1]
    assert interval([by_name(far[:3])]) is None
    assert interval([by_name(far)], "J-Mean") == (0, 1)
    low, high = interval([by_name(far)], "J-Decay")
    assert low < 0
    assert high > 1
    few = difference([by_name([0.5, 0.6, 0.9])], [by_name([0.4, 0.5, 0.9])])
    assert few.in_points == "+6.7 (fewer than 4 sequences: not tested)"


def test_undefined_scores_are_never_the_best():
    values = [0.1, float("nan"), 0.9, float("nan"), 0.5]
    assert sorted(values, key=from_best)[:3] == [0.9, 0.5, 0.1]


def test_a_constant_difference_is_certain_and_none_is_none():
    first = by_name([0.5, 0.6, 0.9, 0.3])
    assert difference([by_name([0.6, 0.7, 1.0, 0.4])], [first])[:3] == pytest.approx((0.1, 0.1, 0.1))
    assert difference([first], [first])[:4] == (0, 0, 0, 1)
    assert difference([first], [{"a": [1.0]}]) is None


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("sequences", [4, 8])
def test_intervals_over_few_sequences_cover_the_mean(sequences, skewed):
    """95 % is meant; a percentile bootstrap covers 87 % of 8 sequences."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        videos = generator.exponential(size=sequences) - 1 if skewed else generator.normal(size=sequences)
        objects = [0.6 - 0.15 * video + generator.normal(0, 0.1, generator.integers(1, 5)) for video in videos]
        low, high = interval([{str(k): values.tolist() for k, values in enumerate(objects)}], "J-Decay")
        hits += low <= 0.6 <= high
    assert hits / 400 > (0.87 if skewed else 0.91)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("sequences", [4, 8, 30])
def test_identical_trainings_differ_in_at_most_five_per_cent(seeds, sequences):
    """Two rows of one training whose scores vary with the seed; a test over sequences alone finds 40 to 70 %."""
    generator = np.random.default_rng(seeds)
    found = 0
    for _ in range(400):
        videos = generator.normal(0.6, 0.15, sequences)
        noise = generator.normal(0, 0.02, (2, seeds, sequences)) + generator.normal(0, 0.02, (2, seeds, 1))
        rows = [[by_name(run) for run in videos + row] for row in noise]
        found += difference(*rows, trained=(True, True)).p < 0.05
    assert found / 400 < 0.07


def test_below_three_seeds_nothing_is_tested_and_said_in_words():
    runs = [by_name([0.5, 0.6, 0.9, 0.5]), by_name([0.4, 0.6, 0.8, 0.5]), by_name([0.4, 0.7, 0.8, 0.5])]
    base = [by_name([0.1, 0.2, 0.6, 0.2])]
    found = difference(runs[:2], base, trained=(True, False))
    assert found[1:4] == (None, None, None)
    assert found.in_points == "+32.5 (fewer than 3 seeds: not tested)"
    tested = difference(runs, base, trained=(True, False))
    assert tested.low < tested.mean < tested.high
    assert 0 < tested.p < 0.05


def test_seeds_widen_an_interval():
    runs = [by_name(np.array([0.5, 0.55, 0.6, 0.5]) + shift) for shift in (-0.2, 0, 0.2)]
    assert np.ptp(interval(runs)) > 1.5 * np.ptp(interval(runs[:1]))
    assert interval(runs[:2]) == pytest.approx(tuple(np.array(interval(runs[1:2])) - 0.1))


def test_only_scores_that_are_means_of_their_rows_have_intervals():
    rows = [
        Row(video=video, object=str(k), values={"J-Mean": j, "F-Mean": 0.5})
        for video, values in VALUES.items()
        for k, j in enumerate(values)
    ]
    scores = {"J-Mean": 0.5, "mIoU": 0.4, "F-Mean": 0.9}  # F is not the mean of its rows
    result = davis_result(scores, rows=rows)
    assert {key: result.interval(key) for key in scores} == {"J-Mean": interval([VALUES]), "mIoU": None, "F-Mean": None}
