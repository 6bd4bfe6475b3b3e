"""Sharing out, and leaving together."""

from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import Mock

import pytest
import torch

from tests.helpers import benchmark_ranks
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import BenchmarkError, DavisBenchmark, Result, signals
from vidcorr.backbones import Network, load
from vidcorr.benchmarks import ranks
from vidcorr.benchmarks.output import Output
from vidcorr.benchmarks.ranks import LostRank, Ranks, distribute


def test_every_sequence_goes_to_one_rank_and_the_ranks_are_even():
    lengths = [50, 90, 40, 104, 90, 60, 50, 99]
    for size in (1, 2, 3, 8, 11):
        parts = distribute(lengths, size)
        assert sorted(number for share in parts for number in share) == list(range(8))
        frames = [sum(lengths[number] for number in share) for share in parts]
        assert len(frames) == size
        assert max(frames) - min(frames) <= max(lengths)
    assert distribute([], 2) == [[], []]


class Two(Ranks):
    """The first of two ranks; the values of the second are given."""

    def __init__(self, *values):
        self.rank, self.size, self.values, self.group = 0, 2, iter(values), "gloo"

    def gather(self, value):
        return [value, next(self.values)]

    def together(self):
        return nullcontext()


def test_a_rank_scores_its_share_and_its_result_has_the_rows_of_all(davis_root):
    benchmark = DavisBenchmark(davis_root, changes=SMALL)
    alone, extractor = benchmark.evaluate("raw_colour"), load("raw_colour").view()
    shares = distribute([sequence.num_frames for sequence in benchmark.sequences], 2)
    of_second = [row for row in alone.rows if row.video in {alone.sequences[index] for index in shares[1]}]
    shared = benchmark.run(extractor, Network(name="x"), Output(None), ranks=Two(of_second, True))
    assert (shared.rows, shared.scores, shared.ranks) == (alone.rows, alone.scores, 2)
    assert shared.data["constant_features"] is True  # on the second rank
    assert (alone.ranks, "constant_features" in alone.data) == (1, False)


@pytest.fixture
def of_two(monkeypatch):
    """torch.distributed as rank 1 of 2 sees it; each exchange is told, and rank 0 sends what stands in `sent`."""
    process = Mock(sent=[])

    def gather(values, value, group):
        values[:] = [process.sent.pop(0), value]

    process.is_initialized.return_value = True
    process.get_rank.return_value, process.get_world_size.return_value = 1, 2
    process.all_gather_object.side_effect = gather
    process.all_reduce.side_effect = lambda tensor, *_, **options: tensor.fill_(7)
    monkeypatch.setattr(ranks, "dist", process)
    return process


def test_ranks_exchange_over_a_group_of_their_own_with_a_limit(of_two):
    with Ranks() as both:
        of_two.new_group.assert_called_once_with(backend="gloo", timeout=ranks.EXCHANGE)
        of_two.sent = ["first", (None, None)]
        assert both.gather("second") == ["first", "second"]
        assert both.largest(3) == 7
        with both.together():
            pass
    of_two.destroy_process_group.assert_called_once_with(of_two.new_group.return_value)
    _, limit = of_two.monitored_barrier.call_args.args
    assert limit == timedelta(hours=4)
    alone = Ranks(shared=False)
    assert (alone.rank, alone.size, alone.gather("value"), alone.largest(3)) == (0, 1, ["value"], 3)


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


def in_processes(size, arguments, folder, kind=DavisBenchmark):
    """Return the benchmark results that each of `size` processes reports."""
    folder.mkdir()
    return on_ranks(size, folder, benchmark_ranks.evaluate_on, kind, arguments, f"{folder}/out", limit=2)


@pytest.fixture
def davis(davis_root):
    """Arguments of DAVIS over three videos."""
    torch.set_num_threads(1)
    return {"root": davis_root, "changes": SMALL}


@pytest.mark.slow
def test_the_benchmark_scores_the_same_to_the_last_bit_over_any_ranks(davis, tmp_path):
    """Four ranks have three sequences, so one has none."""
    alone = benchmark_ranks.evaluate(DavisBenchmark, davis)
    assert in_processes(4, davis, tmp_path / "run") == [alone] * 4
    results = Result.load(tmp_path / "run/out")
    assert (results.ranks, len(results.sequences)) == (4, 3)
    assert len((tmp_path / "run" / "out" / "per_sequence.csv").read_text().splitlines()) > 3
    assert len(list((tmp_path / "run" / "out" / "predictions").iterdir())) == 3


@pytest.mark.slow
def test_outside_a_trainer_a_rank_evaluates_alone(davis, tmp_path):
    alone = benchmark_ranks.evaluate(DavisBenchmark, davis)
    assert on_ranks(2, tmp_path, benchmark_ranks.first_alone_on, davis, limit=20) == [alone, {}]


@pytest.mark.slow
def test_a_benchmark_may_take_longer_than_the_process_group_waits(davis, tmp_path):
    alone = benchmark_ranks.evaluate(DavisBenchmark, davis)
    late = in_processes(2, davis, tmp_path / "run", benchmark_ranks.Late)
    assert late[0].keys() == alone.keys()
    assert late[0] == late[1]


@pytest.mark.slow
def test_two_lightning_processes_continue_after_a_failure_and_leave_validate_with_it(davis, tmp_path):
    first, second = on_ranks(2, tmp_path, benchmark_ranks.fit_and_validate_on, davis, str(tmp_path))
    assert first == second
    assert list(first["history"]) == ["4"]
    assert first["checkpoints"] == ["best-epoch=001-step=000004.ckpt"]
    assert "rank 1 of 2: ValueError: synthetic-00" in first["error"]
