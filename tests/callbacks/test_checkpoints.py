"""A training that is stopped anywhere, any number of times, resumes as if it had not been, to the last bit.

What is stopped and resumed here are trainings of nine tiny batches in this process; real signals and kills are in
tests/faults/test_resume.py.

Also tests `callbacks/checkpoint_files.py`.
"""

import copy
import errno
import io
import json
import os
import time
from collections import OrderedDict
from datetime import date, timedelta
from fractions import Fraction
from functools import reduce
from itertools import product
from operator import getitem
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, call

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint
from pytorch_lightning.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from torch.optim import lr_scheduler

from tests.helpers.faults import Ends, Spoil, differences
from tests.helpers.refusal import refused
from tests.helpers.stops import EPOCHS, Stop, content, go, joined, most_repeated, positions
from tests.helpers.training import EMPTY, TINY, InMemory, fit_in, loader, tiny_moco, tiny_simsiam, trainer_in
from vidcorr import loops
from vidcorr.callbacks import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint, Stops, TrainingStopped
from vidcorr.callbacks.checkpoint_files import require_state
from vidcorr.callbacks.checkpoints import best_of_run
from vidcorr.lightning_modules import VFSMoCo, VFSSimSiam
from vidcorr.videos.files import FullDisk
from vidcorr.videos.folder_lock import folder_lock

LAST = "last.ckpt"


def test_a_folder_of_another_run_is_refused(tmp_path):
    with folder_lock(tmp_path):
        refused(OSError, f"{tmp_path} is in use by another run", fit_in, tmp_path, LastCheckpoint(dirpath=tmp_path))
    assert not (tmp_path / LAST).exists()
    fit_in(tmp_path, LastCheckpoint(dirpath=tmp_path))  # the lock went with its owner


def test_a_run_that_is_stopped_often_is_the_uninterrupted_run(tmp_path, monkeypatch, caplog):
    """Its schedule follows a score; schedules of two parts are stopped in tests/faults/random_stops.py."""

    def optimizer(module):
        optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}

    monkeypatch.setattr(VFSSimSiam, "configure_optimizers", optimizer)
    whole, _ = go("VFSSimSiam", tmp_path / "whole", 2, every=100)
    caplog.set_level("INFO")
    hidden, begun, complete = Mock(), Mock(wraps=loops.begin_next_epoch), Mock(wraps=loops.complete_epoch)
    monkeypatch.setattr("vidcorr.callbacks.checkpoints.hide_logs", hidden)
    monkeypatch.setattr(loops, "begin_next_epoch", begun)
    monkeypatch.setattr(loops, "complete_epoch", complete)
    folder, done, repeats = tmp_path / "parts", [], 0
    for stop in (Stop("step", 0), Stop("epoch_end", 0), Stop("step", 6), None):
        start = folder / LAST if done else None
        more, ended = go("VFSSimSiam", folder, 2, start, stop, every=100)
        done, repeats = joined(done, more, whole, repeats), most_repeated(stop)
    assert (ended, done) == (True, whole)
    assert differences(content(folder), content(tmp_path / "whole")) == []
    assert content(folder)["lr_schedulers"][0]["_last_lr"][0] < 0.1
    places = [(1, 0), (2, 1), (5, 2)]
    lines = [f"resuming from {folder}/{LAST}: step {step}, epoch {epoch}" for step, epoch in places]
    assert [line for line in caplog.messages if line.startswith("resuming")] == lines
    assert (complete.call_count, begun.call_count) == (3, 1)
    found = [(each.args[1], list(each.args[2])) for each in hidden.mock_calls]
    assert found == [(1, []), (2, ["counted/score"]), (5, [])]


