"""Monitors of a training: collapse and negatives, its speed, and its progress."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.functional import normalize

from datamodules.loading.loader import ResumableLoader
from lightning_modules.base import CorrespondenceModule
from vidcorr.functional.device import PendingCopy
from vidcorr.signals import ProgressReport
from vidcorr.videos.files import require_at_least

from .safeguards import accumulates

MOST_EMBEDDINGS = 1024
"""Number of embeddings of a step that are measured."""
SLOW = 0.3
"""Fraction of the time for data that deserves a warning."""
LOGGED = ("positive_similarity", "negative_similarity", "queue_age")


def embedding_spread(embeddings: Tensor) -> Tensor:
    """Compute the standard deviation of l2-normalised embeddings, mean over the channels, times √D.

    0 if all embeddings are equal, 1 if they are spread evenly over the sphere.
    Paper: SimSiam (Chen and He, CVPR 2021), section 4.1, Figure 2.

    Args:
        embeddings: `(N, D)`.

    Returns:
        Scalar.

    Raises:
        ValueError: if the embeddings are not `(N, D)` with N ≥ 2.

    Example:
        >>> import torch
        >>> embedding_spread(torch.eye(2).repeat(8, 1)).round(decimals=2)
        tensor(0.7300)
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"expected embeddings (N, D) with N of at least 2, got {tuple(embeddings.shape)}")
    return normalize(embeddings.float(), dim=1).std(dim=0).mean() * embeddings.shape[1] ** 0.5


class CollapseMonitor(pl.Callback):
    """Log the spread of a step's embeddings, and warn when they collapse to a point.

    Logs `monitor/embedding_std` (`embedding_spread`), and if a step returns them `monitor/positive_similarity`,
    `monitor/negative_similarity`, `monitor/queue_age` (age of the oldest key in optimiser steps). Ranks measure their
    embeddings separately; the mean over ranks is logged.

    Args:
        every_n_steps: optimiser steps between checks.
        warn_below: a smaller spread counts as collapsed.
        patience: consecutive collapsed checks before the warning; a network may pass through a collapse early.
    """

    def __init__(self, every_n_steps: int = 50, warn_below: float = 0.1, patience: int = 3) -> None:
        require_at_least(1, "CollapseMonitor", every_n_steps=every_n_steps, patience=patience)
        self.every_n_steps = every_n_steps
        self.warn_below = warn_below
        self.patience = patience
        self._collapsed = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier fit of the same callback."""
        self._collapsed = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Log and warn every few steps."""
        step = trainer.global_step
        if step % self.every_n_steps or accumulates(trainer):
            return
        if not isinstance(outputs, Mapping) or "embeddings" not in outputs:
            raise ValueError(
                f"CollapseMonitor: a training step of {type(pl_module).__name__} returns no embeddings; "
                "leave the monitor out"
            )
        seen = {name: outputs[name] for name in LOGGED if name in outputs}
        embeddings = outputs["embeddings"][:MOST_EMBEDDINGS]
        seen["embedding_std"] = embedding_spread(embeddings)
        values = {f"monitor/{name}": value.float() for name, value in seen.items()}
        pl_module.log_dict(values, on_step=True, on_epoch=False, sync_dist=True)
        spread = float(seen["embedding_std"])
        self._collapsed = self._collapsed + 1 if spread < self.warn_below else 0
        if self._collapsed == self.patience:
            rank_zero_warn(
                f"step {step}: the embeddings have collapsed: their spread is {spread:.3f} (1 is even, 0 is one point) "
                f"and was below {self.warn_below} at {self.patience} checks in a row; a lower learning rate, BatchNorm "
                "in the heads or larger batches may help"
            )


