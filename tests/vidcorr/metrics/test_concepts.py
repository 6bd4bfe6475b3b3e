"""Points of a name and of a concept, by hand; the scripts' numbers are in vidcorr/benchmarks/test_soco.py."""

import math

import numpy as np
import pytest

from vidcorr.metrics.concepts import MEASURES, concept_counts, concept_scores
from vidcorr.protocols import MatchingProtocol

RULES = MatchingProtocol.named("omniprobe", "soco")


def test_points_with_an_error_below_a_threshold_are_counted():
    errors = np.array([[0.1, 0.3, 0.0], [0.0, 0.2, 0.25], [0.0, 0.0, 0.05]])
    geometric = np.array([[0.0, 0.19, 0.5], [0.0, 0.0, 0.0], [0.5, 0.5, 0.1]])
    same, concept = np.array([[0, 0], [1, 1], [2, 2]]), np.array([[0, 0], [0, 1], [1, 2], [2, 2]])
    counts = concept_counts(errors, geometric, same, concept, RULES.with_changes(thresholds=[0.1, 0.2]))
    assert counts == {"SOC": [1, 2, 3], "CC": [1, 2, 3], "geometric": [1, 2, 2], "geometric-several": [1, 1, 1]}


@pytest.mark.parametrize("average", ["image", "class"])
def test_scores_are_means_over_categories_of_means_over_pairs_or_points(average):
    nothing = {measure: [0, 0] for measure in MEASURES}
    categories = {
        "a": [nothing | {"SOC": [1, 2], "CC": [2, 2]}, nothing | {"SOC": [0, 1], "CC": [3, 4]}],
        "b": [nothing | {"SOC": [2, 2], "CC": [1, 2], "geometric": [1, 4]}, nothing],
        "c": [nothing],
    }
    scores = concept_scores(categories, RULES.with_changes(thresholds=[0.1], average=average))
    of_kinds = {"SOC@0.1-image": 0.625, "SOC@0.1-class": 2 / 3, "CC@0.1-image": 0.6875, "CC@0.1-class": 2 / 3}
    chosen = {f"{measure}@0.1": of_kinds[f"{measure}@0.1-{average}"] for measure in ("SOC", "CC")}
    others = {"geometric@0.1": 0.25, "geometric-several@0.1": math.nan}
    assert scores == pytest.approx(chosen | others | of_kinds, nan_ok=True)
