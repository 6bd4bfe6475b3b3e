"""Folder of a run, and logging of scores and pictures to all of its loggers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger


def require_pytorch_lightning(trainer: object) -> None:
    """Refuse the Trainer of the package `lightning`: its classes are others, which callbacks would take for none.

    Raises:
        ValueError: for a Trainer of another package.
    """
    if type(trainer).__module__.startswith("lightning."):
        raise ValueError("the Trainer is of lightning.pytorch: import pytorch_lightning, as this project does")


def run_folder(trainer: pl.Trainer) -> Path:
    """Return the folder of a run, where Lightning also puts checkpoints; all ranks must call it.

    It is the folder of the first logger: `log_dir` of TensorBoard and CSV, `save_dir/NAME/VERSION` of others (project
    and id of a W&B run). Without a logger it is `default_root_dir`.
    """
    logger = trainer.logger
    if logger is None or isinstance(logger, TensorBoardLogger | CSVLogger):
        return Path(trainer.log_dir or trainer.default_root_dir)
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(
        trainer.strategy.broadcast(str(Path(logger.save_dir or trainer.default_root_dir, str(logger.name), version)))
    )


def log_scores(trainer: pl.Trainer, scores: Mapping[str, float]) -> None:
    """Give scores to every logger of a run, at the trainer's step; all ranks may call it."""
    for logger in trainer.loggers if scores else ():
        logger.log_metrics(dict(scores), step=trainer.global_step)


def log_picture(trainer: pl.Trainer, tag: str, picture: NDArray[np.uint8]) -> None:
    """Give a picture to every logger of a run that takes pictures.

    Args:
        trainer: trainer of the first rank.
        tag: name of the picture, with slashes.
        picture: `(H, W, 3)` uint8.
    """
    for logger in trainer.loggers:
        experiment: Any = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):  # W&B's, or a user's logger with this method
            logger.log_image(tag, [picture], step=trainer.global_step)
        elif isinstance(logger, MLFlowLogger):
            experiment.log_image(logger.run_id, picture, key=tag, step=trainer.global_step)
        elif hasattr(experiment, "add_image"):  # TensorBoard's
            experiment.add_image(tag, picture, trainer.global_step, dataformats="HWC")
        elif hasattr(experiment, "log_image"):  # Comet's
            experiment.log_image(picture, name=tag, step=trainer.global_step)