class Throughput(pl.Callback):
    """Log the speed of training since the last log, or since the last validation.

    Logs, every `trainer.log_every_n_steps` optimiser steps, `time/step` (seconds per optimiser step), `time/data` (the
    fraction of the time, 0 to 1, spent waiting for the loader; needs a loader that reports it, such as
    `VideoDataModule`'s) and `time/clips_per_second` (over all ranks). The first batch of the run and after a validation
    is left out: it waits for workers and the choice of kernels. The callback never waits for the device.

    A warning with advice appears once, when waiting takes more than `SLOW` of the time twice in a row.
    """

    def __init__(self) -> None:
        self._slow_looks = 0
        self._hinted = False
        self._since: float | None = None
        self._waited = 0.0
        self._batches = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count the batch, and log every few steps."""
        now = time.perf_counter()
        step = trainer.global_step
        loader = trainer.train_dataloader
        waited = loader.waited if isinstance(loader, ResumableLoader) else 0.0
        if self._since is not None:
            self._batches += 1
            if accumulates(trainer) or not trainer.log_every_n_steps or step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
                return
            seconds = now - self._since
            values = {"time/step": seconds / self._batches * trainer.accumulate_grad_batches}
            size = getattr(loader, "batch_size", None)
            if size is not None:
                values["time/clips_per_second"] = size * self._batches * trainer.world_size / seconds
            if isinstance(loader, ResumableLoader):
                values["time/data"] = (waited - self._waited) / seconds
                self._hint(values["time/data"], loader.num_workers)
            pl_module.log_dict(values, on_step=True, on_epoch=False, sync_dist=True)
        self._since = now
        self._waited = waited
        self._batches = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restart the clock at the next batch, so that validations and benchmarks do not count."""
        self._since = None

    on_train_end = on_validation_end

    def _hint(self, fraction: float, workers: int) -> None:
        self._slow_looks = self._slow_looks + 1 if fraction > SLOW else 0
        if self._slow_looks == 2 and not self._hinted:
            self._hinted = True
            rank_zero_warn(
                f"{fraction:.0%} of the time goes into waiting for data: raise data.num_workers (now "
                f"{workers}) up to the number of cores, or make the videos cheaper to "
                "decode: vidcorr transcode SOURCE DESTINATION"
            )


def as_number(value: Tensor | float) -> float:
    """Return a scalar as a number; for a tensor of a device this waits."""
    return float(PendingCopy(value).wait()) if isinstance(value, Tensor) else float(value)


class RunProgress(ProgressBar):
    """Show a single bar for an entire `fit`: optimiser steps, rate, remaining time, loss; without a terminal, lines.

    Values that a module logs with `prog_bar=True` follow the loss.

    Validation and benchmarks count into the rate, hence into the remaining time. Benchmarks show separate bars.

    Args:
        every: seconds between lines without a terminal; the first comes within 5.
    """

    def __init__(self, every: float = 30.0) -> None:
        super().__init__()
        self.every = every
        self._silent = False
        self._report = ProgressReport("", None, silent=True)
        self._newest: Callable[[], str] = str  # values of the newest step

    def disable(self) -> None:
        """Show nothing (Lightning calls it on all ranks but the first)."""
        self._silent = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar at the progress of the run."""
        steps = trainer.estimated_stepping_batches
        if isinstance(pl_module, CorrespondenceModule):
            steps = pl_module.total_steps()
        total = None if math.isinf(steps) else int(steps)
        self._report = ProgressReport("training", total, "steps", trainer.global_step, self.every, self._silent)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Count the optimiser's steps."""
        if trainer.global_step != self._report.done:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs

            def values() -> str:  # called only when the line is drawn: reading a value waits for the device
                shown: dict[str, Any] = {}
                if loss is not None:
                    shown["loss"] = loss
                for name, value in trainer.progress_bar_metrics.items():
                    if name != "train/loss":
                        shown[name] = value
                return ", ".join(f"{name} {as_number(value):.4g}" for name, value in shown.items())

            self._newest = values
            self._report.advance(values, trainer.global_step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar in `validate`; a benchmark alone has a stand-in batch and a separate bar."""
        self._report.clear()
        if trainer.state.fn == "validate":
            batches = sum(trainer.num_val_batches)
            total = None if math.isinf(batches) else int(batches)
            silent = self._silent or batches <= 1
            self._report = ProgressReport("validating", total, "batches", 0, self.every, silent)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        """Count the batches."""
        if trainer.state.fn == "validate":
            self._report.advance()

    def on_train_end(self, *_: object, **__: object) -> None:
        """Show the last step without a terminal; remove the bar on one."""
        self._report.finish(self._newest)

    def on_validation_end(self, *_: object, **__: object) -> None:
        """Remove the bar before other output, such as the message of an error."""
        self._report.clear()

    on_exception = on_validation_end
