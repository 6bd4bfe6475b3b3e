"""Statistics of a sequence, the averages of categories, and rules that work without torch."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from callbacks.metrics import seen_and_unseen, sequence_statistics


@pytest.fixture(scope="module")
def davis(golden: Any) -> dict[str, np.ndarray]:
    return golden("davis_metrics")


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


def test_the_overall_score_weighs_seen_and_unseen_alike() -> None:
    of_objects = [(0.9, 0.8, False), (0.7, 0.6, False), (0.2, 0.0, True)]
    rows = [{"J-Mean": j, "F-Mean": f, "Unseen": unseen} for j, f, unseen in of_objects]
    scores = seen_and_unseen(rows)
    assert scores == pytest.approx({"Overall": 0.425, "J-Seen": 0.8, "F-Seen": 0.7, "J-Unseen": 0.2, "F-Unseen": 0})
    assert seen_and_unseen(rows[2:]) == pytest.approx({"Overall": 0.1, "J-Unseen": 0.2, "F-Unseen": 0.0})
    assert seen_and_unseen([]) == {}


def test_arrays_are_scored_without_torch() -> None:
    script = """
import sys
import numpy as np
from callbacks.metrics.rules import RULES, VideoScore
score, ids = VideoScore(RULES["davis-2017"], {1: ["0", "1"]}), np.ones((8, 8), dtype=np.uint8)
for stem in "01":
    score.add(stem, ids, score.outlines(stem, ids))
print(list(score.values()[1].values()), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1.0, 1.0, 0.0, 1.0, 1.0, 0.0] False"
