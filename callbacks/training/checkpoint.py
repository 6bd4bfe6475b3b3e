"""Which checkpoints are kept: the last state of a run, and the best by a benchmark that does not run in every epoch."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ..benchmarks.base import BenchmarkCallback
from .run_folder import LAST
from .safeguards import TrainingStopped

log = logging.getLogger(__name__)


class LastCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt`, to go on from by `--ckpt_path last` exactly as if nothing had happened.

    It is written every few steps, at the end of each epoch, and when the run is stopped by SIGTERM, Ctrl-C or an error,
    if that is between two steps (within one the state would be half of each; the checkpoint before then stays).
    Not after a loss that is no number. What was logged up to the checkpoint is on the disk with it.

    Args:
        every_n_steps: optimiser steps from one checkpoint to the next; a `kill -9` costs at most these.
        dirpath: folder; None is `checkpoints/` in the folder of the run.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        if every_n_steps < 1:
            raise ValueError(f"LastCheckpoint: every_n_steps is {every_n_steps}, it must be at least 1")
        super().__init__(
            dirpath=dirpath,
            filename=Path(LAST).stem,
            every_n_train_steps=every_n_steps,
            enable_version_counter=False,
        )
        self._flush_due = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write out what was logged with the checkpoint; its own step is logged only after it."""
        if self._flush_due:
            _flush(trainer)
            self._flush_due = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of each epoch."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what can be gone on from."""
        stopped = isinstance(exception, TrainingStopped)
        together = trainer.world_size == 1 or stopped or isinstance(exception, SIGTERMException)
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        whole = progress.processed == progress.ready and trainer.global_step > 0  # type: ignore[attr-defined]
        if not (together and whole) or (stopped and not exception.resumable):  # type: ignore[attr-defined]
            return
        try:
            self._save(trainer)
        except (OSError, TrainingStopped) as error:
            log.error("not saved: %s", error)
        else:
            if self._last_checkpoint_saved:
                rank_zero_info(f"step {trainer.global_step} is saved in {self._last_checkpoint_saved}")
        _flush(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._flush_due = True


def _flush(trainer: pl.Trainer) -> None:
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.save()
        if (flush := getattr(logger.experiment, "flush", None)) is not None:  # type: ignore[attr-defined]
            flush()


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
        ValueError: at the start of `fit`, if no callback is the benchmark that `monitor` names, or it has several
            stages and `monitor` names none.
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
        stages = getattr(self.benchmark, "stage", None)
        if stage == "fit" and isinstance(stages, list) and str(self.monitor).split("/")[1] not in stages:
            score = str(self.monitor).rpartition("/")[2]
            raise ValueError(
                f"BestCheckpoint(monitor={self.monitor!r}): {name} looks at several stages ({', '.join(stages)}); name "
                f"one, for example {name}/{stages[0]}/{score}"
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best so far, whose file stays in the folder of the run that was resumed."""
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})

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
