"""Rows of sequences are states of torchmetrics: merged, saved, bootstrapped, and gathered over ranks in full."""

import copy
import math
import pickle

import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.wrappers import BootStrapper

from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from vidcorr.metrics import PCK, RegionBoundary, RowMetric, TrackingSuccess


def measured(prediction, target):
    return [prediction, target]


def summed(rows):
    return {"sum": sum(sum(row) for row in rows)}


def squares(*halves):
    """J-Mean of a sequence: 1.0 where the prediction is whole, 0.5 where it is a half."""
    metric, whole = RegionBoundary(score="J-Mean"), torch.ones(5, 8, 8, dtype=torch.uint8)
    for name, is_half in halves:
        prediction = whole.clone()
        prediction[:, :, 4 if is_half else 8 :] = 0
        metric.update(prediction, whole, name=name)
    return metric


def test_rows_are_sorted_and_kept_in_full():
    metric = RowMetric(measured, summed)
    metric.update(0.1, math.nan, name="été\n")
    metric.update(1 / 3, 1e-300, name="b")
    for copied in (metric, copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.half(), metric.clone()):
        table = copied.table()
        assert table == {"b": [[1 / 3, 1e-300]], "été\n": [[0.1, pytest.approx(math.nan, nan_ok=True)]]}
        assert list(table) == ["b", "été\n"]
    assert metric.higher_is_better


def test_a_name_comes_once_and_sequences_without_one_are_numbered():
    metric = RowMetric(measured, summed)
    metric.update(1.0, 2.0, name="a")
    for _ in range(2):
        assert metric(2.0, 3.0) == {"sum": 5.0}
    assert list(metric.table()) == ["a", "sequence-0001", "sequence-0002"]
    metric.update(1.0, 2.0, name="a")
    refused(ValueError, "scored more than once: a", metric.compute)


def test_states_are_merged_saved_and_loaded():
    metric = squares(("a", False))
    metric.merge_state(squares(("b", True)))
    assert metric.compute() == 0.75
    metric.persistent(True)
    loaded = squares()
    loaded.persistent(True)
    loaded.load_state_dict(metric.state_dict())
    assert (loaded.compute(), list(loaded.table())) == (0.75, ["a_1", "b_1"])
    unnamed = squares((None, False))
    unnamed.merge_state(squares((None, True)))
    assert unnamed.compute() == 0.75


def test_wrappers_and_collections_of_torchmetrics():
    whole = torch.ones(6, 8, 8, dtype=torch.uint8)
    bootstrapped = BootStrapper(RegionBoundary(score="J-Mean"), num_bootstraps=3)
    bootstrapped.update(whole, whole)
    assert bootstrapped.compute() == {"mean": 1.0, "std": 0.0}
    # of equal first rows, which MetricCollection would take for one metric's; then 5 px are within .2 alone
    joints = torch.tensor([[[0.0, 10.0], [30.0, 50.0]]]) + 1
    collection = MetricCollection({"near": PCK((0.1,)), "far": PCK((0.2,))})
    collection.update(joints, joints)
    collection.update(joints + torch.tensor([5.0, 0.0]), joints)
    assert collection.compute() == {"PCK@0.1": 0.5, "PCK@0.2": 1.0}
    refused(ValueError, "score must be one of success, precision@20px, success@0.5, got", TrackingSuccess, score="J")


def of_rank(rank):
    """Scores and rows on a rank: the second of three has no sequence."""
    metric = squares(*{0: [("b", False)], 2: [("a", True)]}.get(rank, []))
    scores = metric.compute()  # of all ranks
    with metric.sync_context():
        gathered = list(metric.table())
    return scores.item(), gathered, list(metric.table())


@pytest.mark.slow
def test_ranks_share_their_rows_also_one_without_a_sequence(tmp_path):
    gathered = on_ranks(3, tmp_path, of_rank)
    assert [scores for scores, *_ in gathered] == [0.75] * 3
    assert [names for _, names, _ in gathered] == [["a_1", "b_1"]] * 3
    assert [names for *_, names in gathered] == [["b_1"], [], ["a_1"]]
