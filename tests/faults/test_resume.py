"""A run that is preempted: real signals, in separate processes; kills and lost ranks: random_stops.py."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from tests.helpers.faults import STATE, curve, differences, faults_between, harm, last, run, words
from tests.helpers.stops import in_slurm
from vidcorr.experiments.runs.runs import Record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(video_folder, tmp_path_factory):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    run(words("VFSMoCo", folder, source=video_folder), 0)
    return folder


SIGNALS = [("SIGTERM", "SIGTERM", 143, 10, "validation", 0), ("SIGINT", "Ctrl-C", 130, 7, "step", 1)]


@pytest.mark.parametrize(("name", "shown", "status", "step", "place", "workers"), SIGNALS)
@pytest.mark.sampled(2, "exhaustive")
def test_a_signal_saves_the_step(name, shown, status, step, place, workers, whole, video_folder, tmp_path):
    blow = harm("Strike", name=name, step=step, place=place, group=True)
    command = words("VFSMoCo", tmp_path, source=video_folder, callbacks=(blow,), num_workers=workers)
    said = run(command, status)
    reached = step + (place == "step")
    assert f"stopped by {shown}\n" in said
    assert re.search(f"ended in step {reached}; saved after step {reached}: .*/last.ckpt\n", said)
    assert "Traceback" not in said
    assert last(tmp_path)["global_step"] == max(curve(tmp_path)) == reached
    said = run([*command, "--ckpt_path=last"], 0, STRUCK=str(step))
    (version,) = tmp_path.glob("version_*")
    assert f"resuming from {version}/checkpoints/last.ckpt: step {reached}, epoch " in said
    assert "ckpt_path: null\n" in (version / "config.yaml").read_text()  # a new run if it is given again
    assert faults_between(tmp_path, whole) == []


def test_equal_tasks_of_an_array_begin_at_once_and_each_goes_on_in_its_own_run(tmp_path, monkeypatch):
    """Their generated data does not exist yet; SLURM's signal stops each of them, and queues it again."""
    queue, scontrol = tmp_path / "queue", tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {queue}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    in_slurm(monkeypatch, ARRAY_JOB_ID="70")
    sizes = {"videos": 6, "benchmark_videos": 1, "frames_per_video": 6, "video_size": 32}
    clips = {"root": tmp_path / "data", "size": 32, "frames": 2, "samples_per_epoch": 10}
    blow = harm("Strike", name="SIGUSR1", step=2, place="end")
    kind = "SyntheticVideoDataModule"
    command = words("VFSSimSiam", tmp_path / "runs", kind=kind, callbacks=(blow,), **sizes, **clips)

    def task(number, status, **variables):
        run(command, status, SLURM_JOB_ID=f"7{number}", SLURM_ARRAY_TASK_ID=str(number), **variables)

    with ThreadPoolExecutor(2) as tasks:
        list(tasks.map(partial(task, status=138), range(2)))
        assert sorted(queue.read_text().splitlines()) == ["requeue 70_0", "requeue 70_1"]
        list(tasks.map(partial(task, status=0, STRUCK="2", SLURM_RESTART_COUNT="1"), range(2)))
    folders = sorted((tmp_path / "runs").glob("version_*"))
    records = [Record.read(folder) for folder in folders]
    assert [bool(record.end) for record in records] == [True] * 2
    assert sorted(record.slurm["array_task"] for record in records) == ["0", "1"]
    for folder in folders:
        states = [torch.load(place / "checkpoints/last.ckpt", weights_only=True) for place in (folder, folders[0])]
        assert [differences(*(state[name] for state in states)) for name in STATE] == [[]] * len(STATE)
        assert len(list(folder.rglob("*.ckpt"))) == 1
