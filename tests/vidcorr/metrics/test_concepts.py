"""Means of points of a name and of a concept, by hand; the scripts' numbers are in vidcorr/benchmarks/test_soco.py."""

import math

import pytest

from vidcorr.metrics.concepts import MEASURES, concept_scores
from vidcorr.protocols import MatchingProtocol

RULES = MatchingProtocol.named("omniprobe", "soco")


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
