"""Monitors of a training: collapse and negatives, and its speed."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.functional import normalize

from vidcorr.lightning_modules.parts.distributed import means_over_ranks
from vidcorr.loops import accumulates, logged_step
from vidcorr.videos.files import require_at_least

from .run_folder import log_now

MOST_EMBEDDINGS = 1024
"""Number of embeddings of a step that are measured."""
SLOW = 0.3
"""Fraction of the time for data that deserves a warning."""
LOGGED = ("positive_similarity", "negative_similarity", "queue_age")
"""Outputs of a step that are logged beside the spread."""


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
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"expected embeddings (N, D) with N of at least 2, got {tuple(embeddings.shape)}")
    return normalize(embeddings.float()).std(dim=0).mean() * embeddings.shape[1] ** 0.5


class CollapseMonitor(Callback):
    """Log the spread of a step's embeddings, and warn when they collapse to a point.

    Logs `monitor/embedding_std` (`embedding_spread`), and if a step returns them `monitor/positive_similarity`,
    `monitor/negative_similarity`, `monitor/queue_age` (age of the oldest key in optimiser steps). Ranks measure their
    embeddings separately; the mean over ranks is logged, once, whatever `log_every_n_steps` is.

    Args:
        every_n_steps: optimiser steps between checks.
        warn_below: a smaller spread counts as collapsed.
        patience: consecutive collapsed checks before the warning; a network may pass through a collapse early.

    Raises:
        ValueError: for a number below 1; at a check, if a step returns outputs without `embeddings`, `(N, D)`.
    """

    def __init__(self, every_n_steps: int = 50, warn_below: float = 0.1, patience: int = 3) -> None:
        require_at_least(1, "CollapseMonitor", every_n_steps=every_n_steps, patience=patience)
        self.every_n_steps = every_n_steps
        self.warn_below = warn_below
        self.patience = patience
        self._collapsed = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier fit."""
        self._collapsed = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Log and warn every few optimiser steps, at the last batch of a step."""
        step = trainer.global_step
        if not outputs or step % self.every_n_steps or accumulates(trainer):
            return
        if "embeddings" not in outputs:
            raise ValueError(f"CollapseMonitor: {type(pl_module).__name__} gives no embeddings; leave the monitor out")
        measured = {name: outputs[name] for name in LOGGED if name in outputs}
        embeddings = outputs["embeddings"][:MOST_EMBEDDINGS]
        measured["embedding_std"] = embedding_spread(embeddings)
        values = {f"monitor/{name}": value.float() for name, value in measured.items()}
        _log_measured(trainer, values)
        spread = float(measured["embedding_std"])
        self._collapsed = self._collapsed + 1 if spread < self.warn_below else 0
        # once per collapse
        if self._collapsed == self.patience:
            rank_zero_warn(
                f"step {step}: the embeddings have collapsed: their spread is {spread:.3f} (1 is even, 0 is one point) "
                f"and was below {self.warn_below} at {self.patience} checks in a row; a lower learning rate, BatchNorm "
                "in the heads or larger batches may help"
            )


def _log_measured(trainer: Trainer, values: dict[str, Tensor]) -> None:
    """Log the means over the ranks of scalars, name → scalar, at the step where Lightning logs the present loss.

    Every rank must call it, with the same names.
    """
    means = means_over_ranks(values, trainer.strategy.root_device)
    log_now(trainer, {name: float(mean) for name, mean in means.items()}, logged_step(trainer))


class Throughput(Callback):
    """Log the speed of training since the last log, or since the last validation.

    Logs, every `trainer.log_every_n_steps` optimiser steps, `time/step` (seconds per optimiser step), `time/data` (the
    fraction of the time, 0 to 1, spent waiting for the loader; needs a loader that reports it, such as
    `VideoDataModule`'s) and `time/clips_per_second` (over all ranks). The first batch of the run, and the first after
    a validation, are left out: they wait for workers and the choice of kernels. The callback waits for no device.

    A warning with advice appears once, when waiting takes more than `SLOW` of the time between two logs.
    """

    def __init__(self) -> None:
        self._warned = False
        # time of the last log, the seconds that the loader had waited by then, and the batches since
        self._since: float | None = None
        self._waited_before = 0.0
        self._batches = 0

    def on_train_batch_end(self, trainer: Trainer, *args: object, **options: object) -> None:
        """Count the batch, and log every few steps; the first batch after a pause only starts the clock."""
        now = time.perf_counter()
        loader: Any = trainer.train_dataloader
        waited = getattr(loader, "waited", None)
        if self._since is not None:
            self._batches += 1
            every = trainer.log_every_n_steps  # type: ignore[attr-defined]
            if accumulates(trainer) or not every or trainer.global_step % every:
                return
            seconds = now - self._since
            values = {"time/step": seconds / self._batches * trainer.accumulate_grad_batches}
            size = getattr(loader, "batch_size", None)
            if size is not None:
                values["time/clips_per_second"] = size * self._batches * trainer.world_size / seconds
            if waited is not None:
                values["time/data"] = (waited - self._waited_before) / seconds
                self._warn_if_slow(values["time/data"], loader.num_workers)
            _log_measured(trainer, {name: torch.tensor(value) for name, value in values.items()})
        self._since = now
        self._waited_before = waited or 0.0
        self._batches = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock at the next batch, so that validations and benchmarks do not count."""
        self._since = None

    on_fit_start = on_validation_end

    def _warn_if_slow(self, fraction: float, workers: int) -> None:
        if fraction > SLOW and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"{fraction:.0%} of the time goes into waiting for data: raise data.num_workers (now {workers}) up to "
                "the number of cores, or make the videos cheaper to decode (docs/troubleshooting.md)"
            )
