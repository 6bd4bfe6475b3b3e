"""Callbacks of Lightning that do not continue by themselves what they began before a stop (release 2.6.6)."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging


def continue_callbacks(
    trainer: pl.Trainer, pl_module: pl.LightningModule, states: Mapping[str, Any], within_epoch: bool
) -> None:
    """Bring callbacks that act when an epoch begins to where they were before the stop; called when training begins.

    Args:
        trainer: with optimisers and counters of the checkpoint.
        pl_module: the module.
        states: key → state of the callbacks in the checkpoint.
        within_epoch: the run resumes within an epoch, for which `on_train_epoch_start` is not called again.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler) and within_epoch:
            callback.on_train_epoch_start(trainer)
        elif isinstance(callback, StochasticWeightAveraging):
            _continue_average(trainer, pl_module, callback, states.get(callback.state_key) or {})


def _continue_average(
    trainer: pl.Trainer, pl_module: pl.LightningModule, callback: StochasticWeightAveraging, state: Mapping[str, Any]
) -> None:
    """Put the schedule of an average that has begun in place of the module's, without moving the learning rate.

    Lightning does so when the next epoch begins, and never in the pass for BatchNorm after the last epoch. The
    constructor of the schedule moves the rates.
    """
    if state.get("scheduler_state") is None:
        return
    (optimizer,) = trainer.optimizers
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    progress = trainer.fit_loop.epoch_progress.current
    epoch = progress.completed  # the trainer's current epoch
    progress.completed = state["latest_update_epoch"]  # an epoch whose weights are in the average
    callback.on_train_epoch_start(trainer, pl_module)
    progress.completed = epoch
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        group.update(saved)
