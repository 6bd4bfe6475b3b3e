"""Scores and pictures reach every logger of a run, TensorBoard's and CSV's, W&B's offline."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.words import RAW_COLOUR, davis, flags
from vidcorr.callbacks.run_folder import checkpoint_folder, hide_logs, log_now, log_picture, run_folder
from vidcorr.callbacks.run_start import RunStart
from vidcorr.cli import main
from vidcorr.experiments.runs.runs import Run

KEY = "davis/J&F-Mean"


def test_what_a_resumed_run_logs_again_is_hidden(tmp_path):
    board, table = TensorBoardLogger(tmp_path), CSVLogger(tmp_path, "table")
    trainer = SimpleNamespace(is_global_zero=True, loggers=[table, board], callback_metrics={})
    for step in (0, 1, 2, 3, 5, 4):
        trainer.global_step = step
        log_now(trainer, {KEY: float(step)})
    log_now(trainer, {"other": 9.0}, 0)
    assert trainer.callback_metrics == {KEY: 4, "other": 9}
    hide_logs(trainer, 3, {KEY: 0.5})
    hide_logs(SimpleNamespace(is_global_zero=False), 0, {})
    board.save()
    table.save()
    events = EventAccumulator(board.log_dir).Reload().Scalars(KEY)
    assert [(event.step, event.value) for event in events] == [(0, 0), (1, 1), (2, 2), (4, 0.5)]
    with (Path(table.log_dir) / "metrics.csv").open(newline="") as file:
        rows = {(row["step"], row[KEY], row["other"]) for row in csv.DictReader(file)}
    assert rows == {("0", "", "9.0"), *((str(step), f"{step}.0", "") for step in range(6))}


class Gallery(CSVLogger):
    """A logger with pictures and without a folder of logs, as W&B's is."""

    log_dir = None

    def log_image(self, key, images, step):
        self.pictures = [*getattr(self, "pictures", []), (key, len(images), step)]


class Nowhere(Gallery):
    save_dir = None


LOGGERS = [(False, "root"), (TensorBoardLogger("own", "a", 0, sub_dir="sub"), "own/a/version_0/sub")]
LOGGERS += [(Gallery("mine", "a", "b"), "mine/a/b"), (Nowhere("mine", "a", 3), "root/a/version_3")]


@pytest.mark.parametrize(("logger", "place"), LOGGERS)
def test_the_first_logger_names_the_folder_of_a_run(logger, place, monkeypatch):
    trainer = pl.Trainer(accelerator="cpu", logger=logger, default_root_dir="root")
    monkeypatch.setenv("HOME", "/home")
    assert run_folder(trainer) == Path(place)
    assert checkpoint_folder(trainer, None) == f"{Path.cwd()}/{place}/checkpoints"
    assert checkpoint_folder(trainer, "~/mine/../last") == "/home/last"
    trainer.callbacks = [SaveConfigCallback(None, None)]  # of a LightningCLI of one's own
    assert run_folder(trainer) == Path(place)
    trainer.callbacks.append(RunStart(None, None, Run(["fit"])))
    assert run_folder(trainer) == Path("root")  # the command has made it


def test_a_picture_goes_to_every_logger_that_takes_pictures(tmp_path):
    board, own = TensorBoardLogger(tmp_path), Gallery(tmp_path)
    trainer = pl.Trainer(accelerator="cpu", logger=[board, own, CSVLogger(tmp_path)])
    for step in (None, 7):
        log_picture(trainer, "a/b", np.zeros((2, 2, 3), np.uint8), step)
    board.save()
    drawn = EventAccumulator(board.log_dir).Reload().Images("a/b")
    assert [(event.step, event.width) for event in drawn] == [(0, 2), (7, 2)]
    assert own.pictures == [("a/b", 1, 0), ("a/b", 1, 7)]


@pytest.mark.slow
def test_wandb_offline_has_score_and_pictures(davis_root, tmp_path, monkeypatch):
    import wandb  # here: its import takes seconds

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = flags("trainer.logger", "WandbLogger", project="vidcorr", offline="true", save_dir=tmp_path)
    root = f"--trainer.default_root_dir={tmp_path}"
    main(["validate", *RAW_COLOUR, *davis(davis_root, limit_sequences=1), *logger, root])
    summary = dict(wandb.run.summary)
    wandb.finish()
    (results,) = (tmp_path / "version_0").glob("benchmarks/davis/*/results.json")
    assert (tmp_path / "version_0/config.yaml").is_file()
    assert summary[KEY] == pytest.approx(json.loads(results.read_text())["scores"]["J&F-Mean"])
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/davis/*.png"))
