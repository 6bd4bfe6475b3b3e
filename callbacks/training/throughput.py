"""The speed of a training, and the fraction of its time that it waits for data."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn


class Throughput(pl.Callback):
    """Log the speed of training since the last time it was logged; validation and benchmarks do not count.

    Logs, every `trainer.log_every_n_steps` optimiser steps, `time/step` (seconds per optimiser step), `time/data` (the
    fraction of them, 0 to 1, spent waiting for the loader; only for loaders that report it, as `VideoDataModule`'s
    does) and `time/clips_per_second` (over all ranks). The first batch is left out: it waits for workers to start and
    kernels to be chosen. Nothing here waits for the device.

    Args:
        warn_above: fraction of the time; when more of it is spent waiting for data twice in a row, one warning says
            what to do.
    """

    def __init__(self, warn_above: float = 0.3) -> None:
        if not 0 < warn_above <= 1:
            raise ValueError(f"Throughput: warn_above is {warn_above}, it must be a fraction in (0, 1]")
        self.warn_above = warn_above
        self._slow_looks = 0
        self._hinted = False
        self._since: float | None = None
        self._paused = 0.0
        self._waited = 0.0
        self._batches = self._step = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and log every few steps."""
        now, step, loader = time.perf_counter(), trainer.global_step, trainer.train_dataloader
        if self._since is None:
            self._begin(now, step, loader)
            return
        self._batches += 1
        if step == self._step or not trainer.log_every_n_steps or step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        seconds = now - self._since
        per_step = seconds / self._batches * trainer.accumulate_grad_batches
        pl_module.log("time/step", per_step, on_step=True, on_epoch=False, sync_dist=True)
        if (size := getattr(loader, "batch_size", None)) is not None:
            speed = size * self._batches * trainer.world_size / seconds
            pl_module.log("time/clips_per_second", speed, on_step=True, on_epoch=False, sync_dist=True)
        if (waited := getattr(loader, "waited", None)) is not None:
            fraction = (waited - self._waited) / seconds
            pl_module.log("time/data", fraction, on_step=True, on_epoch=False, sync_dist=True)
            self._hint(fraction, getattr(loader, "num_workers", 0))
        self._begin(now, step, loader)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        if self._since is not None:
            self._since += time.perf_counter() - self._paused

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the state of this run."""
        self._since, self._slow_looks = None, 0

    def _begin(self, now: float, step: int, loader: Any) -> None:
        self._since, self._step, self._batches = now, step, 0
        self._waited = getattr(loader, "waited", 0.0)

    def _hint(self, fraction: float, workers: int) -> None:
        self._slow_looks = self._slow_looks + 1 if fraction > self.warn_above else 0
        if self._slow_looks >= 2 and not self._hinted:
            self._hinted = True
            rank_zero_warn(
                f"{fraction:.0%} of the time goes into waiting for data: raise data.num_workers (now {workers}) "
                "up to the cores there are, or make the videos cheaper to decode: vidcorr transcode SOURCE DESTINATION"
            )
