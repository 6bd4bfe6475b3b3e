"""Refusal, before a training starts, of Lightning callbacks that would break it."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.utilities.model_helpers import is_overridden

from ..benchmarks.base import BenchmarkCallback


def refuse_unsupported(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """Refuse callbacks that would end a run late, or produce weights other than their names promise.

    Raises:
        ValueError: in one line, naming the callback and what to do.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    method = type(pl_module).__name__
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, BatchSizeFinder):
            raise ValueError(
                f"{name}: the learning rate and its schedule are made for the first batch size and would stay; leave "
                "it out and try sizes by --data.batch_size with --trainer.max_steps=3"
            )
        if isinstance(callback, LearningRateFinder):
            raise ValueError(
                f"{name}: {method} scales its rate with the batch and schedules it over the run, so a rate that is "
                "found at the start is not the run's; leave it out and compare short runs with several rates"
            )
        if isinstance(callback, StochasticWeightAveraging) and is_overridden("optimizer_step", pl_module):
            raise ValueError(
                f"{name}: its last pass, for BatchNorm, makes no optimiser steps, which the queue or moving average of "
                f"{method} needs; use EMAWeightAveraging with use_buffers: false"
            )
        averages_buffers = isinstance(callback, WeightAveraging) and getattr(callback, "_use_buffers", False)
        if averages_buffers and (memory := _memory(pl_module)):
            raise ValueError(
                f"{name}: it would average {memory[0]} of {method}, whose entries are replaced and not learned; set "
                "use_buffers: false"
            )
        if isinstance(callback, ModelCheckpoint) and (benchmark := _monitored(callback, callbacks)):
            raise ValueError(
                f"{name}(monitor={callback.monitor!r}): {benchmark.name} runs every {benchmark.every_n_epochs} epochs, "
                f"{name} checks after each; use BestCheckpoint(monitor={callback.monitor!r}, mode={callback.mode!r})"
            )


def _memory(pl_module: pl.LightningModule) -> list[str]:
    """Return the names of buffers that a module fills itself on all ranks alike, as a queue of keys."""
    ignored = set(getattr(pl_module, "_ddp_params_and_buffers_to_ignore", ()))
    return [name for name, _ in pl_module.named_buffers() if name in ignored]


def _monitored(callback: ModelCheckpoint, callbacks: list[Any]) -> BenchmarkCallback | None:
    """Return the benchmark that a checkpoint monitors without waiting for it, where it does not run in each epoch."""
    if getattr(callback, "waits_for_benchmark", False) or callback.monitor is None:
        return None
    name = callback.monitor.partition("/")[0]
    found = (other for other in callbacks if isinstance(other, BenchmarkCallback) and other.name == name)
    return next((benchmark for benchmark in found if benchmark.every_n_epochs > 1), None)
