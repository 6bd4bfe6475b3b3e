"""Sharing out, and leaving together."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
import torch

from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import BenchmarkError, DavisBenchmark, Result, signals
from vidcorr.benchmarks import ranks
from vidcorr.benchmarks.ranks import LostRank, Ranks


@pytest.fixture
def of_two(monkeypatch):
    """torch.distributed as rank 1 of 2 sees it; each exchange is told, and rank 0 sends what stands in `sent`."""
    process = Mock(sent=[])

    def gather(values, value, group):
        values[:] = [process.sent.pop(0), value]

    process.is_initialized.return_value = True
    process.get_rank.return_value, process.get_world_size.return_value = 1, 2
    process.all_gather_object.side_effect = gather
    process.all_reduce.side_effect = lambda tensor, _, group: tensor.fill_(7)
    monkeypatch.setattr(ranks, "dist", process)
    return process


def test_values_of_all_ranks_are_gathered_in_their_order(of_two):
    of_two.sent = ["first"]
    with Ranks() as both:
        assert (both.gather("second"), both.largest(3)) == (["first", "second"], 7)


def test_the_second_rank_has_the_rows_of_both_and_writes_no_result(of_two, davis_root, tmp_path):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=2)
    alone = benchmark.evaluate("raw_colour")
    of_two.new_group.assert_not_called()
    of_first = [row for row in alone.rows if row.video == "synthetic-000"]
    of_two.sent = [(None, None), (None, None), of_first, True, 4, (None, None)]
    shared = benchmark.evaluate("raw_colour", tmp_path, shared=True)
    assert (shared.rows, shared.scores, shared.ranks, alone.ranks) == (alone.rows, alone.scores, 2, 1)
    constant = "all cells of a first frame have the same features: scores are chance"
    small = "maps have 4 cells along a side, too few to compare networks"
    assert (shared.doubts, alone.doubts) == ((constant, small), ())
    assert shared.seconds > 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_an_error_of_a_rank_is_the_error_of_all(of_two):
    both = Ranks()

    def leave(sent, error=None):
        of_two.sent = [sent]
        with both.together():
            if error is not None:
                raise error

    refused(BenchmarkError, "rank 0 of 2: ValueError: theirs", leave, (None, "ValueError: theirs"))
    refused(BenchmarkError, "rank 1 of 2: ValueError: mine", leave, (None, None), ValueError("mine"))
    refused(signals.Stopped, "143", leave, (15, "Stopped: 143"))
    refused(signals.Stopped, "130", leave, (None, None), signals.Stopped(2))
    of_two.all_gather_object.side_effect = RuntimeError("connection closed")
    refused(LostRank, "rank 1 of 2: another rank has ended or hangs", leave, (None, None))


def share_a_run(rank):
    """Return the error of the first rank, if the other has ended before they share a run."""
    if rank == 1:
        return None
    ranks.EXCHANGE = timedelta(seconds=60)
    try:
        Ranks()
    except Exception as error:
        return type(error).__name__


@pytest.mark.slow
def test_a_rank_that_has_ended_is_missed_at_once(tmp_path):
    assert on_ranks(2, tmp_path, share_a_run) == ["LostRank", None]


def evaluate_on(rank, root, folder):
    """Return the scores in one of several processes, whose own group works on afterwards."""
    scores = DavisBenchmark(root, changes=SMALL).evaluate("raw_colour", folder, shared=True).scores
    alive = torch.tensor(1.0)
    torch.distributed.all_reduce(alive)
    assert alive.item() == torch.distributed.get_world_size()
    return scores


@pytest.mark.slow
def test_the_benchmark_scores_the_same_to_the_last_bit_over_any_ranks(davis_root, tmp_path):
    """Four ranks have three sequences, so one has none."""
    torch.set_num_threads(1)
    alone, out = DavisBenchmark(davis_root, changes=SMALL).evaluate("raw_colour").scores, tmp_path / "out"
    assert on_ranks(4, tmp_path, evaluate_on, davis_root, str(out), limit=2) == [dict(alone)] * 4
    results = Result.load(out)
    assert (results.ranks, len(results.sequences), len([*out.glob("predictions/*")])) == (4, 3, 3)