def test_a_file_of_weights_alone_or_from_within_a_window_is_refused(tmp_path):
    def save(trainer, *args):
        trainer.save_checkpoint(tmp_path / f"{args[-1]}.ckpt")
        trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)

    go("VFSSimSiam", tmp_path, 2, more=[LambdaCallback(on_train_batch_end=save)], scored=False, max_epochs=1)
    line = r"weights\.ckpt holds weights, but no state of a training: to begin anew"
    refused(ValueError, line, go, "VFSSimSiam", tmp_path, 2, start=tmp_path / "weights.ckpt", scored=False)
    line = r"0\.ckpt was written within an optimiser step"
    refused(ValueError, line, go, "VFSSimSiam", tmp_path, 2, start=tmp_path / "0.ckpt")
    assert go("VFSSimSiam", tmp_path, 2, start=tmp_path / "1.ckpt", scored=False, max_epochs=1)[1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.sampled(6, "exhaustive")
@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("method", ["VFSSimSiam", "VFSMoCo", "Liir"])
def test_every_stop_and_kill(method, accumulated, tmp_path):
    """A kill repeats the steps since the last file; neither changes anything.

    What a run does after its last stop is a function of the file that it left there, so the files are compared.
    """
    whole, _ = go(method, tmp_path / "whole", accumulated)
    kinds = [event[0] for event in whole]
    assert kinds.count("benchmark") == kinds.count("validated") + 1 == EPOCHS + 1
    for (kill, every), stop in product(((False, 100), (True, 2)), positions()):
        folder = tmp_path / f"{kill}-{stop}"
        begun, ended = go(method, folder, accumulated, stop=stop, kill=kill, every=every)
        assert not ended
        start = folder / LAST if (folder / LAST).exists() else None
        rest, ended = go(method, folder, accumulated, start, every=every)
        assert ended
        assert joined(begun, rest, whole, None if kill else most_repeated(stop)) == whole, stop
        assert differences(content(folder), content(tmp_path / "whole")) == []


IN_TRAINING = {"more": [Ends(5)]}  # after the second step of an epoch


EARLY_ENDS = [
    ({"max_time": {"microseconds": 1}}, {}),
    (IN_TRAINING | {"min_steps": 7}, {}),
    (IN_TRAINING | {"min_epochs": 2}, {}),  # the second epoch is trained to its end
    (IN_TRAINING, {"val_check_interval": 2}),  # a validation follows in any run
    ({"more": [LambdaCallback(on_validation_end=Ends(5).on_train_batch_end)]}, {"val_check_interval": 2}),
    # the place of a validation is counted over all epochs: step 5 has one, or is between two
    (IN_TRAINING, {"val_check_interval": 5, "check_val_every_n_epoch": None}),
    (IN_TRAINING, {"val_check_interval": 2, "check_val_every_n_epoch": None}),
    ({"max_steps": 4}, {"val_check_interval": 4, "check_val_every_n_epoch": None}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "options"), EARLY_ENDS)
def test_a_run_that_ends_early_resumes_within_its_epoch(ending, options, tmp_path, monkeypatch):
    # the rate of a schedule would depend on the length of the run
    monkeypatch.setattr(VFSMoCo, "configure_optimizers", lambda module: torch.optim.SGD(module.parameters(), 0.1))
    runs = {}
    for name, start, more in (("whole", None, {}), ("begun", None, ending), ("rest", tmp_path / "begun" / LAST, {})):
        runs[name], _ = go("VFSMoCo", tmp_path / name, 1, start, every=100, **options | more)
    steps = {name: [event for event in events if isinstance(event[0], int)] for name, events in runs.items()}
    assert all(steps.values())
    assert steps["begun"] + steps["rest"] == steps["whole"]
    validated = {name: [event for event in events if event[0] == "validated"] for name, events in runs.items()}
    once = [event for event in validated["whole"] if event not in validated["begun"]]
    assert validated["rest"] == once
    rest, whole = content(tmp_path / "rest"), content(tmp_path / "whole")
    at = {run["step"] for run in whole["benchmarks"]["counted"]["runs"]}
    kept = rest["benchmarks"]["counted"]
    kept["runs"] = [run for run in kept["runs"] if run["step"] in at]  # the first run's end had a score of its own
    assert differences(rest, whole) == []


def test_the_time_of_a_job_is_its_own(tmp_path):
    """Each job of a chain trains, whatever the time of the jobs before it."""
    for steps, start in ((1, None), (2, "last")):
        wait = LambdaCallback(on_train_batch_end=lambda *_: time.sleep(0.06))
        go("VFSSimSiam", tmp_path, 1, start, more=[wait], scored=False, max_time={"milliseconds": 50})
        assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == steps


def test_other_batches_or_optimisers_are_refused(tmp_path, monkeypatch):
    def train(rate, *sizes, accumulated=1, path=tmp_path / LAST):
        def optimizer(module):
            return torch.optim.SGD(module.parameters(), rate, momentum=0.9, weight_decay=0.5)

        monkeypatch.setattr(VFSSimSiam, "configure_optimizers", optimizer)
        loaders = [loader(8, size, frames=2, size=32) for size in sizes]
        options = {"max_steps": 9 if path else 1, "accumulate_grad_batches": accumulated}
        trainer = trainer_in(tmp_path, LastCheckpoint(dirpath=tmp_path), **options)
        trainer.fit(tiny_simsiam(), loaders, EMPTY, ckpt_path=path)

    train(0.5, 4, 2, path=None)
    before = rf"{LAST}: its batches are 4 \+ 2 samples × 1, this run's"
    refused(ValueError, rf"{before} 4 \+ 2 samples × 2: a resumed training keeps both", train, 0.5, 4, 2, accumulated=2)
    refused(ValueError, rf"{before} 4 \+ 4 samples × 1: a resumed training keeps both", train, 0.5, 4, 4)
    settings = "'weight_decay': 0.5, 'momentum': 0.9"
    line = rf"{LAST}: its optimisers are .{{'lr': 0.5, {settings}}}., this run's .{{'lr': 0.1, {settings}}}.: a resumed"
    refused(ValueError, line, train, 0.1, 4, 2)


def test_runs_in_one_folder_keep_their_files_and_last_resumes_the_newest(tmp_path):
    for steps in (2, 3):
        go("VFSSimSiam", tmp_path, scored=False, max_steps=steps)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last-v1.ckpt", LAST]
    first = (tmp_path / LAST).read_bytes()
    go("VFSSimSiam", tmp_path, start="last", scored=False, max_steps=5)
    assert torch.load(tmp_path / "last-v1.ckpt", weights_only=True)["global_step"] == 5
    assert (tmp_path / LAST).read_bytes() == first


def test_a_validation_is_no_training(tmp_path, info_log):
    trainer = trainer_in(tmp_path, LastCheckpoint(dirpath=tmp_path))
    trainer.validate(tiny_moco(), datamodule=InMemory(4, 2), verbose=False)
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    assert "resume" not in torch.load(tmp_path / "whole.ckpt", weights_only=True)
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    for name in ("whole.ckpt", "weights.ckpt"):
        assert trainer.validate(ckpt_path=tmp_path / name, datamodule=InMemory(4, 2), verbose=False)
    for stage in ("validate", "fit"):  # a training before its first step has no state either
        trainer.state.fn = stage
        trainer.callbacks[0].on_exception(trainer, None, RuntimeError("a mistake"))
    assert not [line for line in info_log.messages if line.startswith(("resuming", "ended"))]


def test_the_end_of_an_epoch_is_saved_when_the_next_begins(tmp_path):
    saved = []

    def note(trainer, *_):
        if (tmp_path / LAST).is_file():
            saved.append(torch.load(tmp_path / LAST, weights_only=True)["global_step"])

    fit_in(tmp_path, LastCheckpoint(100, tmp_path), LambdaCallback(on_train_batch_start=note), max_epochs=2)
    assert saved == [2, 2]


def test_a_trial_writes_nothing(tmp_path):
    fit_in(tmp_path, LastCheckpoint(dirpath=tmp_path / "last"), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_loggers_are_on_disk_before_a_checkpoint_and_told_of_it():
    called = Mock()
    last = LastCheckpoint()
    last.last_model_path = "last.ckpt"
    trainer = SimpleNamespace(fast_dev_run=False, global_step=3, is_global_zero=True, loggers=[called.logger])
    trainer.save_checkpoint = called.write
    last._write(trainer)
    written = call.write("last.ckpt", weights_only=False)
    assert called.mock_calls == [call.logger.save(), written, call.logger.after_save_checkpoint(last)]
    trainer.is_global_zero = False
    last._write(trainer)
    assert called.mock_calls[3:] == [written]
    assert (last.best_model_path, last._saved_step) == ("", 3)


@pytest.mark.parametrize("is_first", [False, True])
def test_the_best_checkpoint_is_not_the_last(is_first, tmp_path):
    """`ckpt_path="best"` reads the first callback that saves."""
    saver = ModelCheckpoint(tmp_path / "best", monitor="train/loss", mode="max")
    callbacks = [LastCheckpoint(), saver] if is_first else [saver, LastCheckpoint()]
    trainer = fit_in(tmp_path, *callbacks)
    assert [type(each) for each in trainer.checkpoint_callbacks] == [ModelCheckpoint, LastCheckpoint]
    trainer.validate(ckpt_path="best", dataloaders=EMPTY)
    assert trainer.ckpt_path == saver.best_model_path != ""
    alone = fit_in(tmp_path / "alone", LastCheckpoint())
    assert best_of_run(alone).endswith("last.ckpt")
    refused(ValueError, "not configured to save the best", alone.validate, ckpt_path="best", dataloaders=EMPTY)


@pytest.mark.parametrize("kind", [Stops, LastCheckpoint, BestCheckpoint])
def test_files_are_written_atomically_unless_by_a_class_of_the_users_own(kind, tmp_path):
    for files, used in ((TorchCheckpointIO(), AtomicCheckpointIO), (AsyncCheckpointIO(), AsyncCheckpointIO)):
        trainer = trainer_in(tmp_path)
        trainer.strategy.checkpoint_io = files
        kind().setup(trainer, None, "validate")
        assert type(trainer.strategy.checkpoint_io) is used


def test_a_save_that_fails_leaves_the_error_as_it_was(tmp_path, monkeypatch, info_log):
    fail = LambdaCallback(on_train_batch_start=Mock(side_effect=2 * [None, RuntimeError("a mistake of the user's")]))
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", Mock(side_effect=OSError("no space left")))
    refused(RuntimeError, "a mistake", fit_in, tmp_path, fail, Stops(), LastCheckpoint(dirpath=tmp_path))
    assert info_log.messages.count("not saved: no space left") == 1
    assert info_log.messages[-2:] == ["not saved: no space left", "ended in step 1; saved after step 0: nothing"]
    monkeypatch.setattr(LastCheckpoint, "_write", Mock(side_effect=KeyError("a bug")))
    refused(KeyError, "a bug", fit_in, tmp_path, fail, LastCheckpoint(dirpath=tmp_path))
    with folder_lock(tmp_path):  # the folder is free again
        pass


@pytest.mark.parametrize(("error", "saves"), [(SystemExit(143), True), (RuntimeError("of this rank alone"), False)])
def test_an_error_lets_the_step_be_saved_if_all_ranks_have_it(error, saves, monkeypatch):
    """`Stops` exits at one step on all ranks."""
    monkeypatch.setattr(loops, "is_resumable", lambda trainer: True)
    last = LastCheckpoint()
    last._write = Mock()
    last.save(SimpleNamespace(global_step=1, world_size=2), error)
    assert last._write.called == saves


def test_a_run_ends_after_a_whole_step(tmp_path):
    """A stop that comes between accumulated batches waits for the others."""
    ends = LambdaCallback(on_train_batch_end=lambda trainer, *_: setattr(trainer, "should_stop", True))
    trainer = trainer_in(tmp_path, ends, LastCheckpoint(dirpath=tmp_path), accumulate_grad_batches=2)
    trainer.fit(tiny_simsiam(), loader(16, 4, frames=2, size=32))
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == trainer.global_step == 1


def spoil_weights(trainer, module, *_):
    if trainer.global_step == 2:
        module.backbone.conv1.weight.data[0, 0, 0, 0] = float("inf")


NOT_FINITE = [
    (Spoil(step=2), r"step 2 \(epoch 1, batch 0\): the loss is nan", 2),
    (LambdaCallback(on_train_batch_end=spoil_weights), r"step 2: 1 weights hold .* \(backbone\.conv1\.weight", 1),
]


@pytest.mark.parametrize(("spoil", "message", "kept"), NOT_FINITE, ids=["loss", "weights"])
def test_what_is_not_finite_replaces_no_checkpoint(spoil, message, kept, tmp_path):
    refused(TrainingStopped, message, fit_in, tmp_path, spoil, Stops(), LastCheckpoint(1, tmp_path), max_epochs=2)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == kept


def disk_of(path):
    """Return the folder at which the disk of a path is mounted."""
    return next(str(place) for place in path.parents if os.path.ismount(place))


def test_a_failed_write_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a/b/x.ckpt"
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.fstat(file).st_size))
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)
    assert flushed == [path.stat().st_size]

    full = rf"^{path} could not be written: the disk at {disk_of(path)} is full$"
    for count in (2, 100_000):  # the disk is found to be full as the file is closed, or while torch writes it
        monkeypatch.setattr(Path, "open", lambda *_: io.FileIO("/dev/full", "wb"))
        refused(FullDisk, full, AtomicCheckpointIO().save_checkpoint, {"a": torch.zeros(count)}, path)
        monkeypatch.undo()
    monkeypatch.setattr(torch, "save", Mock(side_effect=RuntimeError("[enforce fail at inline_container.cc:671]")))
    refused(FullDisk, full, AtomicCheckpointIO().save_checkpoint, {"a": 2}, path)
    monkeypatch.setattr(torch, "save", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    refused(OSError, r"x\.ckpt could not be written: .*Input/output", AtomicCheckpointIO().save_checkpoint, {}, path)
    monkeypatch.undo()
    assert AtomicCheckpointIO().load_checkpoint(path, weights_only=True) == {"a": 1}
    assert os.listdir(path.parent) == ["x.ckpt"]
    remote = Mock()
    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", remote)
    AtomicCheckpointIO().save_checkpoint({"a": 1}, "s3://a.ckpt", "options")
    remote.assert_called_once_with({"a": 1}, "s3://a.ckpt", "options")


def test_what_is_written_can_be_read_back(tmp_path):
    """A schedule over an array makes its rates numpy's; types of no data are refused."""
    content = {"lr_schedulers": [{"base_lrs": [np.float64(0.5)], "steps": np.int64(3)}], "names": OrderedDict(a=None)}
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "a.ckpt")
    read = AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")
    assert read == {"lr_schedulers": [{"base_lrs": [0.5], "steps": 3}], "names": OrderedDict(a=None)}
    for kind in (pl.LightningModule, pl.LightningDataModule):
        key = kind.CHECKPOINT_HYPER_PARAMS_KEY
        AtomicCheckpointIO().save_checkpoint({key: {"roots": [tmp_path]}}, tmp_path / "a.ckpt")
        assert AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt") == {key: {"roots": [str(tmp_path)]}}
    states = {"when": date(2026, 12, 1), "took": timedelta(hours=1), "means": np.array([0.5, 2])}
    AtomicCheckpointIO().save_checkpoint(states, tmp_path / "a.ckpt")
    read = AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")
    assert read.pop("means").tolist() == [0.5, 2]
    assert read == {"when": "2026-12-01", "took": 3600.0}
    for value in (tmp_path, Fraction(1, 2), np.array([None])):
        message = r"b\.ckpt: no checkpoint can hold [\w., ]+: take plain"
        refused(ValueError, message, AtomicCheckpointIO().save_checkpoint, {"a": [value]}, tmp_path / "b.ckpt")
    assert os.listdir(tmp_path) == ["a.ckpt"]


