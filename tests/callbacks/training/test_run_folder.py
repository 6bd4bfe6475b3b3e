"""The newest checkpoint by what the files say, and loggers that write on in the folder of a resumed run."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.training.run_folder import (
    claim_version,
    continue_in_folder,
    last_checkpoints,
    newest_run,
)


def write(root: Path, version: int, step: int, **note: Any) -> Path:
    path = root / f"lightning_logs/version_{version}/checkpoints/last.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"global_step": step, "epoch": step // 5, "resume": note, "state_dict": {}}, path)
    return path


def test_the_clock_does_not_choose(tmp_path):
    far, near = write(tmp_path, 0, 9), write(tmp_path, 1, 3)
    os.utime(far, (1, 1))  # as by a clock that was wrong
    assert last_checkpoints(tmp_path)[-1].path == far
    os.utime(near, (0, 0))
    assert last_checkpoints(tmp_path)[-1].path == far


def test_a_run_that_began_later_is_newer_than_one_with_more_steps(tmp_path):
    write(tmp_path, 0, 9, run=4)
    later = write(tmp_path, 1, 3, run=5)
    os.utime(later, (1, 1))
    assert [found.step for found in last_checkpoints(tmp_path)] == [9, 3]
    assert last_checkpoints(tmp_path)[-1].path == later
    assert newest_run(tmp_path) == 5


def test_a_damaged_file_is_named_and_does_not_hinder_a_new_run(tmp_path):
    write(tmp_path, 0, 9, run=2)
    write(tmp_path, 1, 3).write_bytes(b"PK no checkpoint")
    with pytest.raises(ValueError, match=r"version_1/checkpoints/last\.ckpt is damaged \(.*remove it, or name"):
        last_checkpoints(tmp_path)
    assert newest_run(tmp_path) == 2
    assert last_checkpoints(tmp_path / "empty") == []


def test_tensorboard_continues_in_its_folder(tmp_path):
    def scalars() -> dict[int, float]:
        events = EventAccumulator(str(tmp_path / "lightning_logs/version_0")).Reload()
        return {event.step: event.value for event in events.Scalars("loss")}

    first = TensorBoardLogger(tmp_path)
    claim_version(first)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step)
    first.finalize("success")
    path = write(tmp_path, 0, 3, versions=[0])
    second = TensorBoardLogger(tmp_path)
    continue_in_folder([second], path)
    claim_version(second)
    assert second.version == 0
    second.log_metrics({"loss": 30.0}, 3)
    second.finalize("success")
    assert scalars() == {0: 0, 1: 1, 2: 2, 3: 30}  # what was logged after the checkpoint is dropped


def test_a_csv_continues_in_its_file(tmp_path, recwarn):
    first = CSVLogger(tmp_path)
    claim_version(first)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step)
    first.log_metrics({"score": 0.5}, 2)
    first.save()
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open("a") as file:
        file.write("9.0")  # the process was killed in the middle of a line
    path = write(tmp_path, 0, 3, versions=[0])
    second = CSVLogger(tmp_path)
    continue_in_folder([second], path)
    second.log_metrics({"loss": 30.0, "more": 1.0}, 3)
    second.finalize("success")
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open() as file:
        rows = [(row["step"], row["loss"], row["score"], row["more"]) for row in csv.DictReader(file)]
    kept = [("0", "0.0", "", ""), ("1", "1.0", "", ""), ("2", "2.0", "", ""), ("2", "", "0.5", "")]
    assert rows == [*kept, ("3", "30.0", "", "1.0")]
    assert not [warning for warning in recwarn if "exists and is not empty" in str(warning.message)]


def test_another_checkpoint_begins_a_folder_of_its_own(tmp_path):
    last = write(tmp_path, 0, 3, versions=[0])
    best = last.with_name("best.ckpt")
    best.write_bytes(last.read_bytes())
    elsewhere = write(tmp_path / "elsewhere", 0, 3, versions=[0])
    for path in (best, elsewhere):
        logger = TensorBoardLogger(tmp_path)
        continue_in_folder([logger], path)
        claim_version(logger)
        assert logger.version > 0
