"""The run of a Trainer: its folder, whether it begins as a branch of another, and what is logged there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from vidcorr.experiments.runs.runs import Run
from vidcorr.videos.files import user_path


def run_of(trainer: Trainer) -> Run | None:
    """Return the run of a command, which the callback `RunStart` holds; None for a Trainer that no command made."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        run = getattr(callback, "run", None)
        if isinstance(run, Run):
            return run
    return None


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run, where Lightning also puts checkpoints; all ranks must call it.

    A command has made the folder of its run. Without a command it is the folder of the first logger: `log_dir` of
    TensorBoard and CSV, `save_dir/NAME/VERSION` of others (project and id of a W&B run). Without a logger it is
    `default_root_dir`.
    """
    folder = Path(trainer.default_root_dir)
    logger = trainer.logger
    if logger is not None and run_of(trainer) is None:
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        folder = Path(logger.log_dir or Path(logger.save_dir or folder, str(logger.name), version))
    return Path(trainer.strategy.broadcast(str(folder)))


def begins_branch(trainer: Trainer, checkpoint: Mapping[str, Any]) -> bool:
    """Return True if a fit by command is a new run that begins from the checkpoint of another run.

    A fit in a script has no record of a run. There every checkpoint counts as a checkpoint of the same run: False.
    """
    run = run_of(trainer)
    return trainer.state.fn == "fit" and run is not None and checkpoint.get("run", {}).get("id") != run.record.id


def checkpoint_folder(trainer: Trainer, dirpath: str | Path | None) -> str:
    """Return the folder of a callback's checkpoints: `dirpath`, else `checkpoints/` in the folder of the run."""
    folder = run_folder(trainer) / "checkpoints" if dirpath is None else Path(dirpath)
    return str(user_path(folder).resolve())


def hide_logs(trainer: Trainer, step: int, scores: Mapping[str, float]) -> None:
    """Hide from TensorBoard what an earlier run in the folder logged from `step` on; the resumed run logs it again.

    The function writes the START of a session at `step`: TensorBoard then drops earlier events of `step` and later
    steps. Other loggers are left alone. Only the first rank writes.
    """
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            start = SessionLog(status=SessionLog.START)
            logger.experiment.file_writer.add_event(Event(step=step, session_log=start))
            logger.log_metrics(dict(scores), step=trainer.global_step)


def log_now(trainer: Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Give values to every logger of a run and to the callbacks that monitor them, once; all ranks may call it.

    Lightning's `log` refuses some hooks, takes its own number of a step, and logs a value of a step again until the
    epoch ends.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=trainer.global_step if step is None else step)
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})


def log_picture(trainer: Trainer, tag: str, picture: NDArray[np.uint8], step: int | None = None) -> None:
    """Give a picture to every logger of a run that takes pictures."""
    if step is None:
        step = trainer.global_step
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, picture, step, dataformats="HWC")
        elif hasattr(logger, "log_image"):
            logger.log_image(tag, [picture], step=step)
