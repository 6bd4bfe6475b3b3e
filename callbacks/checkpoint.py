"""Keeping the best checkpoint by a benchmark that does not run in every epoch."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from .base import BenchmarkCallback


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint with the best score of a benchmark, and looks only when that benchmark has just run.

    Lightning's own class raises before the first score is there and later takes a stale one for a new one.

    Args:
        monitor: a logged score, `<benchmark>/<key>`.
        mode: `max` or `min`.
        save_top_k: how many to keep.
        filename: of the checkpoint, without `.ckpt`.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: at the start of `fit`, if no callback is the benchmark that `monitor` names.
    """

    def __init__(
        self,
        monitor: str = "davis/J&F-Mean",
        mode: str = "max",
        save_top_k: int = 1,
        filename: str = "best-{epoch:03d}-{step:06d}",
        dirpath: str | Path | None = None,
    ) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            save_on_train_epoch_end=False,
        )
        self.benchmark: BenchmarkCallback | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the benchmark."""
        super().setup(trainer, pl_module, stage)
        benchmarks: dict[str, Any] = {
            callback.name: callback
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, BenchmarkCallback)
        }
        name = str(self.monitor).partition("/")[0]
        if stage == "fit" and name not in benchmarks:
            raise ValueError(
                f"BestCheckpoint(monitor={self.monitor!r}): no benchmark {name!r} among the callbacks"
                f" ({', '.join(benchmarks) or 'there is none'})"
            )
        self.benchmark = benchmarks.get(name)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark ran in this validation and succeeded."""
        if self.benchmark is not None and trainer.global_step in self.benchmark.history:
            super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same for a benchmark that ran after the last step."""
        self.on_validation_end(trainer, pl_module)

    def _monitor_candidates(self, trainer: pl.Trainer) -> dict[str, torch.Tensor]:
        """The benchmark's own score of this step, not what was logged last under its name."""
        scores = {} if self.benchmark is None else self.benchmark.history.get(trainer.global_step, {})
        return super()._monitor_candidates(trainer) | {key: torch.tensor(value) for key, value in scores.items()}
