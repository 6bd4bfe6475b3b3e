"""Signals; the order of callbacks, callbacks that are refused, and stops; losses and workers are in tests/faults."""

import errno
import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, LambdaCallback, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from callbacks import (
    AtomicCheckpointIO,
    BenchmarkCallback,
    CollapseMonitor,
    LastCheckpoint,
    Safeguards,
    TrainingStopped,
)
from tests.helpers.refusal import refused
from tests.helpers.stops import Counted, Stop, go, joined, make
from tests.helpers.training import Clips, InMemory, quiet_trainer
from vidcorr import signals


def test_a_signal_ends_validate_between_two_frames():
    class Stopped(Counted):
        def run(self, network, *args, **options):
            send(signal.SIGTERM)
            self.events.append("the frame under way")
            return super().run(network, *args, **options)

    events = []
    before = [signal.getsignal(each) for each in signals.NAMES]
    trainer = quiet_trainer(callbacks=[BenchmarkCallback(Stopped(events)), Safeguards()])
    with pytest.raises(signals.Stopped) as stopped:
        trainer.validate(make("VFSSimSiam", 1), DataLoader(Clips(2, 2, 16), batch_size=2), verbose=False)
    assert (events, stopped.value.code) == (["the frame under way"], 143)
    assert [signal.getsignal(each) for each in signals.NAMES] == before


def test_what_saves_comes_after_all_others_and_what_ends_the_run_last(tmp_path):
    callbacks = [Safeguards(), LastCheckpoint(dirpath=tmp_path), CollapseMonitor()]
    trainer = quiet_trainer(callbacks=callbacks, enable_checkpointing=True, max_steps=1, default_root_dir=tmp_path)
    trainer.fit(make("VFSSimSiam", 1), DataLoader(Clips(4, 2, 16), batch_size=4))
    assert [type(callback) for callback in trainer.callbacks[-2:]] == [LastCheckpoint, Safeguards]
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


@pytest.mark.slow
def test_an_average_of_weights_is_resumed_exactly(tmp_path):
    def run(folder, **options):
        return go("VFSMoCo", folder, more=[EMAWeightAveraging(use_buffers=True, decay=0.5)], **options)

    whole, ended = run(tmp_path / "whole")
    assert ended
    begun, _ = run(tmp_path / "parts", stop=Stop("step", 4))
    rest, _ = run(tmp_path / "parts", start=tmp_path / "parts/last.ckpt")
    assert joined(begun, rest, whole) == whole


def test_a_plain_checkpoint_on_a_benchmark_that_pauses_names_best_checkpoint(tmp_path):
    plain = ModelCheckpoint(tmp_path / "plain", monitor="counted/score", mode="max")
    advice = "set its every_n_epochs to 2, or use BestCheckpoint in its place"
    line = f"ModelCheckpoint checks counted every epoch, but counted runs every 2 epochs: {advice}"
    assert refused(ValueError, line, go, "VFSSimSiam", tmp_path, more=[plain], every_n_epochs=2)
    assert go("VFSSimSiam", tmp_path, more=[plain])[1]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_without_deferral_a_signal_ends_at_once(number, status):
    with pytest.raises(signals.Stopped) as stopped, signals.handled():
        send(number)
    assert stopped.value.code == status


def test_a_second_interrupt_ends_at_once_and_a_second_sigterm_does_not(capsys):
    with signals.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)

    def interrupted_twice():
        with signals.deferred():
            send(signal.SIGINT)
            assert "press Ctrl-C again" in capsys.readouterr().err
            send(signal.SIGINT)
            pytest.fail("still running")

    with pytest.raises(signals.Stopped):
        interrupted_twice()


def test_sigterm_is_passed_on_once():
    told = []
    with signals.deferred(told.append):
        send(signal.SIGINT)
        send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert told == []  # the terminal has told all processes of the Ctrl-C
    with signals.deferred(told.append):
        send(signal.SIGTERM)
    assert told == [signal.SIGTERM]


def strike_once(number, batch):
    """Return a callback that sends this process a signal before a batch, counted over all epochs, is learnt from."""

    def strike(trainer, *_):
        if trainer.fit_loop.total_batch_idx == batch:
            send(number)

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
    trainer = quiet_trainer(callbacks=[Safeguards()], max_steps=1, default_root_dir=tmp_path)
    line = "torchrun has started 2 processes, but this run uses 1, so each would train alone: set trainer.devices"
    assert refused(ValueError, line, trainer.fit, make("VFSSimSiam", 1), DataLoader(Clips(4, 2, 16), batch_size=4))


def test_a_full_disk_names_the_folder_of_the_run(tmp_path):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a logger's writer does

    callbacks = [LambdaCallback(on_train_batch_end=fail), Safeguards()]
    trainer = quiet_trainer(callbacks=callbacks, max_steps=1, default_root_dir=tmp_path)
    data = DataLoader(Clips(4, 2, 16), batch_size=4)
    assert refused(OSError, rf"No space left on device: '{tmp_path}'", trainer.fit, make("VFSSimSiam", 1), data)


class TwoOptimisers(pl.LightningModule):
    """A network in two parts, each with its optimiser, in manual optimisation: two optimiser steps a batch."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.parts = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)])

    def training_step(self, batch, batch_index):
        loss = self.parts[1](self.parts[0](batch["clip"].flatten(1)[:, :4])).square().mean()
        self.log("loss", loss)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.1) for part in self.parts]


def read_events(folder):
    """Read the event files of a folder in the order of their writing: one process numbers its files, 9 before 10."""
    for file in folder.glob("events.*"):
        stem, _, number = file.name.rpartition(".")
        file.rename(file.with_name(f"{stem}.{int(number):06d}"))
    return EventAccumulator(str(folder)).Reload()


@pytest.mark.parametrize("stop", range(3, 8))
def test_two_optimisers_resume_with_one_curve(stop, tmp_path):
    def run(version, *more, path=None):
        logger = TensorBoardLogger(tmp_path, version=version)
        callbacks = [*more, LastCheckpoint(4, tmp_path / str(version)), Safeguards()]
        options = {"max_epochs": 3, "log_every_n_steps": 1, "enable_checkpointing": True}
        trainer = quiet_trainer(**options | {"logger": logger}, callbacks=callbacks)
        trainer.fit(TwoOptimisers(), datamodule=InMemory(12, 4, 2, 16), ckpt_path=path, weights_only=True)

    def kill(trainer, *_):
        if trainer.fit_loop.total_batch_idx == stop:
            raise TrainingStopped("killed")

    run(0)
    with pytest.raises(TrainingStopped):
        run(1, LambdaCallback(on_train_batch_end=kill))
    run(1, path=tmp_path / "1/last.ckpt")
    curves = [read_events(tmp_path / f"lightning_logs/version_{version}") for version in (0, 1)]
    whole, resumed = [[(event.step, event.value) for event in curve.Scalars("loss")] for curve in curves]
    assert [step for step, _ in whole] == list(range(9))
    assert resumed == whole
