"""Signals, SLURM and torchrun; losses and workers are in tests/faults, resuming in test_checkpoints.py."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from torch.utils.data import DataLoader

from callbacks import BenchmarkCallback, LastCheckpoint, Stops
from callbacks.stops import requeue_job
from tests.helpers.faults import Spoil, Strike
from tests.helpers.ranks import on_ranks
from tests.helpers.stops import Counted, go, in_slurm, joined, make
from tests.helpers.training import Clips, quiet_trainer
from vidcorr import signals


def test_a_signal_ends_validate_between_two_frames():
    class Stopped(Counted):
        def run(self, network, *args, **options):
            os.kill(os.getpid(), signal.SIGTERM)
            self.events.append("the frame under way")
            return super().run(network, *args, **options)

    events = []
    before = [signal.getsignal(each) for each in signals.NAMES]
    trainer = quiet_trainer(callbacks=[BenchmarkCallback(Stopped(events)), Stops()])
    with pytest.raises(signals.Stopped) as stopped:
        trainer.validate(make("VFSSimSiam", 1), DataLoader(Clips(2, 2, 16), batch_size=2), verbose=False)
    assert (events, stopped.value.code) == (["the frame under way"], 143)
    assert [signal.getsignal(each) for each in signals.NAMES] == before


@pytest.mark.parametrize(("agreed", "status"), [(signal.SIGUSR1, 138), (signal.SIGINT, 143), (0, None)])
def test_a_rank_without_a_signal_ends_by_the_requeue_of_another_or_sigterm(agreed, status):
    stops = Stops()
    stops._outcome = agreed
    if status is None:
        stops.on_train_batch_start(None)
        return
    with pytest.raises(signals.Stopped) as stopped:
        stops.on_train_batch_start(None)
    assert stopped.value.code == status


@pytest.mark.parametrize(("task", "job"), [({}, "7"), ({"ARRAY_JOB_ID": "5", "ARRAY_TASK_ID": "3"}, "5_3")])
def test_a_job_or_its_task_is_queued_again(task, job, monkeypatch):
    in_slurm(monkeypatch, JOB_ID="7", **task)
    called = Mock()
    monkeypatch.setattr("callbacks.stops.subprocess.run", called)
    requeue_job()
    called.assert_called_once_with(["scontrol", "requeue", job], check=False)


@pytest.mark.parametrize(
    ("stage", "error", "done"),
    [
        ("fit", signals.Stopped(signal.SIGUSR1), ["save", "requeue"]),
        ("validate", signals.Stopped(signal.SIGUSR1), ["requeue"]),
        ("fit", signals.Stopped(signal.SIGTERM), ["save"]),
        ("fit", RuntimeError("a mistake"), ["save"]),
    ],
)
def test_the_step_is_saved_before_the_job_is_queued_again(stage, error, done, monkeypatch):
    called = Mock()
    monkeypatch.setattr("callbacks.stops.requeue_job", called.requeue)
    trainer = SimpleNamespace(
        strategy=SimpleNamespace(launcher=None),
        state=SimpleNamespace(fn=stage),
        checkpoint_callbacks=[Mock(spec=LastCheckpoint, save=called.save)],
        is_global_zero=True,
    )
    signals.requests.received = getattr(error, "number", None)
    Stops().on_exception(trainer, None, error)
    assert [call[0] for call in called.mock_calls] == done


@pytest.mark.slow
def test_slurms_signal_saves_the_step_and_queues_the_job_again(tmp_path, monkeypatch):
    called = tmp_path / "called"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    in_slurm(monkeypatch, JOB_ID="7", ARRAY_JOB_ID="7", ARRAY_TASK_ID="3")
    whole, _ = go("VFSMoCo", tmp_path / "whole")
    begun, ended = go("VFSMoCo", tmp_path / "parts", more=[Strike("SIGUSR1", 4)])
    assert not ended
    assert called.read_text() == "requeue 7_3\n"
    assert [path.name for path in (tmp_path / "parts").glob("*.ckpt")] == ["last.ckpt"]  # none of Lightning's own
    rest, ended = go("VFSMoCo", tmp_path / "parts", start=tmp_path / "parts/last.ckpt")
    assert ended
    assert joined(begun, rest, whole, repeats=0) == whole


def _hit(rank, folder, by_signal):
    """Train as one of two ranks, of which the second is hit before its second step; return whether the run ended."""
    blow = Strike("SIGTERM", 1, rank=1) if by_signal else Spoil(step=1, rank=1)
    _, ended = go("VFSMoCo", Path(folder), more=[blow], scored=False, strategy="ddp", devices=2)
    return ended


@pytest.mark.slow
@pytest.mark.parametrize("by_signal", [True, False])
def test_a_signal_or_a_non_finite_loss_of_one_rank_ends_all(by_signal, tmp_path):
    assert on_ranks(2, tmp_path, _hit, str(tmp_path / "run"), by_signal) == [False, False]
    step = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"]
    assert step == 1  # the second step ends an epoch, whose validation is still to come; and a bad step is not saved
