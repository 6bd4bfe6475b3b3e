"""Stopping and resuming a training.

The rule: a state is saved only where Lightning resumes exactly. That is between two optimiser steps, if the second one
neither ends the epoch nor precedes a validation, or between two epochs, after all hooks of the first. A stop (SIGTERM,
Ctrl-C; see `Safeguards`) finishes the step, saves if the state is such, and ends with status 143 or 130. The loader's
place in the data is the number of batches that were trained on (`SampledDataModule`).

The reason: Lightning saves in the middle of its loops and remembers where only by counters. From a state after the last
step of an epoch, or before a validation, it would skip the validation, repeat a hook or move a schedule twice. So
nothing is saved until the validation or epoch has ended, and a run that is stopped in between repeats that step. All
random draws are functions of seed, epoch and step, so no generator is saved. Lines below that work around Lightning
name its code, of release 2.6.6.
"""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, GradientAccumulationScheduler
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.utilities import rank_zero_info

from vidcorr.videos.files import require_at_least

from .run_folder import LAST, checkpoint_folder, hide_logs, require_pytorch_lightning
from .safeguards import STOP_ERRORS, Safeguards, TrainingStopped, accumulates, ends_epoch, is_stopping

log = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt`, from which `--ckpt_path last` resumes a run exactly as if it had not been interrupted.

    It is written every few steps, before the last step of an epoch, at the end of an epoch and of the run, and when
    SIGTERM, Ctrl-C or an error stops the run; never after a non-finite loss. The logs up to a checkpoint are on disk
    with it. In an epoch that was resumed, means over the epoch cover only the batches after the resumption.

    Args:
        every_n_steps: optimiser steps between checkpoints; a `kill -9` costs at most these steps.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from holds no
            training, or was written within an optimiser step or with another batch size.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        require_at_least(1, "LastCheckpoint", every_n_steps=every_n_steps)
        self.every_n_steps, self.dirpath = every_n_steps, dirpath
        self.best_model_path = ""
        """Path of the checkpoint, by Lightning's name for it; empty until the run has written it."""
        self._note: dict[str, Any] = {}  # sizes of the batches of the run, whether it has ended
        self._resumed: dict[str, Any] | None = None  # the note of the checkpoint
        self._between_epochs = False  # the checkpoint is from there
        self._resumable = False  # Lightning could resume from the current state
        self._saved_step = 0  # at first the step at which the run began or resumed
        self._counters: dict[str, Any] | None = None
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder, and move this callback to the end, before `Safeguards`: it saves the state of all others."""
        require_pytorch_lightning(trainer)
        if stage == "fit":
            if isinstance(trainer.strategy, ModelParallelStrategy):
                raise ValueError("LastCheckpoint: ModelParallelStrategy saves folders, which no command reads; use ddp")
            self.dirpath = checkpoint_folder(trainer, self.dirpath)
            callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
            # callback_connector.py:240 puts all checkpoints last, in the user's order, and so `Safeguards` before them
            last = [self, *(callback for callback in callbacks if isinstance(callback, Safeguards))]
            # in a new list: Lightning may be walking through this one
            trainer.callbacks = [callback for callback in callbacks if callback not in last] + last  # type: ignore[attr-defined]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Find out where in the training the checkpoint was written."""
        if trainer.state.fn != "fit":
            return
        if "loops" not in checkpoint:
            raise ValueError(
                f"{trainer.ckpt_path} holds weights only, no state of a training: start from them by --model.backbone"
            )
        self._resumed = checkpoint.get("resume", {})
        if self._resumed.get("within_step"):
            raise ValueError(
                f"{trainer.ckpt_path} was written within an optimiser step, between two accumulated batches: no run "
                f"can resume from it; name a {LAST}"
            )
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        self._between_epochs = epochs["current"]["processed"] == epochs["current"]["started"]
        if self._between_epochs:
            # all hooks have run, but fit_loop.py:346 would take counts that differ for a repetition
            for counts in epochs.values():
                counts.update(dict.fromkeys(counts, counts["processed"]))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the sizes of the batches of the run."""
        if trainer.state.fn != "fit":
            return
        checkpoint["resume"] = self._note | {"within_step": accumulates(trainer)}
        if self._note.get("run_ended") and self._counters is not None:
            checkpoint["loops"]["fit_loop"] = self._counters

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the number of accumulated batches with which the run begins."""
        # methods and schedules may later change the number of accumulated batches
        self._note = {"accumulated": trainer.accumulate_grad_batches, "batch": None, "run_ended": False}
        self._resumable, self._flush_due, self._counters = False, False, None
        self.best_model_path = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue where the checkpoint was written, with batches of its size."""
        self._saved_step = trainer.global_step
        size = getattr(trainer.train_dataloader, "batch_size", None)
        self._note["batch"] = size and size * trainer.world_size
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return
        before, now = ((note.get("batch"), note.get("accumulated")) for note in (resumed, self._note))
        if before[1] is not None and before != now:
            wanted, given = (f"{batch} samples × {accumulated}" for batch, accumulated in (before, now))
            raise ValueError(
                f"{trainer.ckpt_path} was written with batches of {wanted} accumulated, this run has {given}: its "
                "order of samples and its learning rate hold for the first only. Set data.batch_size, trainer.devices "
                "and trainer.accumulate_grad_batches to the same product, or start a new run"
            )
        # Lightning counts logged steps from 0; a benchmark after the last step is logged with the number of steps
        hide_logs(trainer, trainer.global_step + bool(resumed.get("run_ended")))
        if self._between_epochs:  # else training_epoch_loop.py:191 keeps the counts of the epoch that has ended
            trainer.fit_loop.epoch_loop.restarting = False
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):  # fit_loop.py:447 skips this hook within an epoch
                callback.on_train_epoch_start(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the previous epoch, after all of its hooks."""
        if self._resumable and trainer.global_step > self._saved_step:
            self._save(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Flush the loggers one batch after a checkpoint: a step is logged after it is saved."""
        self._resumable = False
        if trainer.fit_loop.restarting and trainer.max_steps == -1:
            trainer.fit_loop.restarting = False  # else fit_loop.py:491 skips a schedule that follows a score
        if self._flush_due:
            _flush(trainer)
            self._flush_due = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every few steps, before a step that ends an epoch or is followed by a validation, and before a stop."""
        if accumulates(trainer):
            return
        within_epoch, is_last_step = not _closes(trainer, batch_idx + 1), trainer.global_step == trainer.max_steps
        self._resumable = within_epoch and not is_last_step
        if within_epoch and is_last_step:  # fit_loop.py:477 will count the epoch; a run with more steps continues in it
            self._counters = trainer.fit_loop.state_dict()
        due = trainer.global_step - self._saved_step >= self.every_n_steps
        if self._resumable and (is_stopping(trainer) or due or _next_step_closes(trainer, batch_idx + 1)):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the run as resumable, unless it ends with this epoch; `on_train_end` then saves."""
        ends = trainer.global_step == trainer.max_steps or trainer.current_epoch + 1 == trainer.max_epochs
        self._resumable = not (ends or trainer.should_stop)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of the run, with the scores of benchmarks that ran after the last step."""
        self._note["run_ended"] = True
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save a checkpoint that a run can resume from, and say where it continues."""
        together = trainer.world_size == 1 or isinstance(exception, STOP_ERRORS)
        if trainer.state.fn == "fit":
            try:
                saves = self._resumable and together and not isinstance(exception, TrainingStopped)
                if saves and trainer.global_step > self._saved_step:
                    self._save(trainer)
            except (OSError, ValueError, TrainingStopped) as error:
                log.error("not saved: %s", error)
            self._report(trainer)
        _flush(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        missing = trainer.global_step - self._saved_step
        path = self.best_model_path or (trainer.ckpt_path if missing else None)
        if path:
            steps = f"step {trainer.global_step}" if missing == 1 else f"the last {missing} steps"
            same = f" and repeats {steps}, to the same result" if missing else ""
            rank_zero_info(f"{path} holds step {self._saved_step}; a resumed run continues there{same}")
        elif missing and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_info("nothing is saved: no step since the run began is one that it could resume from")

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = f"{self.dirpath}/{LAST}"
        trainer.save_checkpoint(path, weights_only=False)
        self.best_model_path, self._saved_step, self._flush_due = path, trainer.global_step, True


def _closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is its last, or precedes a validation."""
    if ends_epoch(trainer, batch):
        return True
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch += trainer.fit_loop.total_batch_idx - trainer.fit_loop.batch_idx
    return trainer.val_check_batch is not None and batch % trainer.val_check_batch == 0


def _next_step_closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether the next optimiser step ends the run or the epoch, or precedes a validation.

    Args:
        trainer: after an optimiser step.
        batch: number of the step's last batch in the epoch, counted from 1.
    """
    batches = range(batch + 1, batch + trainer.accumulate_grad_batches + 1)
    return trainer.global_step + 1 == trainer.max_steps or any(_closes(trainer, number) for number in batches)


def _flush(trainer: pl.Trainer) -> None:
    """Write the buffers of the loggers; TensorBoard's thread would do so within two minutes."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.save()
