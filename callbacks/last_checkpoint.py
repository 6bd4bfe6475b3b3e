"""Stopping and resuming a training.

The rule: a state is saved only where Lightning resumes exactly. That is between two optimiser steps, if the second one
neither ends the epoch nor precedes a validation, or between two epochs, after all hooks of the first. A stop (SIGTERM,
Ctrl-C) finishes the step, saves if the state is such, and ends with status 143 or 130. The loader's
place in the data is the number of batches that were trained on (`SampledDataModule`).

A run that ends within an epoch (`max_steps`, `max_time`, any `trainer.should_stop`) keeps the state of its last step,
before Lightning ends the epoch as if it was complete. At the end of the run this state, the scores of benchmarks after
the last step and the list of the best checkpoints become `last.ckpt`. A resumed run thus continues within the epoch.

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
from pytorch_lightning.callbacks import Checkpoint, WeightAveraging
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from vidcorr.videos.files import require_at_least

from .resumption import continue_callbacks
from .run_folder import LAST, checkpoint_folder, hide_logs, require_pytorch_lightning
from .safeguards import STOP_ERRORS, Safeguards, TrainingStopped, accumulates, ends_epoch, is_stopping

LAST_STEP = ".last_step.ckpt"
"""State of the last step of a run that ends within an epoch; `last.ckpt` replaces it when the run has ended."""
FROM_THE_END = ("benchmarks", "best", "resume")
"""Parts of a checkpoint that the end of a run adds to the state of its last step."""
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
        self.every_n_steps = every_n_steps
        self.dirpath = dirpath
        self.best_model_path = ""
        """Path of the checkpoint, by Lightning's name for it; empty until the run has written it."""
        self._note: dict[str, Any] = {}  # sizes of the batches of the run, whether it has ended
        self._resumed: dict[str, Any] | None = None  # the note of the checkpoint
        self._states: dict[str, Any] = {}  # states of the callbacks in the checkpoint
        self._between_epochs = False  # the checkpoint is from there
        self._resumable = False  # Lightning could resume from the current state
        self._saved_step = 0  # last saved step; initially the step at which the run began or resumed
        self._logged_steps = 0  # before the resumption
        self._steps_before = 0  # optimiser steps before the newest batch
        self._kept_step: int | None = None  # step of the kept state of a run that ends within an epoch
        self._kept: dict[str, Any] | None = None  # this state, while the end of the run is saved
        self._weights: dict[str, Tensor] | None = None  # before a callback replaces them by their average
        self._stop_waits = False  # a stop between accumulated batches, until their step is complete
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder, and move this callback to the end, before `Safeguards`: it saves the state of all others."""
        require_pytorch_lightning(trainer)
        if stage == "fit":
            if isinstance(trainer.strategy, ModelParallelStrategy):
                raise ValueError("LastCheckpoint: ModelParallelStrategy saves folders, which no command reads; use ddp")
            self.dirpath = checkpoint_folder(trainer, self.dirpath)
            callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
            if sum(isinstance(callback, LastCheckpoint) for callback in callbacks) > 1:
                raise ValueError("trainer.callbacks: a run has a single LastCheckpoint; take the others out")
            # callback_connector.py:240 puts all checkpoints last, in the user's order, and so `Safeguards` before them
            last = [self, *(callback for callback in callbacks if isinstance(callback, Safeguards))]
            # a new list, because Lightning may iterate over the present one
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
        self._states = checkpoint.get("callbacks", {})
        if self._resumed.get("within_step"):
            raise ValueError(
                f"{trainer.ckpt_path} was written within an optimiser step, between two accumulated batches: no run "
                f"can resume from it; name a {LAST}"
            )
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]["total"]
        # a state within an epoch is saved before its step counts as logged
        self._logged_steps = loops["epoch_loop.state_dict"]["_batches_that_stepped"]
        self._logged_steps += batches["processed"] - batches["completed"]
        epochs = loops["epoch_progress"]
        self._between_epochs = epochs["current"]["processed"] == epochs["current"]["started"]
        if self._between_epochs:
            # all hooks have run, but fit_loop.py:346 would take counts that differ for a repetition
            for counts in epochs.values():
                counts.update(dict.fromkeys(counts, counts["processed"]))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the sizes of the batches of the run; a state within an epoch is resumed within the epoch."""
        if trainer.state.fn != "fit":
            return
        checkpoint["resume"] = self._note | {"within_step": accumulates(trainer)}
        _stay_within_epoch(trainer, checkpoint)
        if self._kept is not None:
            _restore_last_step(trainer, checkpoint, self._kept)
        elif self._weights is not None:
            checkpoint["current_model_state"] = self._weights

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the number of accumulated batches with which the run begins."""
        # methods and schedules may later change the number of accumulated batches
        self._note = {"accumulated": trainer.accumulate_grad_batches, "batch": None, "run_ended": False}
        self._resumable = False
        self._flush_due = False
        self._stop_waits = False
        self._kept_step = None
        self._weights = None
        self.best_model_path = ""
        if trainer.should_stop:  # set by Lightning's Timer, which also counts the time before the resumption
            rank_zero_warn("trainer.max_time has passed, with the time before the resumption: give a longer one")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue where the checkpoint was written, with batches of its size."""
        self._saved_step = trainer.global_step
        self._steps_before = trainer.global_step
        resumed = self._resumed
        self._resumed = None
        self._compare_batches(trainer, resumed)
        if resumed is None:
            return
        # Lightning counts logged steps from 0; a benchmark after the last step is logged with the number of steps
        hide_logs(trainer, self._logged_steps + bool(resumed.get("run_ended")))
        if self._between_epochs:  # else training_epoch_loop.py:191 keeps the counts of the epoch that has ended
            trainer.fit_loop.epoch_loop.restarting = False
        continue_callbacks(trainer, pl_module, self._states, within_epoch=not self._between_epochs)
        self._states = {}

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
            self._let_stop_wait(trainer)
            return
        if self._stop_waits:
            trainer.should_stop = True
            self._stop_waits = False
        batch_steps = trainer.global_step - self._steps_before  # several with manual optimisation
        self._steps_before = trainer.global_step
        self._resumable = not (_closes(trainer, batch_idx + 1) or _reaches_limit(trainer))
        due = trainer.global_step - self._saved_step >= self.every_n_steps
        next_closes = _reaches_limit(trainer, batch_steps) or _next_step_closes(trainer, batch_idx + 1)
        if self._resumable and (is_stopping(trainer) or due or next_closes or _stops_early(trainer)):
            self._save(trainer)
        self._keep(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state after a validation within an epoch, if the run ends with it."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if accumulates(trainer):
            self._let_stop_wait(trainer)
        elif self._kept_step != trainer.global_step or _closes(trainer, trainer.fit_loop.batch_idx + 1):
            self._keep(trainer)  # else the validation belongs to the end of the run, and no whole run has it

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the run as resumable, unless it ends with this epoch; `on_train_end` then saves."""
        ends = _reaches_limit(trainer) or trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop
        self._resumable = not ends
        averages = any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if ends and averages and self._kept_step is None:  # on_train_end of `WeightAveraging` replaces the weights
            self._weights = {name: tensor.clone() for name, tensor in pl_module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of the run, with the scores of benchmarks that ran after the last step."""
        self._note["run_ended"] = True
        path = f"{self.dirpath}/{LAST_STEP}"
        if self._kept_step is not None and trainer.is_global_zero:
            self._kept = trainer.strategy.load_checkpoint(path, weights_only=True)
        self._save(trainer)
        self._kept = None
        if self._kept_step is not None:
            trainer.strategy.remove_checkpoint(path)
            if trainer.should_stop:
                place = f"step {trainer.global_step}, within epoch {trainer.current_epoch - 1}"
                rank_zero_info(f"stopped by trainer.max_time or a callback at {place}; a resumed run continues there")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that a run was finished before, if there was no step left to train."""
        if self._resumed is None:
            return
        self._compare_batches(trainer, self._resumed)
        self._resumed = None
        if trainer.limit_train_batches == 0:
            return
        limits = {"max_steps": trainer.max_steps, "max_epochs": trainer.max_epochs}
        set_limits = [f"--trainer.{name} {value}" for name, value in limits.items() if value not in (None, -1)]
        rank_zero_info(
            f"nothing to train: {trainer.ckpt_path} holds step {trainer.global_step} of a finished run; to extend it, "
            f"raise {' or '.join(set_limits)}"
        )

    def _compare_batches(self, trainer: pl.Trainer, resumed: dict[str, Any] | None) -> None:
        """Note the size of the run's batches, and refuse to resume with another size.

        Raises:
            ValueError: with both sizes.
        """
        size = getattr(trainer.train_dataloader, "batch_size", None)
        self._note["batch"] = size and size * trainer.world_size
        if resumed is None or resumed.get("accumulated") is None:
            return
        before = _batches_of(resumed)
        now = _batches_of(self._note)
        if before != now:
            raise ValueError(
                f"{trainer.ckpt_path} was written with batches of {before} accumulated, this run has {now}: its "
                "order of samples and its learning rate hold for the first only. Set data.batch_size, trainer.devices "
                "and trainer.accumulate_grad_batches to the same product, or start a new run"
            )

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

    def _let_stop_wait(self, trainer: pl.Trainer) -> None:
        """Put off a stop between accumulated batches until their step is complete; Lightning would drop them."""
        if trainer.should_stop:
            trainer.should_stop = False
            self._stop_waits = True

    def _keep(self, trainer: pl.Trainer) -> None:
        """Save the state if the run ends within an epoch after this step, because the closing hooks would change it."""
        ends = _reaches_limit(trainer) or _stops_early(trainer)
        within_epoch = not ends_epoch(trainer, trainer.fit_loop.batch_idx + 1)
        if ends and within_epoch and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(f"{self.dirpath}/{LAST_STEP}", weights_only=False)
            self._kept_step = trainer.global_step

    def _report(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        missing = step - self._saved_step
        path = self.best_model_path or (trainer.ckpt_path if missing else None)
        if not path:
            if missing and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                rank_zero_info("nothing is saved: no step since the run began is one that it could resume from")
            return
        if missing == 0:
            place = f"Stopped after step {step}."
        elif missing == 1:
            place = f"Stopped during step {step}, which will be repeated."
        else:
            place = f"Stopped during step {step}; steps {self._saved_step + 1} to {step} will be repeated."
        rank_zero_info(f"{place} Saved: {path}")

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = f"{self.dirpath}/{LAST}"
        trainer.save_checkpoint(path, weights_only=False)
        self.best_model_path = path
        self._saved_step = trainer.global_step
        self._flush_due = True


def _batches_of(note: dict[str, Any]) -> str:
    """Return the size of the batches that a checkpoint notes, in words."""
    return f"{note.get('batch')} samples × {note.get('accumulated')}"


def _reaches_limit(trainer: pl.Trainer, more: int = 0) -> bool:
    """Return whether the run has made `max_steps` optimiser steps, or will have after some more."""
    return trainer.max_steps != -1 and trainer.global_step + more >= trainer.max_steps


def _stops_early(trainer: pl.Trainer) -> bool:
    """Return whether `trainer.should_stop` ends the run after this batch."""
    enough_epochs = trainer.current_epoch >= (trainer.min_epochs or 0)
    return trainer.should_stop and enough_epochs and trainer.global_step >= (trainer.min_steps or 0)


def _closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is its last, or precedes a validation."""
    if ends_epoch(trainer, batch):
        return True
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch += trainer.fit_loop.total_batch_idx - trainer.fit_loop.batch_idx
    return trainer.val_check_batch is not None and batch % trainer.val_check_batch == 0


def _next_step_closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether the next optimiser step ends the epoch, or precedes a validation.

    Args:
        trainer: after an optimiser step.
        batch: number of the step's last batch in the epoch, counted from 1.
    """
    batches = range(batch + 1, batch + trainer.accumulate_grad_batches + 1)
    return any(_closes(trainer, number) for number in batches)


def _stay_within_epoch(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Set the counters of a state within an epoch to `on_train_batch_end`, where Lightning resumes exactly.

    Lightning counts an epoch that a limit or a stop has cut as complete, and would begin the next one. After a
    validation within the epoch it would repeat it, or count its step twice in the logs.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epochs = loops["epoch_progress"]
    batches = loops["epoch_loop.batch_progress"]
    at_end_of_batch = 0 < batches["current"]["ready"] == batches["current"]["processed"]
    if not at_end_of_batch or ends_epoch(trainer, batches["current"]["ready"]):
        return
    if epochs["current"]["processed"] == epochs["current"]["started"]:
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    for counts in epochs.values():
        counts.update(processed=counts["started"] - 1, completed=counts["started"] - 1)
    for counts in batches.values():
        if isinstance(counts, dict):
            counts["completed"] = counts["processed"] - 1
    checkpoint["epoch"] = epochs["current"]["processed"]


def _restore_last_step(trainer: pl.Trainer, checkpoint: dict[str, Any], kept: dict[str, Any]) -> None:
    """Put the state of the last step into a checkpoint of the run's end; scores and lists of files stay.

    Args:
        trainer: the trainer.
        checkpoint: written at the end of the run.
        kept: the state of the last step.
    """
    at_end = checkpoint["callbacks"]
    for part in checkpoint.keys() - set(FROM_THE_END):
        if part in kept:
            checkpoint[part] = kept[part]
    for callback in trainer.checkpoint_callbacks:
        if callback.state_key in at_end:
            checkpoint["callbacks"][callback.state_key] = at_end[callback.state_key]


def _flush(trainer: pl.Trainer) -> None:
    """Write the buffers of the loggers; TensorBoard's thread would do so within two minutes."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.save()
