"""Rows of sequences: kept in full, gathered over ranks in a context."""

import copy
import math
import pickle
from unittest.mock import Mock

import pytest

from tests.helpers.refusal import refused
from vidcorr.metrics import RowMetric


def measured(prediction, target):
    return [prediction, target]


def summed(rows):
    return {"sum": sum(sum(row) for row in rows)}


def test_rows_are_sorted_and_kept_in_full():
    metric = RowMetric(measured, summed)
    metric.update(0.1, math.nan, name="été\n")
    metric.update(1 / 3, 1e-300, name="b")
    for copied in (metric, copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.half()):
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
    metric.reset()
    assert (metric.table(), metric.update_called) == ({}, False)
    metric.update(1.0, 2.0)
    assert list(metric.table()) == ["sequence-0001"]


def test_rows_of_all_ranks_are_held_within_a_context(monkeypatch):
    ranks = {"own": 2, "given": 3}

    def gather(of_ranks, rows, group):
        of_ranks[:] = [rows, *([(f"{group} {rank}", [0.0])] for rank in range(1, len(of_ranks)))]

    stand_in = Mock(all_gather_object=gather, get_world_size=ranks.get)
    monkeypatch.setattr("vidcorr.metrics.row_metric.dist", stand_in)
    metric, held = RowMetric(measured, summed, process_group="own"), []
    metric.update(1.0, 2.0, name="b")
    for options in ({}, {"process_group": "given"}, {"should_sync": False}):
        with metric.sync_context(**options):
            held.append(list(metric.table()))
    assert held == [["b", "own 1"], ["b", "given 1", "given 2"], ["b"]]
    for stand_in.is_available.return_value, stand_in.is_initialized.return_value in ((True, False), (False, True)):
        with metric.sync_context(should_unsync=False):
            assert list(metric.table()) == ["b"]
    stand_in.is_available.return_value = True
    with metric.sync_context(should_unsync=False):
        pass
    assert list(metric.table()) == ["b", "own 1"]