class Keeps(pl.Callback):
    """A user's callback with a state."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return {"state": self.state}


class WithArgument(VFSSimSiam):
    def __init__(self, loss: object) -> None:
        super().__init__(**TINY)
        self.save_hyperparameters("loss")


UNSAVABLE = {"Keeps.state_dict": (0, Fraction(1, 2)), "WithArgument: argument loss": (Fraction(1, 2), np.zeros(2))}
"""What a message names → an argument of the module, and the state of a callback."""


@pytest.mark.parametrize("named", UNSAVABLE)
def test_what_no_checkpoint_can_hold_is_asked_before_the_first_step(named, tmp_path):
    argument, state = UNSAVABLE[named]
    trainer = trainer_in(tmp_path, Keeps(state), LastCheckpoint(dirpath=tmp_path))
    module = WithArgument(argument)
    line = f"^{named}: no checkpoint can hold fractions.Fraction: take plain numbers and texts$"
    refused(ValueError, line, trainer.fit, module, loader(8, 4, frames=2, size=32), EMPTY)
    assert trainer.global_step == 0


def test_no_path_of_a_checkpoint_is_followed(tmp_path, caplog):
    """Lightning's callbacks remove files by names that come from the checkpoint that a run resumes from."""
    kept, other, files = tmp_path / "kept", tmp_path / "other", AtomicCheckpointIO()
    files.save_checkpoint({}, kept / "ours.ckpt")
    (kept / "folder.ckpt").mkdir()
    (kept / "notes.txt").write_text("a user's")
    other.mkdir()
    (other / "notes.ckpt").write_text("a user's")
    (kept / "linked.ckpt").symlink_to(other / "notes.ckpt")
    before = {*tmp_path.rglob("*")}
    names = [kept / name for name in ("folder.ckpt", "linked.ckpt", "notes.txt", "../other/notes.ckpt")]
    addresses = [f"{prefix}{other}" for prefix in ("local://", "file://", "simplecache::file://")]
    for path in [other, other / "notes.ckpt", *names, *addresses]:
        files.remove_checkpoint(path)
        assert {*tmp_path.rglob("*")} == before
        assert caplog.messages.pop() == f"{path} is not removed: it is no checkpoint of this run"
    files.remove_checkpoint(kept / "ours.ckpt")
    assert before - {*tmp_path.rglob("*")} == {kept / "ours.ckpt"}


