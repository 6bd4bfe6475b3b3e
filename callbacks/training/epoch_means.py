"""Sums over an epoch that Lightning keeps of what is logged, for a run that resumes within the epoch."""

from operator import attrgetter
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torchmetrics import Metric

Sums = dict[str, dict[str, Any]]
"""Key of a logged value → how it is logged, and its state so far."""

REDUCTIONS: dict[str, Any] = {"mean": torch.mean, "sum": torch.sum, "max": torch.max, "min": torch.min}
META_FIELDS = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx")
"""Arguments of `log` that are compared, at its next call, with those of the call before."""


class EpochMeans:
    """Save and restore the partial sums of values that are logged with `on_epoch=True`.

    Without it, the mean of an epoch in which a run was resumed covers the batches after the resume only. Metric objects
    of the module are kept too, if all their states are tensors.
    """

    def __init__(self) -> None:
        self._waiting: Sums = {}

    def state(self, trainer: pl.Trainer) -> list[Sums]:
        """Return the sums of each rank; every rank calls it."""
        own = {key: _saved(result) for key, result in trainer.fit_loop.epoch_loop._results.items() if _is_kept(result)}
        if trainer.world_size == 1:
            return [own]
        sums: list[Any] = [None] * trainer.world_size
        dist.all_gather_object(sums, own)
        return sums

    def on_load_checkpoint(self, trainer: pl.Trainer, state: list[Sums]) -> None:
        """Restore the sums of this rank; with another number of ranks the means start again."""
        self._waiting = dict(state[trainer.global_rank]) if len(state) == trainer.world_size else {}

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, more_batches: bool | None = None
    ) -> None:
        """Restore metric objects; where the epoch has no batches left, restore all sums.

        Args:
            trainer: trainer of the run.
            pl_module: whose metric objects are restored.
            more_batches: whether the resumed epoch has batches left, which log first; None if no epoch is resumed.
        """
        if more_batches is None:
            self._waiting = {}
        for saved in self._waiting.values():
            if saved["attribute"] is not None:
                metric = attrgetter(saved["attribute"])(pl_module)
                for name, value in saved["state"].items():
                    setattr(metric, name, value.to(metric.device))
                metric._update_count, metric._computed = 1, None
        if not more_batches:
            self.on_train_epoch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer) -> None:
        """Add the sums to those of the values that a batch has just logged for the first time."""
        results = trainer.fit_loop.epoch_loop._results
        for key in [key for key in self._waiting if key in results]:
            _add(results[key], self._waiting.pop(key))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the sums that no batch has logged since the resume."""
        for key, saved in self._waiting.items():
            result = trainer.fit_loop.epoch_loop._results[key] = _result(trainer, saved)
            if saved["attribute"] is not None:
                result.value = attrgetter(saved["attribute"])(pl_module)
            _add(result, saved)
        self._waiting = {}


def _is_kept(result: _ResultMetric) -> bool:
    if result.has_reset or not result.meta.on_epoch or result.meta.sync.group is not None:
        return False
    if result.is_tensor:
        return True
    metric: Metric = result.value
    states = (getattr(metric, name) for name in metric._defaults)
    return result.meta.metric_attribute is not None and all(isinstance(state, torch.Tensor) for state in states)


def _saved(result: _ResultMetric) -> dict[str, Any]:
    """Return plain types and tensors for a checkpoint."""
    meta, states = result.meta, result if result.is_tensor else result.value
    reductions = {"mean": meta.is_mean_reduction, "max": meta.is_max_reduction, "min": meta.is_min_reduction}
    return {
        "logged": {name: getattr(meta, name) for name in META_FIELDS},
        "reduction": next((name for name, used in reductions.items() if used), "sum"),
        "sync": {"_should": meta.sync.should, "rank_zero_only": meta.sync.rank_zero_only},
        "attribute": meta.metric_attribute,
        "state": {name: getattr(states, name).detach().cpu().clone() for name in states._defaults},
    }


def _result(trainer: pl.Trainer, saved: dict[str, Any]) -> _ResultMetric:
    """Return an empty accumulator as Lightning keeps it."""
    meta = _Metadata(**saved["logged"], reduce_fx=REDUCTIONS[saved["reduction"]], metric_attribute=saved["attribute"])
    meta.sync = _Sync(fn=trainer.strategy.reduce, **saved["sync"])
    result = _ResultMetric(meta, saved["attribute"] is None)
    result.has_reset, result._update_count = False, 1
    return result


def _add(result: _ResultMetric, saved: dict[str, Any]) -> None:
    """Add earlier sums to a value; of a maximum or minimum, keep the extreme of both. Metric objects have theirs."""
    for name, value in saved["state"].items() if saved["attribute"] is None else ():
        now, before = getattr(result, name), value.to(getattr(result, name).device)
        extreme = result.meta.is_max_reduction or result.meta.is_min_reduction
        setattr(result, name, result.meta.reduce_fx(before, now) if extreme else before + now)
    result._computed = None
