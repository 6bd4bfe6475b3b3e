"""The checkpoints of a training: its last state, and the best one by a benchmark."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ..benchmarks.base import BenchmarkCallback
from .epoch_means import EpochMeans
from .forked import waits_for_ranks
from .progress import BatchSizes, ProgressKeeper, TrainingProgress
from .run_folder import LAST, RESUME, newest_run
from .safeguards import TrainingStopped, order_callbacks

log = logging.getLogger(__name__)


class LastCheckpoint(ModelCheckpoint):
    """Keep `last.ckpt`, from which `--ckpt_path last` resumes a run exactly as if it had not been interrupted.

    It is written every few steps, at the end of each epoch and of the run, and when the run is stopped by SIGTERM,
    Ctrl-C or an error, always between two optimiser steps: where an error falls within one, the checkpoint before it
    stays. Nothing is saved after a non-finite loss. What was logged up to the checkpoint is on disk with it.

    A checkpoint records the progress of the training (`TrainingProgress`): a resumed run repeats no batch and leaves
    out none, and a validation that was due and not completed is made up for.

    Args:
        every_n_steps: optimiser steps from one checkpoint to the next; a `kill -9` costs at most these.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from was written
            within an optimiser step, or with another batch size.
    """

    callback_order = 1
    """Position in the order of callbacks, see `order_callbacks`."""

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        if every_n_steps < 1:
            raise ValueError(f"LastCheckpoint: every_n_steps is {every_n_steps}, it must be at least 1")
        super().__init__(
            dirpath=dirpath,
            filename=Path(LAST).stem,
            every_n_train_steps=every_n_steps,
            enable_version_counter=False,
        )
        self._keeper, self._sizes, self._means = ProgressKeeper(), BatchSizes(), EpochMeans()
        self._saved: tuple[int, TrainingProgress] | None = None
        self._run = 0
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder, and run after all callbacks whose state is to be saved."""
        with _full_folder_expected():
            super().setup(trainer, pl_module, stage)
        order_callbacks(trainer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing: Lightning's state would name the file that this run writes anyway."""

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the progress from the checkpoint."""
        note = checkpoint.get(RESUME)
        if trainer.state.fn != "fit" or note is None:
            return
        progress = TrainingProgress(**note["place"])
        if progress.in_window:
            raise ValueError(
                f"{trainer.ckpt_path} was written within an optimiser step, between two accumulated batches: no run "
                f"can resume from it; name a {LAST}"
            )
        self._keeper.on_load_checkpoint(trainer, progress, checkpoint["loops"]["fit_loop"], checkpoint["global_step"])
        self._sizes.on_load_checkpoint(note["sizes"])
        self._means.on_load_checkpoint(trainer, note.get("means", []))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the progress, and which run this is."""
        if trainer.state.fn == "fit":
            checkpoint[RESUME] = {
                "place": self._keeper.progress(trainer).state(),
                "sizes": self._sizes.state(trainer),
                "means": self._means.state(trainer),
                "run": self._run,
                "versions": [logger.version for logger in trainer.loggers if logger.save_dir],
            }

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Number the run after all others in its folder."""
        self._saved, self._flush_due = None, False
        self._keeper.on_fit_start(trainer)
        self._sizes.on_fit_start(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._run = newest_run(trainer.default_root_dir, [self.dirpath] if self.dirpath else []) + 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the progress of the checkpoint."""
        super().on_train_start(trainer, pl_module)
        self._sizes.on_train_start(trainer)
        self._means.on_train_start(trainer, pl_module, self._keeper.on_train_start(trainer))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that an epoch begins."""
        self._keeper.on_train_epoch_start()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write out what was logged with the checkpoint; its own step is logged only after it."""
        self._keeper.on_train_batch_start(trainer)
        if self._flush_due:
            _flush(trainer)
            self._flush_due = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every few steps."""
        self._keeper.on_train_batch_end(trainer)
        self._means.on_train_batch_end(trainer)
        if trainer.global_step % self._every_n_train_steps == 0:
            self._save(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that a validation is complete."""
        self._keeper.on_validation_epoch_end(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of each epoch."""
        self._keeper.on_train_epoch_end(trainer)
        self._means.on_train_epoch_end(trainer, pl_module)
        self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of the run, with the scores of benchmarks that ran after the last step."""
        self._keeper.on_train_end()
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save a checkpoint that a run can resume from."""
        if waits_for_ranks(trainer):
            return
        stopped = isinstance(exception, TrainingStopped)
        together = trainer.world_size == 1 or stopped or isinstance(exception, SIGTERMException)
        if trainer.state.fn == "fit" and together and not (stopped and not exception.resumable):  # type: ignore[attr-defined]
            try:
                self._save(trainer)
            except (OSError, TrainingStopped) as error:
                log.error("not saved: %s", error)
            else:
                self._report(trainer)
        _flush(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        if self._saved is None:
            rank_zero_info("no step was completed since the run began or resumed: nothing is saved")
        elif self._saved[0] == trainer.global_step:
            rank_zero_info(f"step {trainer.global_step} is saved in {self._last_checkpoint_saved}")
        else:
            rank_zero_info(
                f"a step that is not complete is not saved: {self._last_checkpoint_saved} holds step {self._saved[0]}"
            )

    def _save(self, trainer: pl.Trainer) -> None:
        """Save the progress, unless it is saved already or within an optimiser step."""
        if trainer.fast_dev_run or trainer.sanity_checking or not self._keeper.between_batches(trainer):  # type: ignore[attr-defined]
            return
        reached = (trainer.global_step, self._keeper.progress(trainer))
        if reached[1].in_window or reached == self._saved:
            return
        self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
        self._saved = reached

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._flush_due = True


@contextmanager
def _full_folder_expected() -> Iterator[None]:
    """Leave out Lightning's warning of a folder with checkpoints: a resumed run continues in its own, locked by us."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        yield


def _flush(trainer: pl.Trainer) -> None:
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.save()
        if (flush := getattr(logger.experiment, "flush", None)) is not None:  # type: ignore[attr-defined]
            flush()


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoint with the best score of a benchmark, and compare only when that benchmark has just run.

    Lightning's `ModelCheckpoint` raises before the first score is there and later takes a stale one for a new one.

    Args:
        monitor: a logged score, `<benchmark>/<key>`.
        mode: `max` or `min`.
        save_top_k: how many to keep.
        filename: filename of the checkpoint, without `.ckpt`.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: at the start of `fit`, if no callback is the benchmark that `monitor` names, or that benchmark does
            not log this score.
    """

    waits_for_benchmark = True

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
        with _full_folder_expected():
            super().setup(trainer, pl_module, stage)
        benchmarks: dict[str, Any] = {
            callback.name: callback
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, BenchmarkCallback)
        }
        name = str(self.monitor).partition("/")[0]
        self.benchmark = benchmarks.get(name)
        if stage == "fit":
            self._check_monitor(name, benchmarks)

    def _check_monitor(self, name: str, benchmarks: dict[str, Any]) -> None:
        """Refuse a monitor that no benchmark will ever log.

        Raises:
            ValueError: naming what there is.
        """
        if self.benchmark is None:
            raise ValueError(
                f"BestCheckpoint(monitor={self.monitor!r}): no benchmark {name!r} among the callbacks"
                f" ({', '.join(benchmarks) or 'there is none'})"
            )
        stages = getattr(self.benchmark, "stage", None)
        key = str(self.monitor).partition("/")[2]
        if isinstance(stages, list) and key.partition("/")[0] not in stages:
            score = key.rpartition("/")[2] or self.benchmark.score_names[0]
            raise ValueError(
                f"BestCheckpoint(monitor={self.monitor!r}): {name} scores several stages ({', '.join(stages)}); name "
                f"one, for example {name}/{stages[0]}/{score}"
            )
        keys = getattr(self.benchmark, "score_keys", ())  # empty: a user's benchmark that declares none
        if keys and self.monitor not in keys:
            near = get_close_matches(str(self.monitor), keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"it logs {', '.join(keys)}"
            raise ValueError(f"BestCheckpoint(monitor={self.monitor!r}): {name} logs no such score; {hint}")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score so far, whose file stays in the folder of the resumed run."""
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark ran in this validation and succeeded.

        Raises:
            ValueError: if it did not give the score that `monitor` names.
        """
        if trainer.state.fn != "fit" or self.benchmark is None or trainer.global_step not in self.benchmark.history:
            return
        if self.monitor not in (scores := self.benchmark.history[trainer.global_step]):
            gave = ", ".join(scores) or "no score"
            raise ValueError(
                f"BestCheckpoint(monitor={self.monitor!r}): {self.benchmark.name} gave {gave} on these data"
            )
        super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where the benchmark ran after the last step."""
        self.on_validation_end(trainer, pl_module)

    def _monitor_candidates(self, trainer: pl.Trainer) -> dict[str, torch.Tensor]:
        """Return the benchmark's own score of this step, not what was logged last under its name."""
        scores = {} if self.benchmark is None else self.benchmark.history.get(trainer.global_step, {})
        return super()._monitor_candidates(trainer) | {key: torch.tensor(value) for key, value in scores.items()}
