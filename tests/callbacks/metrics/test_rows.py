"""Rows gathered over ranks: the same score to the last bit with 1, 2 and 4 processes."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch

from callbacks.metrics import TrackingSuccess
from callbacks.metrics.rows import RowMetric
from tests.helpers import metric_ranks


class Sums(RowMetric):
    """Plain use of the base class."""

    def update(self, name: str, values: list[float]) -> None:
        self.add_row(name, values)

    def compute(self) -> float:
        return sum(row.sum().item() for row in self.table().values())


def test_rows_are_sorted_and_kept_in_full() -> None:
    metric = Sums(width=2)
    metric.update("été", [0.1, 2.0])
    metric.update("b", [1 / 3, 1e-300])
    assert {name: row.tolist() for name, row in metric.table().items()} == {"b": [1 / 3, 1e-300], "été": [0.1, 2.0]}
    for copied in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert copied.table().keys() == metric.table().keys()
    metric.reset()
    assert metric.table() == {}


def test_rows_that_do_not_fit() -> None:
    metric = Sums(width=1)
    for name in ("", "x" * 257, "a\0b"):
        with pytest.raises(ValueError, match="a row needs a name of 1 to 256 bytes"):
            metric.update(name, [1.0])
    with pytest.raises(ValueError, match="a: a row needs 1 values, got 2"):
        metric.update("a", [1.0, 2.0])
    metric.update("a", [1.0])
    metric.update("a", [1.0])
    with pytest.raises(ValueError, match="scored more than once: a"):
        metric.compute()


def test_sequences_without_a_name_are_numbered_also_by_forward() -> None:
    boxes, metric = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 3), TrackingSuccess()
    for _ in range(2):
        metric(boxes, boxes)
    assert [row["Sequence"] for row in metric.rows()] == ["sequence-0001", "sequence-0002"]


def test_scores_do_not_depend_on_the_number_of_ranks(tmp_path: Path) -> None:
    # fork: the processes would otherwise spend ten seconds each on imports
    torch.multiprocessing.start_processes(metric_ranks.work, args=(str(tmp_path),), nprocs=4, start_method="fork")
    single = metric_ranks.metrics()
    metric_ranks.fill(single, range(metric_ranks.SEQUENCES))
    expected = metric_ranks.results(single)
    assert 0.1 < float.fromhex(expected[0]["J&F-Mean"]) < 0.9
    for rank in range(4):
        written = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert written["four"] == expected
        assert len(written["rows"]) == 2 * metric_ranks.SEQUENCES
        assert written["own rows"] == (0 if rank == 3 else 2 * len(range(rank, metric_ranks.SEQUENCES, 3)))
        if rank < 2:
            assert written["two"] == expected
