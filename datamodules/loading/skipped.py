"""Bookkeeping of videos that had to be replaced, and of clips that were resampled, while a run trains."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn

from ..reading.shards import is_sharded

_FEWEST = 5  # replacements before a warning: a single bad video may come first


class SkippedVideos(pl.Callback):
    """Count and name the videos that had to be replaced or resampled, and warn once when they are too many.

    A batch names them in `failures` and `redrawn`, one line each, `PATH: reason`.

    Args:
        counts: path → number of times that it was replaced; None begins an own count.
        max_unusable: fraction of the clips, replaced ones among them, above which a warning says what to do.
        source: the videos, for that warning.
    """

    def __init__(self, counts: Counter[str] | None = None, max_unusable: float = 1.0, source: str = "") -> None:
        self._counts: Counter[str] = Counter() if counts is None else counts
        self._max_unusable, self._source = max_unusable, source
        self._clips = self._replaced = 0
        self._redrawn: Counter[str] = Counter()
        self._warned = False

    def join(self, trainer: pl.Trainer | None) -> None:
        """Attach this callback to a Trainer that has none of its kind."""
        callbacks: list[pl.Callback] = getattr(trainer, "callbacks", [])
        if trainer is not None and not any(isinstance(callback, SkippedVideos) for callback in callbacks):
            callbacks.append(self)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the replacements that the batch reports."""
        if not isinstance(batch, dict):
            return
        failures = batch.get("failures", ())
        _enter(failures, self._counts, "replaced by another video")
        _enter(batch.get("redrawn", ()), self._redrawn, "resampled from the frames that are there")
        self._replaced += len(failures)
        self._clips += len(failures) + len(batch.get("video_index", ()))
        if self._replaced >= _FEWEST and self._replaced > self._max_unusable * self._clips and not self._warned:
            self._warned = True
            rank_zero_warn(too_many(f"{self._replaced} of {self._clips} clips so far", self._source))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log both counts since the process began, summed over the ranks."""
        for name, counts in (("data/skipped_videos", self._counts), ("data/redrawn_clips", self._redrawn)):
            total = torch.tensor(float(counts.total()), device=pl_module.device)
            pl_module.log(name, total, sync_dist=True, reduce_fx="sum")


def too_many(amount: str, source: str) -> str:
    """Return the warning that too many videos cannot be used, with what to do about it."""
    if is_sharded(source):
        remedy = (
            "Run `vidcorr check-data` on the videos that were packed, pack the clean.txt that it writes with "
            "`vidcorr shard`, and train on those shards."
        )
    else:
        remedy = f"Run `vidcorr check-data {source}`, read its report, and train on the clean.txt that it writes."
    found = f"{amount} had to be replaced or left out, more than max_unusable allows"
    return f"TOO MANY UNUSABLE VIDEOS: {found}. {remedy}"


def _enter(lines: Iterable[str], counts: Counter[str], event: str) -> None:
    """Count each line by its path, and warn the first time that a path comes up."""
    for line in lines:
        path = line.partition(": ")[0]
        if path not in counts:
            warnings.warn(f"{event}: {line}", stacklevel=3)
        counts[path] += 1
