"""The folder of a run: a run claims it, its loggers write there."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from vidcorr.experiments.runs import FILE, Run

OF_A_REFUSAL = (FILE, "events.out.", "hparams.yaml", "metrics.csv", ".in-use")
"""Beginnings of the names of files that a run has written when it is refused."""


def run_folder(trainer: pl.Trainer) -> Path:
    """Return the folder of a run, where Lightning also puts checkpoints; all ranks must call it.

    It is the folder of the first logger: `log_dir` of TensorBoard and CSV, `save_dir/NAME/VERSION` of others (project
    and id of a W&B run). Without a logger it is `default_root_dir`.
    """
    return Path(trainer.strategy.broadcast(str(_folder_of_rank(trainer))))


def _folder_of_rank(trainer: pl.Trainer) -> Path:
    """Return the folder of a run as this rank names it."""
    logger = trainer.logger
    if logger is None:
        return Path(trainer.default_root_dir)
    if isinstance(logger, TensorBoardLogger | CSVLogger):
        return Path(logger.log_dir)
    return Path(logger.save_dir or trainer.default_root_dir, str(logger.name), _version_of(logger))


def _version_of(logger: Logger) -> str:
    """Return the last part of the folder of a logger."""
    return logger.version if isinstance(logger.version, str) else f"version_{logger.version}"


def claim_folder(trainer: pl.Trainer, run: Run, continued: Path | None) -> Path | None:
    """Give a run a folder in which no other run has begun; the first rank calls it, before the run.

    Under SLURM, Lightning names the folder by the job: a second run of the job gets `version_41-1`. Without a logger a
    second run gets `run-1` in the root. CSV's logger deletes what it has written before, so there a run that goes on
    gets a new folder too.

    Args:
        trainer: the trainer; its logger of TensorBoard or CSV then writes there, further ones of CSV to new folders.
        run: the run that begins.
        continued: folder of the run that goes on in it, or None.

    Returns:
        The folder, with `run.json`; None for a logger that names its folder only when it begins, as W&B's does.
    """
    logger = trainer.logger
    for other in trainer.loggers[1:]:
        if isinstance(other, CSVLogger):
            _take_version(other, lambda folder: not (folder / "metrics.csv").exists())

    def take(folder: Path) -> bool:
        return folder.resolve() == continued or run.claim(folder)

    if continued is not None and isinstance(logger, TensorBoardLogger) and logger._version is None:
        goes_on_there = Path(logger.root_dir).expanduser().resolve() == continued.parent
        logger._version = continued.name if goes_on_there else None
    if isinstance(logger, TensorBoardLogger | CSVLogger):
        return _take_version(logger, run.claim if isinstance(logger, CSVLogger) else take)
    if logger is not None:
        return None
    root = Path(trainer.default_root_dir)
    folders = chain([root], (root / f"run-{number}" for number in count(1)))
    folder = next(filter(take, folders))
    trainer._default_root_dir = str(folder)  # type: ignore[attr-defined]
    return folder


def _take_version(logger: TensorBoardLogger | CSVLogger, take: Callable[[Path], bool]) -> Path:
    """Take the folder of a logger, or the first free one of `NAME-1`, `NAME-2`, …, to which it then writes.

    Args:
        logger: the logger.
        take: takes a folder; False if it is not free.
    """
    first = _version_of(logger)
    for number in count(1):
        folder = Path(logger.log_dir)
        if take(folder):
            break
        logger._version = f"{first}-{number}"
    return folder


def give_back(folder: Path, run: Run) -> None:
    """Remove what a refused run has left in the folder that it has claimed.

    Nothing is removed once the run has trained or measured, or if it goes on in the folder of an earlier one.
    """
    has_begun = (folder / "config.yaml").exists() or (folder / "benchmarks").exists()
    if has_begun or Run.read(folder).begin != run.begin:
        return
    checkpoints = folder / "checkpoints"
    for path in (*folder.iterdir(), *checkpoints.glob("*")):
        if path.name.startswith(OF_A_REFUSAL):
            path.unlink()
    for each in (checkpoints, folder):
        with suppress(OSError):  # it is missing, or holds other files
            each.rmdir()


def checkpoint_folder(trainer: pl.Trainer, dirpath: str | Path | None) -> str:
    """Return the folder of a callback's checkpoints: `dirpath`, else `checkpoints/` in the folder of the run."""
    folder = run_folder(trainer) / "checkpoints" if dirpath is None else Path(dirpath)
    return str(folder.expanduser().resolve())


def hide_logs(trainer: pl.Trainer, step: int, scores: Mapping[str, float]) -> None:
    """Hide from TensorBoard what earlier runs in the folder logged from a step on: a resumed run logs it again.

    It adds an event of a new session, as `purge_step` of TensorBoard's writer does.

    Args:
        trainer: the trainer.
        step: first step that is hidden.
        scores: scores of the trainer's step, which the resumed run does not compute again.
    """
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            start = SessionLog(status=SessionLog.START)
            logger.experiment.file_writer.add_event(Event(step=step, session_log=start))
            logger.log_metrics(dict(scores), step=trainer.global_step)


def log_now(trainer: pl.Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Give values to every logger of a run and to the callbacks that monitor them, once; all ranks may call it.

    Lightning's `log` refuses some hooks, takes its own number of a step, and logs a value of a step again until the
    epoch ends.

    Args:
        trainer: the trainer.
        values: name → value, the same on all ranks.
        step: step at which they are logged; None is the trainer's number of optimiser steps.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=trainer.global_step if step is None else step)
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})


def log_picture(trainer: pl.Trainer, tag: str, picture: NDArray[np.uint8], step: int | None = None) -> None:
    """Give a picture to every logger of a run that takes pictures.

    Args:
        trainer: trainer of the first rank.
        tag: name of the picture, with slashes.
        picture: `(H, W, 3)` uint8.
        step: step at which it is logged; None is the trainer's.
    """
    if step is None:
        step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, picture, step, dataformats="HWC")
        elif hasattr(logger, "log_image"):  # W&B's, or a user's logger with this method
            logger.log_image(tag, [picture], step=step)
