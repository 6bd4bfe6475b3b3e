"""Training in two phases with different numbers of accumulated batches."""

from typing import Any

import pytorch_lightning as pl


class PhaseAccumulation(pl.Callback):
    """Set the number of batches per optimiser step by the phase; attached by `Liir`.

    Lightning's GradientAccumulationScheduler sets it at the start of an epoch only, so not in a run that is resumed
    within one.

    Args:
        warmup: batches per step while the module's `warming_up` is true; afterwards 1.
    """

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Refuse accumulation that the trainer sets itself.

        Raises:
            ValueError: one line that names the flag to take instead.
        """
        if trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches: leave it out, Liir has model.warmup_accumulation")

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Set the number for this batch."""
        trainer.accumulate_grad_batches = self.warmup if pl_module.warming_up else 1

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Restore the trainer's accumulation."""
        trainer.accumulate_grad_batches = 1
