"""Sharing out, and leaving together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers import benchmark_ranks
from tests.helpers.ranks import on_ranks
from vidcorr import Result
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


def in_processes(size, root, folder, kind="davis"):
    """Return the benchmark results that each of `size` processes reports."""
    folder.mkdir()
    return on_ranks(size, folder, benchmark_ranks.evaluate_on, str(root), f"{folder}/out", kind, limit=2)


@pytest.mark.slow
def test_the_benchmark_scores_the_same_to_the_last_bit_over_any_ranks(davis_root, tmp_path):
    """Four ranks have three sequences, so one has none."""
    torch.set_num_threads(1)
    alone = benchmark_ranks.evaluate(str(davis_root))
    assert in_processes(4, davis_root, tmp_path / "run") == [alone] * 4
    results = Result.load(tmp_path / "run/out")
    assert (results.ranks, len(results.sequences)) == (4, 3)
    assert len((tmp_path / "run" / "out" / "per_sequence.csv").read_text().splitlines()) > 3
    assert len(list((tmp_path / "run" / "out" / "predictions").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clips", "youtube_vos", "jhmdb", "vip", "tap_vid", "otb"])
def test_every_benchmark_scores_the_same_over_two_ranks(tmp_path, kind):
    """Of the one video of points one rank has none."""
    frames, (write, _) = 16 if kind == "youtube_vos" else 3, benchmark_ranks.KINDS[kind]
    root = write(tmp_path / "data", 1 if kind == "tap_vid" else 3, frames=frames, size=(48, 64))
    torch.set_num_threads(1)
    alone = benchmark_ranks.evaluate(str(root), kind, str(tmp_path / "alone"))
    assert in_processes(2, root, tmp_path / "run", kind) == [alone] * 2
    tables = [(tmp_path / folder / "per_sequence.csv").read_text() for folder in ("alone", "run/out")]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_outside_a_trainer_a_rank_evaluates_alone(davis_root, tmp_path):
    torch.set_num_threads(1)
    alone = benchmark_ranks.evaluate(str(davis_root))
    assert on_ranks(2, tmp_path, benchmark_ranks.first_alone_on, str(davis_root), limit=20) == [alone, {}]


@pytest.mark.slow
def test_a_rank_that_fails_takes_the_others_along(davis_root, tmp_path):
    results = in_processes(2, davis_root, tmp_path / "run", "fails")
    assert results[0] == results[1]
    assert "rank 1 of 2: ValueError: synthetic-00" in results[0]["error"]


@pytest.mark.slow
def test_a_benchmark_may_take_longer_than_the_process_group_waits(davis_root, tmp_path):
    alone = benchmark_ranks.evaluate(str(davis_root))
    late = in_processes(2, davis_root, tmp_path / "run", "late")
    assert late[0].keys() == alone.keys()
    assert late[0] == late[1]


@pytest.mark.slow
def test_two_lightning_processes_continue_after_a_failure_and_leave_validate_with_it(davis_root, tmp_path):
    script = Path(benchmark_ranks.__file__).with_name("ddp_run.py")
    command = [sys.executable, str(script), str(davis_root), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert list(first["history"]) == ["4"]
    assert first["checkpoints"] == ["best-epoch=001-step=000004.ckpt"]
    assert "rank 1 of 2: ValueError: synthetic-00" in first["error"]
    assert "davis failed; the training continues: rank 1 of 2" in done.stderr + done.stdout
