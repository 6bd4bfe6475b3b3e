"""Progress of a training, and how Lightning's loops resume from it.

Lightning 2.6 infers from its counters at which hook a checkpoint was written. That goes wrong where the checkpoint fell
on the last batch of an epoch (batches are repeated, the epoch's validation is left out) and where `max_steps` is set.
Here a checkpoint records the progress itself, and the counters are rewritten from it when it is loaded.
"""

from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.loops.loop import _Loop

Counters = dict[str, Any]
"""The state of Lightning's fit loop, as a checkpoint holds it under `loops/fit_loop`."""


@dataclass(frozen=True)
class TrainingProgress:
    """A moment between two batches of a training.

    Attributes:
        epoch: the epoch that the batches belong to, from 0.
        batches: number of its batches that have been trained on.
        last: whether these are all batches of the epoch.
        in_window: whether gradients have been accumulated that no optimiser step has used yet.
        validation_due: whether a validation is due after the last of these batches and has not been completed.
        epoch_ended: whether the hooks of the epoch's end have run.
        run_ended: whether the hooks of the run's end have run.
        logged_steps: optimiser steps as loggers count them.
    """

    epoch: int
    batches: int
    last: bool
    in_window: bool
    validation_due: bool
    epoch_ended: bool
    run_ended: bool
    logged_steps: int

    def state(self) -> dict[str, Any]:
        """Return plain types for a checkpoint."""
        return asdict(self)


class ProgressKeeper:
    """Follow a training from hook to hook, and restore its progress when it resumes.

    `LastCheckpoint`, the last callback of all but `Safeguards`, passes its hooks on to the methods of the same name.
    """

    def __init__(self) -> None:
        self._resumed: TrainingProgress | None = None
        self._global_step = 0
        self._limits: tuple[int, int | None] | None = None
        self._logged_before = 0
        self._complete = self._validated = self._ended = -1  # batches over all epochs when that was completed
        self._run_ended = False

    def on_train_epoch_start(self) -> None:
        """Record that an epoch begins; before its first batch the progress is that of the end of the epoch before."""
        self._complete = -1

    def on_train_batch_start(self, trainer: pl.Trainer) -> None:
        """Record what has been logged before the batch."""
        loop = trainer.fit_loop.epoch_loop
        if self._resumed is not None:
            loop._batches_that_stepped, self._resumed = self._resumed.logged_steps, None
        self._logged_before = loop._batches_that_stepped

    def on_train_batch_end(self, trainer: pl.Trainer) -> None:
        """Record that all callbacks have seen the end of the batch."""
        self._complete = _batches(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer) -> None:
        """Record that the validation is complete."""
        if not trainer.sanity_checking:
            self._validated = _batches(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer) -> None:
        """Record that the epoch is complete."""
        self._restore_limits(trainer)
        trainer.fit_loop._restarting = False  # else schedules that watch a score leave this epoch out
        self._ended, self._resumed = _batches(trainer), None

    def on_train_end(self) -> None:
        """Record that the run is complete."""
        self._run_ended = True

    def between_batches(self, trainer: pl.Trainer) -> bool:
        """Return whether the last batch that was begun is complete: all callbacks have seen its end."""
        return self._complete == _batches(trainer)

    def progress(self, trainer: pl.Trainer) -> TrainingProgress:
        """Return the progress of the training; it is valid between two batches."""
        loop, batches = trainer.fit_loop.epoch_loop, _batches(trainer)
        in_window, fetcher = loop._should_accumulate(), trainer.fit_loop._data_fetcher
        completed = batches in (self._validated, self._ended)
        return TrainingProgress(
            epoch=trainer.fit_loop.epoch_progress.current.ready - 1,
            batches=loop.batch_progress.current.ready,
            last=loop._num_ready_batches_reached(),
            in_window=in_window,
            validation_due=not completed and fetcher is not None and loop._should_check_val_fx(fetcher),
            epoch_ended=self._ended == batches,
            run_ended=self._run_ended,
            logged_steps=self._logged_before + (not in_window),
        )

    def on_load_checkpoint(
        self, trainer: pl.Trainer, progress: TrainingProgress, counters: Counters, global_step: int
    ) -> None:
        """Rewrite the counters of a checkpoint before Lightning reads them."""
        self._resumed, self._global_step = progress, global_step
        rewrite(counters, progress, _reached(trainer.fit_loop.max_steps, global_step))

    def on_fit_start(self, trainer: pl.Trainer) -> None:
        """Raise the limits of a run that reached them, so that Lightning does not skip its end."""
        self._complete = self._validated = self._ended = -1
        self._run_ended, self._limits = False, None
        loop, progress = trainer.fit_loop, self._resumed
        if progress is None or progress.run_ended:
            return
        limits = loop.max_steps, loop.max_epochs
        if _reached(loop.max_steps, self._global_step):
            loop.epoch_loop.max_steps, self._limits = self._global_step + 1, limits
        if loop.max_epochs not in (None, -1) and progress.epoch_ended and progress.epoch + 1 >= loop.max_epochs:
            loop.max_epochs, self._limits = progress.epoch + 2, limits

    def on_train_start(self, trainer: pl.Trainer) -> bool | None:
        """Restore what Lightning's counters do not hold.

        Returns:
            Whether the resumed epoch has batches left; None if no epoch is resumed.
        """
        loop, progress = trainer.fit_loop, self._resumed
        if progress is None:
            return None
        self._logged_before, self._complete = progress.logged_steps - 1, _batches(trainer)
        # Lightning forgets the loader's state where something, as a schedule, has asked for the loader before.
        loop._load_combined_loader_states()
        reached = self._limits is not None and _reached(self._limits[0], self._global_step)
        if starts_an_epoch(progress, reached):
            _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]  # the loop's own setter keeps it set
            self._ended = _batches(trainer)
            self._restore_limits(trainer)
            return None
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):  # it acts at the start of an epoch only
                callback.on_train_epoch_start(trainer)
        more_batches = not (progress.last or reached)
        if more_batches:
            self._restore_limits(trainer)
        elif not progress.validation_due:
            loop.epoch_loop.val_loop._has_run = True
        return more_batches

    def _restore_limits(self, trainer: pl.Trainer) -> None:
        if self._limits is not None:
            trainer.fit_loop.epoch_loop.max_steps, trainer.fit_loop.max_epochs = self._limits
            self._limits = None


