"""Checkpoints are written as a unit, and the newest is found; loggers that continue; a run's end."""

import errno
import os
import time
from collections import OrderedDict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import AtomicCheckpointIO, LastCheckpoint, Safeguards, TrainingStopped
from callbacks.run_folder import continued_logger, newest_checkpoint
from cli import main
from tests.helpers.refusal import refused
from tests.helpers.spoiled import Training, fit
from tests.helpers.stops import Stop, go
from tests.helpers.words import RAW_COLOUR, davis


def write(root, version, step):
    path = root / f"lightning_logs/version_{version}/checkpoints/last.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"global_step": step, "epoch": step // 5, "resume": {}, "state_dict": {}}, path)
    return path


def test_the_checkpoint_that_was_written_last_is_the_newest(tmp_path):
    paths = [write(tmp_path, version, 3) for version in range(2)] + [tmp_path / "last.ckpt"]
    paths[-1].write_bytes(paths[0].read_bytes())
    for newest in paths:
        for path in paths:
            os.utime(path, (1, 1 + (path == newest)))
        assert newest_checkpoint(tmp_path, [str(tmp_path)]) == newest
    assert newest_checkpoint(tmp_path / "empty") is None


def test_a_resumed_run_continues_in_the_folder_of_its_last_checkpoint(tmp_path):
    last, elsewhere = write(tmp_path, 7, 3), write(tmp_path / "elsewhere", 0, 3)
    best = last.with_name("best.ckpt")
    best.write_bytes(last.read_bytes())
    assert Path(continued_logger(tmp_path, last).log_dir).name == "version_7"
    assert continued_logger(tmp_path, best) is None
    assert continued_logger(tmp_path, elsewhere) is None


def logged(folder):
    """Return tag → steps and values that TensorBoard shows."""
    events = EventAccumulator(str(folder / "lightning_logs/version_0")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow
@pytest.mark.parametrize(("kill", "steps"), [(Stop("step", 4), 9), (Stop("validated", 1), 9), (None, 5)])
def test_the_logs_of_a_resumed_run_hold_no_step_twice(kill, steps, tmp_path):
    """Killed after a checkpoint between and within epochs, or ended and made longer."""

    def run(name, steps=9, **options):
        logger = TensorBoardLogger(tmp_path / name, version=0)
        go("VFSSimSiam", tmp_path / name, logger=logger, log_every_n_steps=1, max_steps=steps, **options)

    run("whole")
    run("parts", steps, stop=kill, kill=True, every=4)
    time.sleep(1 - time.time() % 1)  # TensorBoard orders the files of a second by a number as text, 10 before 9
    run("parts", start=tmp_path / "parts/last.ckpt")
    found, whole = logged(tmp_path / "parts"), logged(tmp_path / "whole")
    if kill is None:  # the benchmark also ran where the run ended
        assert found["counted/score"].pop(2)[0] == 5
    for tag in ("train/loss", "val/loss", "counted/score"):
        assert [step for step, _ in found[tag]] == [step for step, _ in whole[tag]], tag
        assert kill is None or found[tag] == whole[tag], tag  # the rates follow from the number of steps


@pytest.mark.slow
def test_a_validation_without_a_logger_leaves_an_earlier_config_alone(davis_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/config.yaml").write_text("a fit's")
    words = ["validate", *RAW_COLOUR, "--trainer.logger=false"]
    main([*words, *davis(davis_root, limit_sequences=1)])
    assert (tmp_path / "runs/config.yaml").read_text() == "a fit's"
    assert list((tmp_path / "runs/benchmarks").rglob("results.json"))


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


def test_no_path_of_a_checkpoint_is_followed(tmp_path):
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
    files.remove_checkpoint(kept / "ours.ckpt")
    assert before - {*tmp_path.rglob("*")} == {kept / "ours.ckpt"}
