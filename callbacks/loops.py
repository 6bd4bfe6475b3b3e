"""All that reads or writes the counters of Lightning's loops; tests/callbacks/test_loops.py pins them."""

from typing import Any

import pytorch_lightning as pl


def accumulates(trainer: pl.Trainer) -> bool:
    """Return whether the optimiser's next step needs further batches."""
    batches = trainer.fit_loop.batch_idx + 1
    return batches % trainer.accumulate_grad_batches != 0 and not ends_epoch(trainer, batches)


def ends_epoch(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is its last; without a length only the newest is known."""
    loop = trainer.fit_loop
    known_as_last = batch == loop.batch_idx + 1 and loop.epoch_loop.batch_progress.is_last_batch
    return known_as_last or batch >= trainer.num_training_batches


def closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is the epoch's last, or precedes a validation."""
    if ends_epoch(trainer, batch):
        return True
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch += trainer.fit_loop.total_batch_idx - trainer.fit_loop.batch_idx
    return trainer.val_check_batch is not None and batch % trainer.val_check_batch == 0


def reaches_limit(trainer: pl.Trainer, more: int = 0) -> bool:
    """Return whether the run has made `max_steps` optimiser steps, or will have after some more."""
    return trainer.max_steps != -1 and trainer.global_step + more >= trainer.max_steps


def stops_early(trainer: pl.Trainer) -> bool:
    """Return whether `trainer.should_stop`, which `max_time` and callbacks set, ends the run after this batch."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def logged_step(trainer: pl.Trainer) -> int:
    """Return the step at which Lightning logs within its loops: the number of batches that stepped, from 0.

    After the last batch of an epoch, until its end is logged, it is one more.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def epochs_completed(trainer: pl.Trainer) -> int:
    """Return the number of epochs that were trained to their end; Lightning also counts one that a stop cuts."""
    whole = ends_epoch(trainer, trainer.fit_loop.batch_idx + 1)
    return trainer.fit_loop.epoch_progress.current.started - (not whole)  # type: ignore[attr-defined]


def stay_within_epoch(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Set the counters in a checkpoint from within an epoch as they are in the hook `on_train_batch_end`.

    From there Lightning resumes exactly. After a stop it counts the cut epoch as complete, and would begin the next.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epochs = loops["epoch_progress"]
    batches = loops["epoch_loop.batch_progress"]
    after_batch = 0 < batches["current"]["ready"] == batches["current"]["processed"]
    if not after_batch or ends_epoch(trainer, batches["current"]["ready"]):
        return
    if is_between_epochs(checkpoint):  # after the hook Lightning has counted the step of the batch
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    for counts in epochs.values():
        counts.update(processed=counts["started"] - 1, completed=counts["started"] - 1)
    for name in ("total", "current"):
        batches[name]["completed"] = batches[name]["processed"] - 1
    checkpoint["epoch"] = epochs["current"]["processed"]


def count_logged_steps(checkpoint: dict[str, Any]) -> int:
    """Return the number of steps that a run had logged at a checkpoint."""
    loops = checkpoint["loops"]["fit_loop"]
    batches = loops["epoch_loop.batch_progress"]["total"]
    logged_now = batches["processed"] - batches["completed"]  # 1 in `on_train_batch_end`: its step is not counted yet
    return loops["epoch_loop.state_dict"]["_batches_that_stepped"] + logged_now


def is_between_epochs(checkpoint: dict[str, Any]) -> bool:
    """Return whether Lightning counts all epochs of a checkpoint as trained to their end."""
    epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    return epoch["processed"] == epoch["started"]


def complete_epoch(checkpoint: dict[str, Any]) -> None:
    """Count the epoch of a checkpoint between two epochs as ended: else Lightning would repeat its last hooks."""
    for counts in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
        counts.update(dict.fromkeys(counts, counts["processed"]))


def begin_next_epoch(trainer: pl.Trainer) -> None:
    """Let a run that resumes between two epochs begin with a first batch; called at the start of the training."""
    trainer.fit_loop.epoch_loop.restarting = False


def follow_schedules(trainer: pl.Trainer) -> None:
    """Let schedules that follow a score move at the end of the epoch that a run has resumed in; called at a batch."""
    if trainer.fit_loop.restarting and trainer.max_steps == -1:  # with `max_steps` Lightning takes no False
        trainer.fit_loop.restarting = False