def starts_an_epoch(progress: TrainingProgress, steps_reached: bool) -> bool:
    """Return whether the start of an epoch, or the end of the run, comes next.

    Args:
        progress: of the checkpoint.
        steps_reached: whether the run is at its `max_steps`, which may end it within an epoch. Its last hooks then
            still have to run; where they have run, `max_steps` has been raised and the epoch continues.
    """
    return progress.epoch_ended and (progress.last or (steps_reached and not progress.run_ended))


def rewrite(counters: Counters, progress: TrainingProgress, steps_reached: bool) -> None:
    """Set the counters of Lightning's fit loop so that it resumes from recorded progress.

    Args:
        counters: counters of a checkpoint; changed in place.
        progress: of the same checkpoint.
        steps_reached: see `starts_an_epoch`.
    """
    batches, validation = counters["epoch_loop.batch_progress"], counters["epoch_loop.val_loop.batch_progress"]
    seen = batches["total"]["processed"]
    begun = progress.epoch + 1
    validation["total"], validation["current"] = _tracker(0), _tracker(0)
    logged = progress.logged_steps
    if starts_an_epoch(progress, steps_reached):
        counters["epoch_progress"] = {"total": _tracker(begun), "current": _tracker(begun)}
        batches |= {"total": _tracker(seen), "current": _tracker(progress.batches), "is_last_batch": progress.last}
        if progress.last:
            counters["state_dict"].pop("combined_loader", None)  # of an epoch that is over
    else:
        current = {"ready": begun, "started": begun, "processed": begun - 1, "completed": begun - 1}
        counters["epoch_progress"] = {"total": current, "current": dict(current)}
        last = progress.last or (steps_reached and not progress.run_ended)
        if last or progress.validation_due:
            # all batches completed: Lightning trains on nothing before the validation
            batches |= {"total": _tracker(seen), "current": _tracker(progress.batches), "is_last_batch": last}
            if progress.validation_due:  # begun and not completed: Lightning repeats it
                validation["total"], validation["current"] = _begun(), _begun()
                logged -= 1
        else:
            # the last batch's hooks not completed: Lightning counts its step and continues with the next batch
            logged -= 1
            total, inner = _tracker(seen), _tracker(progress.batches)
            total["completed"] -= 1
            inner["completed"] -= 1
            batches |= {"total": total, "current": inner, "is_last_batch": False}
    counters["epoch_loop.state_dict"]["_batches_that_stepped"] = logged


def _tracker(count: int) -> dict[str, int]:
    return dict.fromkeys(("ready", "started", "processed", "completed"), count)


def _begun() -> dict[str, int]:
    return {"ready": 1, "started": 1, "processed": 0, "completed": 0}


def _batches(trainer: pl.Trainer) -> int:
    """Number of batches begun in all epochs."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def _reached(max_steps: int, global_step: int) -> bool:
    return max_steps != -1 and global_step >= max_steps


class BatchSizes:
    """Refuse to resume with a batch size other than the checkpoint's.

    The position in an epoch, the learning rate and its schedule all count in batches of that size.
    """

    def __init__(self) -> None:
        self._accumulated = 1
        self._expected: dict[str, Any] | None = None

    def state(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Return the samples per batch over all devices (None if the loader does not know) and the accumulation."""
        size = getattr(trainer.train_dataloader, "batch_size", None)
        return {"batch": size and size * trainer.world_size, "accumulated": self._accumulated}

    def on_load_checkpoint(self, state: dict[str, Any]) -> None:
        """Take the sizes of the checkpoint."""
        self._expected = state

    def on_fit_start(self, trainer: pl.Trainer) -> None:
        """Record the user's own accumulation, which methods and schedules may change later."""
        self._accumulated = trainer.accumulate_grad_batches

    def on_train_start(self, trainer: pl.Trainer) -> None:
        """Compare the user's own accumulation with that of the checkpoint.

        Raises:
            ValueError: if the sizes differ.
        """
        expected, self._expected = self._expected, None
        if expected is None or expected == (found := self.state(trainer)):
            return
        wanted, given = (f"{sizes['batch']} samples × {sizes['accumulated']}" for sizes in (expected, found))
        raise ValueError(
            f"{trainer.ckpt_path} was written with batches of {wanted} accumulated, this run has {given}: its order of "
            "samples and its learning rate hold for the first only. Set data.batch_size, trainer.devices and "
            "trainer.accumulate_grad_batches to the same product, or start a new run"
        )
