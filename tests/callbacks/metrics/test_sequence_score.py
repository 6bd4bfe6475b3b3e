"""J and F of one sequence: late objects, the official statistics, and what may be scored without torch."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from callbacks.metrics import SequenceScore, sequence_statistics
from callbacks.metrics.sequence_score import OBJECT_COLUMNS, mean_over_objects, object_statistics


@pytest.fixture(scope="module")
def davis(golden: Any) -> dict[str, np.ndarray]:
    return golden("davis_metrics")


def test_objects_that_enter_late_and_ends_that_count() -> None:
    ids = torch.zeros(4, 9, 9, dtype=torch.uint8)
    ids[:, :4, :4] = 1
    ids[2:, 5:, 5:] = 2
    score = SequenceScore("late", (1, 2), ends_scored=True)
    for t in range(4):
        score.add(ids[t], ids[t], objects=(1,) if t < 3 else (1, 2))
    assert {k: len(j) for k, (j, _) in score.frames().items()} == {1: 4, 2: 1}


def test_statistics_equal_golden(davis: dict[str, np.ndarray]) -> None:
    for k in range(12):
        np.testing.assert_array_equal(sequence_statistics(davis[f"s{k}_vals"]), davis[f"s{k}_MRD"])


def test_decay_does_not_wrap_beyond_255_frames(davis: dict[str, np.ndarray]) -> None:
    mean, recall, decay = sequence_statistics(davis["sLong_vals"])
    wrapped = davis["sLong_MRD_uint8wrap"]
    assert (mean, recall) == (wrapped[0], wrapped[1])
    assert decay == davis["sLong_D_nowrap"]
    assert abs(decay - wrapped[2]) > 1e-3
    falling = np.linspace(1, 0, 1000)
    assert sequence_statistics(falling)[2] == pytest.approx(0.75, abs=1e-3)


def test_statistics_by_hand() -> None:
    assert sequence_statistics([0.5, 0.6, float("nan"), 0.4]) == (0.5, 0.25, pytest.approx(0.55 - 0.4))
    assert sequence_statistics([1.0]) == (1.0, 1.0, 0.0)
    assert all(math.isnan(value) for value in sequence_statistics([float("nan")])[::2])


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="at least one scored frame"):
        sequence_statistics([])
    ids = np.ones((3, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match="car: prediction and target differ in size"):
        SequenceScore("car", (1,), ends_scored=True).add(ids, ids[:2])
    with pytest.raises(ValueError, match="car: no object to score"):
        object_statistics(SequenceScore("car", ()))
    with pytest.raises(ValueError, match=r"car_1: .*at least one scored frame"):
        object_statistics(SequenceScore("car", (1,)))


def test_the_mean_over_no_objects_is_not_defined() -> None:
    scores = mean_over_objects([])
    assert list(scores) == ["J&F-Mean", *OBJECT_COLUMNS]
    assert all(math.isnan(value) for value in scores.values())


def test_arrays_are_scored_without_torch() -> None:
    script = """
import sys
import numpy as np
from callbacks.metrics.sequence_score import SequenceScore, object_statistics
score, ids = SequenceScore("bike", (1,)), np.ones((8, 8), dtype=np.uint8)
for _ in range(4):
    score.add(ids, ids)
print(object_statistics(score), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'bike_1': [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]} False"
