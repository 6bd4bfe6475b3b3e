"""YouTube-VOS's averages: of objects within a kind of category first, then of the kinds."""

import pytest

from callbacks.metrics.categories import seen_and_unseen


def row(j: float, f: float, unseen: bool) -> dict[str, object]:
    return {"J-Mean": j, "F-Mean": f, "Unseen": unseen}


def test_the_overall_score_weighs_seen_and_unseen_alike() -> None:
    scores = seen_and_unseen([row(0.9, 0.8, False), row(0.7, 0.6, False), row(0.2, 0.0, True)])
    assert scores == pytest.approx({"Overall": 0.425, "J-Seen": 0.8, "F-Seen": 0.7, "J-Unseen": 0.2, "F-Unseen": 0})


def test_a_kind_without_objects_is_left_out() -> None:
    assert seen_and_unseen([row(0.5, 0.7, True)]) == pytest.approx({"Overall": 0.6, "J-Unseen": 0.5, "F-Unseen": 0.7})
    assert seen_and_unseen([]) == {}
