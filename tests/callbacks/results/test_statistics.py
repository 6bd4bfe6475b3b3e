"""Intervals and tests: by hand, by simulation of what they promise, and from the rows of a benchmark."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from callbacks.results.records import records_of
from callbacks.results.statistics import difference, interval
from callbacks.results.stored import Run, StoredReport

ROWS = [
    {"Sequence": "bike_1", "J-Mean": "0.5", "F-Mean": "0.7"},
    {"Sequence": "two_dogs_1", "J-Mean": "0.9", "F-Mean": "0.7"},
    {"Sequence": "two_dogs_2", "J-Mean": "0.1", "F-Mean": "0.1"},
]


def run_of(rows, sequences, **scores):
    return Run(Path("run"), {"benchmark": "davis", "scores": scores}, rows, StoredReport(sequences=sequences))


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
    one, many = interval([{"a": [0.2], "b": [0.8]}]), interval([{"a": [0.2] * 20, "b": [0.8] * 20}])
    assert one == pytest.approx(many)
    assert interval([{"a": [0.5, float("nan")], "b": [0.5]}]) == pytest.approx((0.5, 0.5))
    assert interval([{"a": [float("nan")], "b": [0.5]}]) is None
    assert interval([{"a": [0.5, 0.6]}]) is None


def test_a_constant_difference_is_certain_and_none_is_none():
    first = by_name([0.5, 0.6, 0.9])
    assert difference([by_name([0.6, 0.7, 1.0])], [first])[:3] == pytest.approx((0.1, 0.1, 0.1))
    assert difference([first], [first]) == (0, 0, 0, 1)
    assert difference([first], [{"a": [1.0]}]) is None


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("sequences", [3, 8])
def test_intervals_over_few_sequences_cover_the_mean(sequences, skewed):
    """95 % is meant; a percentile bootstrap covers 75 and 87 % here, with skewed scores 71 and 87 %."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        videos = generator.exponential(size=sequences) - 1 if skewed else generator.normal(size=sequences)
        objects = [0.6 - 0.15 * video + generator.normal(0, 0.1, generator.integers(1, 5)) for video in videos]
        low, high = interval([{str(k): values.tolist() for k, values in enumerate(objects)}])
        hits += low <= 0.6 <= high
    assert hits / 400 > (0.87 if skewed else 0.91)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("sequences", [3, 8, 30])
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
    runs = [by_name([0.5, 0.6, 0.9]), by_name([0.4, 0.6, 0.8]), by_name([0.4, 0.7, 0.8])]
    found = difference(runs[:2], [by_name([0.1, 0.2, 0.6])], trained=(True, False))
    assert found[1:] == (None, None, None)
    assert found.in_points == "+33.3 (fewer than 3 seeds: not tested)"
    tested = difference(runs, [by_name([0.1, 0.2, 0.6])], trained=(True, False))
    assert tested.low < tested.mean < tested.high
    assert 0 < tested.p < 0.05


def test_seeds_widen_an_interval():
    runs = [by_name(np.array([0.5, 0.6, 0.7]) + shift) for shift in (-0.2, 0, 0.2)]
    assert np.ptp(interval(runs)) > 1.5 * np.ptp(interval(runs[:1]))
    assert interval(runs[:2]) == pytest.approx(tuple(np.array(interval(runs[1:2])) - 0.1))


def test_values_of_a_sequence_are_those_of_its_objects():
    run = run_of(ROWS, ["bike", "two_dogs"])
    assert run.values("J-Mean") == {"bike": [0.5], "two_dogs": [0.9, 0.1]}
    found = run.values("J&F-Mean")
    assert found == {"bike": [pytest.approx(0.6)], "two_dogs": [pytest.approx(0.8), pytest.approx(0.1)]}
    assert run.values("PCK@0.1") == {}
    rows = [{"Sequence": name, "J-Mean": "0.5"} for name in ("dog_1", "dog_1_1", "cat_1")]
    assert list(run_of(rows, ["dog", "dog_1", "cat"]).values("J-Mean")) == ["dog", "dog_1", "cat"]
    rows = [{"Sequence": name, "J-Mean": "0.5"} for name in ("catch_0", "catch_2")]
    assert list(run_of(rows, ["catch_0", "catch_2", "catch"]).values("J-Mean")) == ["catch_0", "catch_2"]
    assert list(run_of(rows, []).values("J-Mean")) == ["catch"]
    rows = [{"Stage": stage, "Sequence": "bike", "success": value} for stage, value in (("res3", "1"), ("res4", "0"))]
    assert run_of(rows, ["bike"]).values("res4/success") == {"bike": [0.0]}


def test_only_scores_that_are_means_of_their_rows_have_intervals():
    run = run_of(ROWS, [], **{"J-Mean": 0.5, "mIoU": 0.4, "F-Mean": 0.9})  # F is not the mean of its rows
    found = {record.column.score: record.interval for record in records_of(run, scores=list(run.results["scores"]))}
    assert found == {"J-Mean": interval([{"a": [0.5], "b": [0.9, 0.1]}]), "mIoU": None, "F-Mean": None}