STATES = json.loads(Path(__file__).with_name("states.json").read_text())
"""The state of a run, as Lightning saves it; and place in it → values of another form.

What only its reader knows is in faults/test_state_of_a_run.py.
"""


@pytest.mark.parametrize("place", STATES["wrong"])
def test_a_state_of_another_form_is_one_line(place):
    require_state(STATES["state"], "x.ckpt")
    for value in STATES["wrong"][place]:
        changed = copy.deepcopy(STATES["state"])
        *above, name = place.split(".")
        reduce(getitem, above, changed)[name] = value
        line = refused(ValueError, "x.ckpt: is damaged: its state of a run, ", require_state, changed, "x.ckpt")
        assert "\n" not in line


def test_a_state_of_a_schedule_that_counts_otherwise_is_taken():
    """Those of timm, and torch's `ChainedScheduler`; without its place one of torch would begin anew."""
    for schedule in ({"param_group_field": "lr", "base_values": [0.1]}, {"_schedulers": [{"last_epoch": 2}]}):
        state = STATES["state"] | {"lr_schedulers": [schedule]}
        assert require_state(state, "x.ckpt") == state
    state = STATES["state"] | {"lr_schedulers": [{"_step_count": 3}]}
    refused(ValueError, "lr_schedulers, is missing or of another form", require_state, state, "x.ckpt")
