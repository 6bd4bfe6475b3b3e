"""Monitors of collapse and of the negatives, from the tensors that a training step returns."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.functional import normalize

LOGGED = ("positive_similarity", "negative_similarity", "queue_age")


def embedding_spread(embeddings: Tensor) -> Tensor:
    """Compute the standard deviation of l2-normalised embeddings, mean over the channels, times √D.

    0 where all embeddings are the same, 1 where they are spread evenly over the sphere.
    Paper: SimSiam (Chen and He, CVPR 2021), section 4.1, Figure 2.

    Args:
        embeddings: `(N, D)`.

    Returns:
        Scalar.

    Raises:
        ValueError: if the embeddings are not `(N, D)` with N ≥ 2.

    Example:
        >>> embedding_spread(torch.eye(2).repeat(8, 1)).round(decimals=2)
        tensor(0.7300)
    """
    _check(embeddings)
    return normalize(embeddings.float(), dim=1).std(dim=0).mean() * embeddings.shape[1] ** 0.5


def effective_rank(embeddings: Tensor) -> Tensor:
    """Compute the number of directions that embeddings take: the exponential of their singular values' entropy.

    1 where all l2-normalised embeddings lie on a line, min(N, D) where every direction has as much.
    Papers: Roy and Vetterli, EUSIPCO 2007; RankMe (Garrido et al., ICML 2023), Eq. 1.

    Args:
        embeddings: `(N, D)`.

    Returns:
        Scalar in [1, min(N, D)]; NaN where an embedding is not finite.

    Raises:
        ValueError: if the embeddings are not `(N, D)` with N ≥ 2.

    Example:
        >>> effective_rank(torch.eye(4))
        tensor(4.)
    """
    _check(embeddings)
    finite = embeddings.isfinite().all()
    values = torch.linalg.svdvals(normalize(embeddings.float().where(finite, 0.0), dim=1))
    return torch.special.entr(values / values.sum()).sum().exp().where(finite, torch.nan)


class CollapseMonitor(pl.Callback):
    """Log the spread of a step's embeddings, and warn when they collapse to one point.

    Logs `monitor/embedding_std` (`embedding_spread`), `monitor/effective_rank`, and where a step returns them
    `monitor/positive_similarity`, `monitor/negative_similarity`, `monitor/queue_age` (optimiser steps since the oldest
    key was made). Each rank measures its own embeddings; the mean over ranks is logged.

    Args:
        every_n_steps: optimiser steps between checks.
        warn_below: spread that counts as collapsed.
        patience: consecutive checks that must find it; a network may pass through this state early in training.
        max_embeddings: only the first N embeddings of a step are measured.
    """

    def __init__(
        self, every_n_steps: int = 50, warn_below: float = 0.1, patience: int = 3, max_embeddings: int = 1024
    ) -> None:
        if min(every_n_steps, patience) < 1 or max_embeddings < 2:
            raise ValueError(
                "CollapseMonitor: every_n_steps and patience must be at least 1, max_embeddings at least 2, "
                f"got {every_n_steps}, {patience} and {max_embeddings}"
            )
        self.every_n_steps, self.warn_below = every_n_steps, warn_below
        self.patience, self.max_embeddings = patience, max_embeddings
        self._last_step = 0
        self._collapsed = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier fit of the same callback."""
        self._last_step = self._collapsed = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log and warn every few steps."""
        step = trainer.global_step
        if step % self.every_n_steps or step == self._last_step:  # the second: not at each accumulated batch
            return
        self._last_step = step
        if not isinstance(outputs, Mapping) or "embeddings" not in outputs:
            raise ValueError(
                f"CollapseMonitor: a training step of {type(pl_module).__name__} returns no embeddings; "
                "leave the monitor out"
            )
        seen = {name: outputs[name] for name in LOGGED if name in outputs}
        embeddings = outputs["embeddings"][: self.max_embeddings]
        seen |= {"embedding_std": embedding_spread(embeddings), "effective_rank": effective_rank(embeddings)}
        values = {f"monitor/{name}": value.float() for name, value in seen.items()}
        pl_module.log_dict(values, on_step=True, on_epoch=False, sync_dist=True)
        self._warn(float(seen["embedding_std"]), step)

    def _warn(self, spread: float, step: int) -> None:
        self._collapsed = self._collapsed + 1 if spread < self.warn_below else 0
        if self._collapsed == self.patience:
            rank_zero_warn(
                f"step {step}: the embeddings have collapsed: their spread is {spread:.3f} (1 is even, 0 is one point) "
                f"and was below {self.warn_below} at {self.patience} checks in a row; a lower learning rate, BatchNorm "
                "in the heads or larger batches may help"
            )


def _check(embeddings: Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"expected embeddings (N, D) with N of at least 2, got {tuple(embeddings.shape)}")
