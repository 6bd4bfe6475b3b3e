"""Signals, SLURM and torchrun, callbacks of Lightning; resuming is tested in test_checkpoints.py."""

import os
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
import torch
from pytorch_lightning import callbacks as of_lightning

from tests.helpers.faults import Spoil, Strike
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.stops import go, in_slurm
from tests.helpers.words import TINY, clips, flags
from vidcorr import signals
from vidcorr.benchmarks.ranks import LostRank
from vidcorr.callbacks import LastCheckpoint, Stops, TrainingStopped
from vidcorr.callbacks.stops import INEXACT, requeue_job
from vidcorr.cli import main


@pytest.fixture
def trainer(monkeypatch):
    """A trainer of one rank after the first step of a fit, and Lightning's launcher, calls of which are listed."""
    trainer = Mock(accumulates=False, callbacks=[], current_epoch=0, global_step=1, is_global_zero=True, world_size=1)
    trainer.state.fn, trainer.fit_loop.batch_idx = "fit", 1
    trainer.checkpoint_callbacks = [Mock(spec=LastCheckpoint, save=trainer.calls.save)]
    trainer.strategy.launcher.kill = trainer.calls.kill
    monkeypatch.setattr("vidcorr.callbacks.stops.accumulates", lambda trainer: trainer.accumulates)
    monkeypatch.setattr("vidcorr.callbacks.stops.requeue_job", trainer.calls.requeue)
    return trainer


def is_stopped(hook, *arguments):
    """Return the exit status with which a hook ends the run, or None."""
    try:
        hook(*arguments)
    except signals.Stopped as stopped:
        return stopped.code


@pytest.mark.parametrize(("agreed", "status"), [(signal.SIGUSR1, 138), (signal.SIGINT, 143)])
def test_a_rank_without_a_signal_ends_by_the_requeue_of_another_or_sigterm(agreed, status, trainer):
    stops = Stops()
    hooks = (stops.on_train_epoch_start, stops.on_train_batch_start, stops.on_fit_end, stops.on_validation_start)
    assert [is_stopped(hook, trainer, None) for hook in hooks] == [None] * 4
    stops._outcome = agreed
    assert [is_stopped(hook, trainer, None) for hook in hooks] == [status] * 4
    stops.on_fit_start(trainer, None)  # of a second fit
    assert [is_stopped(hook, trainer, None) for hook in hooks] == [None] * 4


def test_a_signal_stops_after_a_whole_step_or_epoch(trainer):
    for received, accumulates, status in (
        (None, False, None),
        (signal.SIGINT, True, None),
        (signal.SIGINT, False, 130),
    ):
        signals.requests.received = received
        trainer.accumulates = accumulates
        stops = Stops()
        stops.on_train_batch_end(trainer, None, None, None, 0)
        assert is_stopped(stops.on_train_batch_start, trainer) == status
        stops = Stops()
        stops.on_train_epoch_end(trainer, None)
        assert is_stopped(stops.on_train_batch_start, trainer) == (received and 130)
    signals.requests.received = None
    stops.on_train_epoch_end(trainer, None)
    assert is_stopped(stops.on_train_batch_start, trainer) == 143  # agreed before


def test_the_only_rank_of_a_validation_stops_between_two_batches(trainer):
    stops = Stops()
    with signals.deferred():
        assert is_stopped(stops.on_validation_batch_end, trainer, None, None, None, 0) is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_stopped(stops.on_validation_batch_end, trainer, None, None, None, 0) == 143
        trainer.world_size = 2
        assert is_stopped(stops.on_validation_batch_end, trainer, None, None, None, 0) is None


def test_a_loss_is_checked_a_step_later(trainer):
    stops = Stops()
    stops.on_before_backward(trainer, None, torch.tensor(float("nan")))
    stops.on_train_batch_end(trainer, None, None, None, 0)
    stops.on_before_backward(trainer, None, torch.tensor(1.0))
    line = r"^step 1 \(epoch 0, batch 1\): the loss is nan$"
    refused(TrainingStopped, line, stops.on_train_batch_end, trainer, None, None, None, 0)
    stops.on_before_backward(trainer, None, torch.tensor(float("nan")))
    stops.on_fit_start(trainer, None)
    stops.on_save_checkpoint(trainer, torch.nn.Linear(1, 1), {})


def test_the_ranks_talk_during_a_fit_alone(trainer, monkeypatch):
    made = Mock(side_effect=lambda **options: Mock())
    monkeypatch.setattr("vidcorr.callbacks.stops.Ranks", made)
    stops = Stops()
    stops.on_fit_start(trainer, None)
    ranks = stops._ranks
    stops.teardown(trainer, None, "fit")
    assert made.mock_calls == [call(shared=False), call(), call(shared=False)]
    ranks.close.assert_called_once_with()


