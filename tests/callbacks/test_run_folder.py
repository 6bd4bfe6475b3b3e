"""Checkpoints are written as a unit, and the newest is found by their content; loggers that continue; a run's end."""

import csv
import errno
import os
import shlex
import shutil
from collections import OrderedDict
from datetime import timedelta

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerFn
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import AtomicCheckpointIO, BenchmarkCallback, BestCheckpoint, LastCheckpoint, Safeguards, TrainingStopped
from callbacks.command_line.runs import VidcorrCLI
from callbacks.run_folder import closing_lines, last_checkpoints, numbered_loggers
from cli import main
from tests.helpers.refusal import refused
from tests.helpers.spoiled import Training, fit
from tests.helpers.words import RAW_COLOUR, SMALL, TINY, davis, refusal
from vidcorr import DavisBenchmark


def write(root, version, step, **note):
    path = root / f"lightning_logs/version_{version}/checkpoints/last.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"global_step": step, "epoch": step // 5, "resume": note, "state_dict": {}}, path)
    return path


def test_the_number_of_the_run_and_its_steps_choose_and_the_clock_does_not(tmp_path):
    far, near = write(tmp_path, 0, 9), write(tmp_path, 1, 3)
    for times in ((1, 1), (2**31, 2**31)):  # as by a clock that was wrong
        os.utime(far, times)
        assert [found.path for found in last_checkpoints(tmp_path)] == [near, far]
    write(tmp_path, 1, 3, run=5)  # began later, and has fewer steps
    assert [found.path for found in last_checkpoints(tmp_path)] == [far, near]


def test_a_damaged_file_is_named_and_does_not_hinder_a_new_run(tmp_path):
    write(tmp_path, 0, 9, run=2)
    write(tmp_path, 1, 3).write_bytes(b"PK no checkpoint")
    with pytest.raises(ValueError, match=r"version_1/checkpoints/last\.ckpt is damaged \(.*remove it, or name"):
        last_checkpoints(tmp_path)
    assert [found.run for found in last_checkpoints(tmp_path, skip_damaged=True)] == [2]
    assert last_checkpoints(tmp_path / "empty") == []


def make(kind, folder, path=None, **arguments):
    (logger,) = numbered_loggers([(kind(folder, **arguments), {"save_dir": folder, **arguments})], path)
    return logger


def test_tensorboard_continues_in_its_folder(tmp_path):
    def scalars():
        events = EventAccumulator(str(tmp_path / "lightning_logs/version_0")).Reload()
        return {event.step: event.value for event in events.Scalars("loss")}

    first = make(TensorBoardLogger, tmp_path)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step)
    first.finalize("success")
    path = write(tmp_path, 0, 3)
    second = make(TensorBoardLogger, tmp_path, path)
    assert second.version == 0
    second.log_metrics({"loss": 30.0}, 3)
    second.finalize("success")
    assert scalars() == {0: 0, 1: 1, 2: 2, 3: 30}  # what was logged after the checkpoint is dropped


def test_a_csv_continues_in_its_file(tmp_path, recwarn):
    first = make(CSVLogger, tmp_path)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step)
    first.log_metrics({"score": 0.5}, 2)
    first.save()
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open("a") as file:
        file.write("9.0")  # the process was killed in the middle of a line
    path = write(tmp_path, 0, 3)
    second = make(CSVLogger, tmp_path, path)
    second.log_metrics({"loss": 30.0, "more": 1.0}, 3)
    second.finalize("success")
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open() as file:
        rows = [(row["step"], row["loss"], row["score"], row["more"]) for row in csv.DictReader(file)]
    kept = [("0", "0.0", "", ""), ("1", "1.0", "", ""), ("2", "2.0", "", ""), ("2", "", "0.5", "")]
    assert rows == [*kept, ("3", "30.0", "", "1.0")]
    assert not [warning for warning in recwarn if "exists and is not empty" in str(warning.message)]


def test_the_folder_is_that_of_the_last_one_and_another_checkpoint_begins_its_own(tmp_path):
    last = write(tmp_path, 7, 3)
    loggers = numbered_loggers(
        [(kind(tmp_path), {"save_dir": tmp_path}) for kind in (TensorBoardLogger, CSVLogger)], last
    )
    assert {logger.log_dir for logger in loggers} == {str(tmp_path / "lightning_logs/version_7")}
    best = last.with_name("best.ckpt")
    best.write_bytes(last.read_bytes())
    elsewhere = write(tmp_path / "elsewhere", 0, 3)
    for path in (best, elsewhere):
        assert make(TensorBoardLogger, tmp_path, path).version > 7


