"""The progress bar of an entire training."""

import math
import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from datamodules.reading.files import ProgressReport


class RunProgress(ProgressBar):
    """Show one bar for an entire `fit`: optimiser steps done, rate, remaining time, loss; without a terminal, lines.

    Validation and benchmarks count into the rate, hence into the remaining time. Evaluations show their own progress.

    Args:
        every: seconds from one line to the next where there is no terminal.
    """

    def __init__(self, every: float = 30.0) -> None:
        super().__init__()
        if every <= 0:
            raise ValueError(f"RunProgress: every is {every} seconds, it must be more than 0")
        self.every = every
        self._report: ProgressReport | None = None
        self._enabled = True

    def enable(self) -> None:
        """Show progress (Lightning calls it on the first rank)."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing (Lightning calls it on the other ranks)."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar at the progress of the run."""
        steps = trainer.estimated_stepping_batches
        total = None if math.isinf(steps) else int(steps)
        silent = not self._enabled
        self._report = ProgressReport("training", total, "steps", trainer.global_step, self.every, silent)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the optimiser's steps."""
        if self._report is not None and trainer.global_step != self._report.done:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            # the loss is read only where it is shown: reading it waits for the device
            self._report.advance(lambda: "" if loss is None else f"loss {float(loss):.3f}", trainer.global_step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar in `validate`; a benchmark alone has one stand-in batch and its own bar."""
        if self._report is not None:
            self._report.clear()
        batches = sum(trainer.num_val_batches)
        if trainer.state.fn == "validate" and batches > 1:
            total = None if math.isinf(batches) else int(batches)
            self._report = ProgressReport("validating", total, "batches", 0, self.every, not self._enabled)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Count the batches."""
        if self._report is not None and trainer.state.fn == "validate":
            self._report.advance()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar of a validation."""
        if trainer.state.fn == "validate":
            self._end()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar, so that the message stands alone."""
        self._end()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        kwargs.setdefault("file", sys.stderr)
        print(*args, **kwargs)

    def _end(self) -> None:
        if self._report is not None:
            self._report.clear()
            self._report = None