@pytest.mark.parametrize("hook", ["on_train_start", "on_validation_start"])
def test_in_slurm_its_signal_is_handled_if_lightning_requeues_at_it(hook, trainer, monkeypatch):
    def handled():
        handlers = {number: signal.getsignal(number) for number in numbers}
        return {number for number, handler in handlers.items() if isinstance(handler, partial)}

    in_slurm(monkeypatch, JOB_ID="7")
    before, numbers = signal.signal(signal.SIGUSR1, lambda *_: None), signals.NAMES | signals.REQUEUE
    trainer.state.fn = "validate"
    stops = Stops()
    getattr(stops, hook)(trainer, None)
    assert handled() == {*signals.NAMES, signal.SIGUSR1}
    stops.teardown(trainer, None, "fit")
    assert handled() == set()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(("task", "job"), [({}, "7"), ({"ARRAY_JOB_ID": "5", "ARRAY_TASK_ID": "3"}, "5_3")])
def test_a_job_or_its_task_is_queued_again(task, job, monkeypatch):
    in_slurm(monkeypatch, JOB_ID="7", **task)
    called = Mock()
    monkeypatch.setattr("vidcorr.callbacks.stops.subprocess.run", called)
    requeue_job()
    called.assert_called_once_with(["scontrol", "requeue", job], check=False)


@pytest.mark.parametrize(
    ("changes", "error", "done"),
    [
        ({}, signals.Stopped(signal.SIGUSR1), ["save", "requeue"]),
        ({"state": SimpleNamespace(fn="validate")}, signals.Stopped(signal.SIGUSR1), ["requeue"]),
        ({"is_global_zero": False}, signals.Stopped(signal.SIGUSR1), ["save"]),
        ({"outcome": signal.SIGUSR2}, signals.Stopped(signal.SIGTERM), ["save", "requeue"]),
        ({}, signals.Stopped(signal.SIGTERM), ["save"]),
        ({}, RuntimeError("a mistake"), ["save"]),
        ({}, LostRank("Connection reset by peer"), ["kill", "save"]),
        ({"strategy": SimpleNamespace(launcher=None)}, LostRank("Connection reset by peer"), ["save"]),
    ],
)
def test_the_step_is_saved_before_the_job_is_queued_again(changes, error, done, trainer, caplog):
    caplog.set_level("INFO")
    vars(trainer).update(changes)
    stops = Stops()
    stops._outcome = changes.get("outcome", 0)
    stops.on_train_start(trainer, None)
    number = getattr(error, "number", None)
    signals.requests.received = number or signal.SIGTERM
    stops.on_exception(trainer, None, error)
    assert [each[0] for each in trainer.calls.mock_calls] == done
    assert caplog.messages == ([f"stopped by {signal.Signals(number).name}"] if number else [])
    assert not isinstance(signal.getsignal(signal.SIGTERM), partial)


ARGUMENTS = {
    "BatchSizeFinder": {"max_trials": 1, "steps_per_trial": 1},
    "EarlyStopping": {"monitor": "train/loss"},
    "GradientAccumulationScheduler": {"scheduling": {0: 2}},
    "ModelPruning": {"pruning_fn": "l1_unstructured", "amount": 0.1},
    "OnExceptionCheckpoint": {"dirpath": "on_exception"},
    "StochasticWeightAveraging": {"swa_lrs": 0.01},
    "ThroughputMonitor": {"batch_size_fn": "builtins.len"},
}
"""Callback of Lightning → arguments that it cannot do without; by default it takes none."""
UNFIT = ("LearningRateFinder", "ModelPruning")
"""They end in an error of Lightning: no `lr` in the module, and weights with channels last."""
ABSTRACT = ("BaseFinetuning", "ProgressBar", "TQDMProgressBar")
"""An abstract one, and progress bars: a Trainer takes one, Rich's."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", INEXACT)
def test_what_may_not_resume_exactly_trains_with_a_line(kind, video_folder, davis_root, tmp_path, caplog):
    caplog.set_level("INFO")
    name = kind.__name__
    words = [*TINY, *clips(video_folder), "--trainer.max_epochs=2", "--trainer.limit_train_batches=2"]
    words += [f"--trainer.default_root_dir={tmp_path}", "--on", f"davis={davis_root}", "--every", "1"]
    words += ["--stage", "res4", "--change", "radius=3", "context=2"]
    words += flags("trainer.callbacks+", name, **ARGUMENTS.get(name, {}))
    if name in UNFIT:
        with pytest.raises((AttributeError, RuntimeError), match=r"learning_rate|view size"):
            main(["fit", *words])
    else:
        main(["fit", *words])
        validations = 3 if name == "StochasticWeightAveraging" else 2  # it adds an epoch for statistics of BatchNorm
        assert len(list(tmp_path.glob("version_0/benchmarks/davis/*/results.json"))) == validations
    assert f"{name}: may not resume exactly" in caplog.text


@pytest.mark.slow
def test_callbacks_of_lightning_that_resume_exactly_train_together(video_folder, tmp_path, capsys):
    words = [*TINY, *clips(video_folder, repeat=2), "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    words += [f"--trainer.default_root_dir={tmp_path}", "--trainer.log_every_n_steps=1"]
    for name in of_lightning.__all__:
        if name not in ABSTRACT and not issubclass(getattr(of_lightning, name), INEXACT):
            words += flags("trainer.callbacks+", name, **ARGUMENTS.get(name, {}))
    main(["fit", *words])
    (path,) = tmp_path.glob("version_0/checkpoints/last.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 2
    assert "Traceback" not in capsys.readouterr().err


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
