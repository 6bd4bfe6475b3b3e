"""Intervals and paired tests from the rows of a benchmark."""

import pytest

from callbacks.statistics.intervals import bootstrap_interval, paired_difference
from callbacks.statistics.uncertainty import rows_difference, score_intervals, values_by_sequence

SEQUENCES = ("bike", "two_dogs")
ROWS = [
    {"Sequence": "bike_1", "J-Mean": 0.5, "F-Mean": "0.7"},
    {"Sequence": "two_dogs_1", "J-Mean": 0.9, "F-Mean": "0.7"},
    {"Sequence": "two_dogs_2", "J-Mean": 0.1, "F-Mean": "0.1"},
]


def test_objects_of_a_sequence_stay_together():
    assert values_by_sequence(ROWS, "J-Mean", SEQUENCES) == {"bike": [0.5], "two_dogs": [0.9, 0.1]}
    found = values_by_sequence(ROWS, "J&F-Mean", SEQUENCES)
    assert found == {"bike": [pytest.approx(0.6)], "two_dogs": [pytest.approx(0.8), pytest.approx(0.1)]}
    assert values_by_sequence(ROWS, "PCK@0.1", SEQUENCES) is None


def test_an_object_is_not_taken_for_a_video_with_such_a_name():
    rows = [{"Sequence": name, "J-Mean": 0.5} for name in ("dog_1", "dog_1_1", "cat_1")]
    assert list(values_by_sequence(rows, "J-Mean", ["dog", "dog_1", "cat"])) == ["dog", "dog_1", "cat"]
    clips = [{"Sequence": name, "PCK": 0.5} for name in ("dog", "dog_1")]
    assert list(values_by_sequence(clips, "PCK", ["dog", "dog_1"])) == ["dog", "dog_1"]


def test_a_stage_takes_its_own_rows():
    rows = [{"Stage": stage, "Sequence": "bike", "success": value} for stage, value in (("res3", 1.0), ("res4", 0.0))]
    assert values_by_sequence(rows, "res4/success", ["bike"]) == {"bike": [0.0]}


def test_only_scores_that_are_the_mean_of_the_rows_get_an_interval():
    scores = {"J-Mean": 0.5, "mIoU": 0.4, "F-Mean": 0.9}
    assert score_intervals(scores, ROWS, SEQUENCES) == {"J-Mean": bootstrap_interval([[0.5], [0.9, 0.1]])}
    assert score_intervals({"J-Mean": 0.5}, ROWS[:1], ["bike"]) == {}


def test_runs_are_paired_by_sequence_and_others_are_not_tested():
    better = [{**row, "J-Mean": row["J-Mean"] + 0.1} for row in ROWS]
    found = rows_difference(better, ROWS[::-1][::-1], "J-Mean", SEQUENCES)
    assert found == paired_difference({"bike": [0.6], "two_dogs": [1.0, 0.2]}, {"bike": [0.5], "two_dogs": [0.9, 0.1]})
    assert found.mean == pytest.approx(0.1)
    assert rows_difference(better, ROWS[:2], "J-Mean", SEQUENCES) is None
    assert rows_difference(better, ROWS, "AP", SEQUENCES) is None
