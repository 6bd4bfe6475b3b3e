"""Sharing out, and leaving together."""

import pytest
import torch

import vidcorr
from tests.helpers import benchmark_ranks
from tests.helpers.benchmark_data import arguments_of
from tests.helpers.ranks import on_ranks
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark, Result
from vidcorr.benchmarks.ranks import distribute


def test_every_sequence_goes_to_one_rank_and_the_ranks_are_even():
    lengths = [50, 90, 40, 104, 90, 60, 50, 99]
    for size in (1, 2, 3, 8, 11):
        parts = distribute(lengths, size)
        assert sorted(number for share in parts for number in share) == list(range(8))
        frames = [sum(lengths[number] for number in share) for share in parts]
        assert len(frames) == size
        assert max(frames) - min(frames) <= max(lengths)
    assert distribute([], 2) == [[], []]


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
@pytest.mark.parametrize("kind", [vidcorr.TapVidBenchmark, vidcorr.VipBenchmark, benchmark_ranks.OfClips])
def test_benchmarks_score_the_same_over_two_ranks(tmp_path, kind):
    """Points, whose facts come from the tracker; pooled counts; a video encoder. Other rows take the same way."""
    arguments = arguments_of(kind, tmp_path / "data")
    torch.set_num_threads(1)
    alone = benchmark_ranks.evaluate(kind, arguments, str(tmp_path / "alone"))
    assert in_processes(2, arguments, tmp_path / "run", kind) == [alone] * 2
    tables = [(tmp_path / folder / "per_sequence.csv").read_text() for folder in ("alone", "run/out")]
    assert tables[0] == tables[1]


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
