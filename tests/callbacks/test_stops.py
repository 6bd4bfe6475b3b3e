"""Signals, SLURM and torchrun; losses and workers are in tests/faults, resuming in test_checkpoints.py."""

import os
import signal

import pytest
from pytorch_lightning.callbacks import LambdaCallback
from torch.utils.data import DataLoader

from callbacks import (
    BenchmarkCallback,
    Stops,
)
from tests.helpers.refusal import refused
from tests.helpers.stops import Counted, go, joined, make
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


def strike_once(number, batch):
    """Return a callback that sends this process a signal before a batch, counted over all epochs, is learnt from."""

    def strike(trainer, *_):
        if trainer.fit_loop.total_batch_idx == batch:
            os.kill(os.getpid(), number)

    return LambdaCallback(on_before_backward=strike)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["", "3"])
def test_slurms_signal_saves_the_step_and_queues_the_job_again(task, tmp_path, monkeypatch):
    called = tmp_path / "called"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    of_task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": task} if task else {}
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}
    for name, value in (slurm | {"SLURM_LOCALID": "0", "SLURM_NODEID": "0"} | of_task).items():
        monkeypatch.setenv(name, value)
    whole, _ = go("VFSMoCo", tmp_path / "whole")
    begun, ended = go("VFSMoCo", tmp_path / "parts", more=[strike_once(signal.SIGUSR1, 4)])
    assert not ended
    assert called.read_text() == ("requeue 7_3\n" if task else "requeue 7\n")
    assert [path.name for path in (tmp_path / "parts").glob("*.ckpt")] == ["last.ckpt"]  # none of Lightning's own
    rest, ended = go("VFSMoCo", tmp_path / "parts", start=tmp_path / "parts/last.ckpt")
    assert ended
    assert joined(begun, rest, whole, repeats=0) == whole


def test_processes_that_would_train_alone_are_refused(tmp_path, monkeypatch):
    started = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    trainer = quiet_trainer(callbacks=[Stops()], max_steps=1, default_root_dir=tmp_path)
    line = "torchrun has started 2 processes, but this run uses 1: set trainer.devices"
    assert refused(ValueError, line, trainer.fit, make("VFSSimSiam", 1), DataLoader(Clips(4, 2, 16), batch_size=4))