def test_a_validation_without_a_logger_leaves_an_earlier_config_alone(davis_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/config.yaml").write_text("a fit's")
    words = ["validate", *RAW_COLOUR, "--trainer.logger=false"]
    main([*words, *davis(davis_root, output_dir="out", limit_sequences=1)])
    assert (tmp_path / "runs/config.yaml").read_text() == "a fit's"
    assert (tmp_path / "out/results.json").is_file()


def test_the_scores_of_a_run_that_resumed_with_other_stages(davis_root, tmp_path):
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root))
    benchmark.history = {2: {"davis/res4/J&F-Mean": 0.5}, 4: {"davis/J&F-Mean": 0.6}}
    trainer = Trainer(logger=False, accelerator="cpu", callbacks=[benchmark], default_root_dir=tmp_path)
    trainer.state.fn = TrainerFn.FITTING
    assert closing_lines(trainer, lambda checkpoint: None) == []
    benchmark.history[4]["davis/res4/J&F-Mean"] = 0.75
    scores = "davis/res4/J&F-Mean 50.0 % at step 2, 75.0 % at step 4"
    assert closing_lines(trainer, str) == [scores]
    for name in "ab":
        trainer.callbacks.append(best := BestCheckpoint(f"{name}/score"))
        best.dirpath, best._scores = "kept", {f"{name}.ckpt": 1.0}
    assert closing_lines(trainer, str) == [scores, "checkpoint: kept/b.ckpt; next: kept/b.ckpt"]


class TimeOrder(DavisBenchmark):
    """A user's own benchmark."""

    default_name = "time_order"


def test_the_next_command_evaluates_as_the_run_did(davis_root, tmp_path):
    root = shutil.copytree(davis_root, tmp_path / "my data")

    def command(*words):
        return VidcorrCLI(["fit", *words, f"--trainer.default_root_dir={tmp_path}"]).next_command("a b/best.ckpt")

    other = command(*TINY, *davis(root, "DavisBenchmark", stage="res4", every_n_epochs=3))
    begins = "vidcorr validate --ckpt_path 'a b/best.ckpt' --config benchmarks"
    assert other.startswith(f"{begins}/davis.yaml --trainer.callbacks.")
    assert f" --trainer.callbacks.root '{root}'" in other
    assert "--allow" not in other  # the network lies below the working directory
    assert "every_n_epochs" not in other
    parsed = VidcorrCLI(["fit", *TINY, *shlex.split(other)[4:]]).trainer.callbacks
    (benchmark,) = [callback.benchmark for callback in parsed if isinstance(callback, BenchmarkCallback)]
    assert (benchmark.root, benchmark.stage, benchmark.protocol.radius) == (str(root), "res4", SMALL["radius"])
    assert command(*RAW_COLOUR) == f"{begins}/davis.yaml --trainer.callbacks.root FOLDER"
    assert command(*RAW_COLOUR, *davis(root, f"{__name__}.TimeOrder")) is None


class FullDisk(pl.Callback):
    """Fail as a logger does on a full disk: by an error of the system that names no file."""

    def on_validation_start(self, trainer, pl_module):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_that_no_writer_names_is_that_of_the_runs_folder(davis_root, tmp_path):
    more = [f"--trainer.callbacks+={__name__}.FullDisk", f"--trainer.default_root_dir={tmp_path}"]
    folder = tmp_path / "lightning_logs/version_0"
    line = refusal("validate", *RAW_COLOUR, *davis(davis_root), *more)
    assert line == f"vidcorr: [Errno 28] No space left on device: '{folder}'"


def test_non_finite_weights_are_not_saved(tmp_path):
    module = Training()
    module.weight = float("inf")
    with pytest.raises(TrainingStopped, match=r"step 6: 1 of 4 weights hold .* \(net\.conv\.weight, …\)"):
        fit(tmp_path, module, [Safeguards(), LastCheckpoint(4, tmp_path)])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 5  # before the epoch's last step


def test_a_failed_write_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)

    def full(content, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"x\.ckpt could not be written: No space left on device; the one before"):
        AtomicCheckpointIO().save_checkpoint({"a": 2}, path)
    monkeypatch.undo()
    assert AtomicCheckpointIO().load_checkpoint(path, weights_only=True) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.ckpt"]


def test_what_is_written_can_be_read_back(tmp_path):
    """A schedule over an array makes its rates numpy's; other types are refused by their key."""
    content = {"lr_schedulers": [{"base_lrs": [np.float64(0.5)], "steps": np.int64(3)}], "names": OrderedDict(a=None)}
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "a.ckpt")
    read = AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")
    assert read == {"lr_schedulers": [{"base_lrs": [0.5], "steps": 3}], "names": OrderedDict(a=None)}
    for value in (tmp_path, timedelta(1), {1}, slice(2), range(2), np.zeros(2)):
        message = rf"^callbacks\.Mine\.0 is a {type(value).__name__}, which no checkpoint can hold"
        content = {"callbacks": {"Mine": [value]}}
        refused(ValueError, message, AtomicCheckpointIO().save_checkpoint, content, tmp_path / "b.ckpt")
    assert os.listdir(tmp_path) == ["a.ckpt"]
