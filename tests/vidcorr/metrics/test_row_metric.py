"""Rows gathered over ranks: the same score to the last bit with 1, 2 and 4 processes."""

import copy
import math
import pickle
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist

from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from vidcorr.metrics import InstanceAP, RowMetric, TrackingSuccess


def measured(prediction, target):
    return [prediction, target]


def summed(rows):
    return {"sum": sum(sum(row) for row in rows)}


def test_rows_are_sorted_and_kept_in_full():
    metric = RowMetric(measured, summed)
    metric.update(0.1, math.nan, name="été\n")
    metric.update(1 / 3, 1e-300, name="b")
    for copied in (metric, copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        table = copied.table()
        assert table == {"b": [[1 / 3, 1e-300]], "été\n": [[0.1, pytest.approx(math.nan, nan_ok=True)]]}
        assert list(table) == ["b", "été\n"]
    metric.reset()
    assert metric.table() == {}


def test_a_name_comes_once_and_sequences_without_one_are_numbered():
    metric = RowMetric(measured, summed)
    metric.update(1.0, 2.0, name="a")
    for _ in range(2):
        assert metric(2.0, 3.0) == {"sum": 5.0}
    assert list(metric.table()) == ["a", "sequence-0001", "sequence-0002"]
    metric.update(1.0, 2.0, name="a")
    refused(ValueError, "scored more than once: a", metric.compute)


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


def test_rows_keep_their_digits_whatever_the_type():
    metrics = filled(range(3))
    expected = results(metrics)
    for metric in metrics:
        metric.set_dtype(torch.float32).to(torch.bfloat16)
        metric.half()
    assert results(metrics) == expected


SEQUENCES = 17


def filled(sequences, **options):
    """A metric of frames and one of sequences, with random sequences that are the same whoever makes them."""
    instance, tracking = InstanceAP(**options), TrackingSuccess(**options)
    for k in sequences:
        generator, name = torch.Generator().manual_seed(k), f"séquence-{k * 7 % SEQUENCES}"
        for _ in range(2):
            truth = torch.randint(0, 3, (8, 9), generator=generator)
            found = torch.where(torch.rand(truth.shape, generator=generator) < 0.05 * (k % 7), 0, truth)
            scores = dict(enumerate(torch.rand(3, generator=generator).tolist()))
            instance.update(found, truth, name=name, classes={1: 4, 2: 9}, scores=scores)
        boxes = 20 + 50 * torch.rand(6, 4, generator=generator)
        tracking.update(boxes + 9 * torch.rand(boxes.shape, generator=generator), boxes, name=name)
    return instance, tracking


def results(metrics):
    """Scores with every bit in sight."""
    return [{key: float(value).hex() for key, value in metric.compute().items()} for metric in metrics]


def on_rank(rank):
    """Of 4 processes: scores over all, then over a group of the first two. Rank 3 has no sequence, in the group 0."""
    pair = dist.new_group([0, 1], backend="gloo")
    everywhere = filled(range(rank, SEQUENCES, 3) if rank < 3 else range(0))
    told = {"four": results(everywhere)}
    with everywhere[0].sync_context():
        told["rows"] = len(everywhere[0].rows())
    told["own rows"] = len(everywhere[0].rows())
    if rank < 2:
        told["two"] = results(filled(range(SEQUENCES) if rank == 1 else range(0), process_group=pair))
    return told


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_ranks(tmp_path):
    expected = results(filled(range(SEQUENCES)))
    assert 0.1 < float.fromhex(expected[0]["AP"]) < 0.9
    for rank, told in enumerate(on_ranks(4, tmp_path, on_rank)):
        assert told["four"] == told.get("two", expected) == expected
        assert told["rows"] == SEQUENCES
        assert told["own rows"] == (0 if rank == 3 else len(range(rank, SEQUENCES, 3)))
