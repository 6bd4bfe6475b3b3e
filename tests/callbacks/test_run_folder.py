"""Checkpoints are written as a unit, and the newest is found; loggers that continue; a run's end."""

import os
import time
from pathlib import Path

import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.run_folder import continued_logger, newest_checkpoint
from cli import main
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
