"""Signals, SLURM, callbacks of Lightning; resuming is tested in test_checkpoints.py."""

import os
import signal
from functools import partial
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import torch
from pytorch_lightning import callbacks as of_lightning
from torch.utils.data import DataLoader

from tests.helpers.faults import Spoil, Strike
from tests.helpers.ranks import on_ranks
from tests.helpers.stops import go, in_slurm
from tests.helpers.training import loader, tiny_simsiam, trainer_in
from vidcorr import signals
from vidcorr.benchmarks.ranks import LostRank, Ranks
from vidcorr.callbacks import LastCheckpoint, Stops, TrainingStopped
from vidcorr.callbacks.stops import requeue_job


def told(number, hook, batch=0):
    """Return a callback that sends this process a signal in a hook, at a batch of the run."""

    def send(trainer, *_):
        if trainer.fit_loop.total_batch_idx == batch or trainer.state.fn != "fit":
            os.kill(os.getpid(), number)

    return of_lightning.LambdaCallback(**{hook: send})


def run(folder, *callbacks, method="fit", stops=None, **options):
    """Train four batches an epoch, or validate two; return the exit status, and the step in `last.ckpt`."""
    last = LastCheckpoint(dirpath=folder)
    trainer = trainer_in(folder, *callbacks, stops or Stops(), last, **{"max_epochs": 2} | options)
    data = loader(16, 4, frames=2, size=32), DataLoader([{}, {}], batch_size=None)
    status = None
    try:
        if method == "fit":
            trainer.fit(tiny_simsiam(), *data)
        else:
            trainer.validate(tiny_simsiam(), data[1], verbose=False)
    except (signals.Stopped, TrainingStopped) as stopped:
        status = getattr(stopped, "code", str(stopped))
    saved = folder / "last.ckpt"
    return status, torch.load(saved, weights_only=True)["global_step"] if saved.is_file() else 0


TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
STOPPED = [
    ((TERM, "on_train_batch_start", 1), {}, (143, 2)),
    ((INT, "on_train_batch_start", 1), {}, (130, 2)),
    ((TERM, "on_train_batch_start", 0), {"accumulate_grad_batches": 2}, (143, 1)),  # the whole step
    ((TERM, "on_validation_start", 3), {}, (143, 0)),  # it is cut short
    ((TERM, "on_validation_end", 3), {}, (143, 4)),
    ((TERM, "on_train_batch_start", 7), {"limit_val_batches": 0}, (143, 8)),  # the last step: the end is saved
    ((TERM, "on_validation_batch_start", 0), {"method": "validate"}, (143, 0)),
    ((USR1, "on_train_batch_start", 1), {}, (138, 2)),
    ((USR1, "on_validation_batch_start", 0), {"method": "validate"}, (138, 0)),
]
"""Signal, hook and batch → exit status and the step that is saved; in a job of SLURM, which USR1 queues again."""


@pytest.fixture
def requeued(monkeypatch):
    """Calls of SLURM's command, in a job whose signal Lightning handles."""
    in_slurm(monkeypatch, JOB_ID="7")
    called = Mock()
    monkeypatch.setattr("vidcorr.callbacks.stops.subprocess.run", called)
    before = {number: signal.signal(number, lambda *_: None) for number in (INT, TERM, USR1)}
    yield called
    handlers = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert not any(isinstance(handler, partial) for handler in handlers.values())  # ours are gone


@pytest.mark.parametrize(("at", "options", "expected"), STOPPED)
def test_a_signal_stops_between_two_steps_and_the_step_is_saved(at, options, expected, requeued, tmp_path, info_log):
    assert run(tmp_path, told(*at), **options) == expected
    assert f"stopped by {signals.NAMES.get(at[0], 'SIGUSR1')}" in info_log.messages
    assert requeued.called == (at[0] == USR1)


FAULTS = [(told(TERM, "on_train_batch_start", 1), 143), (Spoil(1), "step 1 (epoch 0, batch 1): the loss is nan")]


@pytest.mark.parametrize(("fault", "status"), FAULTS)
def test_a_second_fit_of_the_same_callback_begins_anew(fault, status, tmp_path):
    stops = Stops()
    assert run(tmp_path / "first", fault, stops=stops)[0] == status
    assert run(tmp_path / "second", stops=stops) == (None, 8)


@pytest.mark.parametrize(("agreed", "status"), [(USR1, 138), (INT, 143)])
def test_a_rank_without_a_signal_ends_by_that_of_another(agreed, status, requeued, tmp_path, monkeypatch):
    largest = iter([agreed])
    monkeypatch.setattr("vidcorr.callbacks.stops.Ranks.largest", lambda ranks, value: next(largest, value))
    assert run(tmp_path) == (status, 1)
    assert requeued.called == (agreed == USR1)


def test_the_ranks_talk_during_a_fit_alone(monkeypatch, tmp_path):
    told = Mock()
    monkeypatch.setattr("vidcorr.callbacks.stops.Ranks", lambda **shared: told.made(**shared) and Ranks(**shared))
    monkeypatch.setattr(Ranks, "close", told.closed)
    run(tmp_path)
    assert told.mock_calls == [call.made(shared=False), call.made(), call.closed(), call.made(shared=False)]


@pytest.mark.parametrize(("task", "job"), [({}, "7"), ({"ARRAY_JOB_ID": "5", "ARRAY_TASK_ID": "3"}, "5_3")])
def test_a_job_or_its_task_is_queued_again(task, job, monkeypatch):
    in_slurm(monkeypatch, JOB_ID="7", **task)
    called = Mock()
    monkeypatch.setattr("vidcorr.callbacks.stops.subprocess.run", called)
    requeue_job()
    called.assert_called_once_with(["scontrol", "requeue", job], check=False)
    called.side_effect = FileNotFoundError(2, "No such file or directory", "scontrol")  # in a container
    with pytest.warns(UserWarning, match=f"run scontrol requeue {job}$"):
        requeue_job()


def test_a_rank_that_hangs_is_killed_before_the_step_is_saved(info_log):
    calls = Mock()
    saver = Mock(spec=LastCheckpoint, save=calls.save)
    for launcher, done in ((Mock(kill=calls.kill), ["kill", "save"]), (None, ["save"])):
        calls.reset_mock()
        trainer = Mock(checkpoint_callbacks=[saver], strategy=Mock(launcher=launcher))
        trainer.state.fn = "fit"
        Stops().on_exception(trainer, None, LostRank("Connection reset by peer"))
        assert [each[0] for each in calls.mock_calls] == done
    assert info_log.messages == []  # of a signal


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
