"""All that reads or writes the counters of Lightning's loops; tests/vidcorr/test_loops.py pins them.

It imports no Lightning: a `Trainer` stands for Lightning's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Trainer = Any


def accumulates(trainer: Trainer) -> bool:
    """Return True if an optimiser step takes several batches, and further batches of the newest step are to come.

    At the end of an epoch it is False: Lightning then steps with the batches that there are.
    """
    batches = _batches(trainer)
    return batches % trainer.accumulate_grad_batches != 0 and not ends_epoch(trainer, batches)


def _batches(trainer: Trainer) -> int:
    """Return how many batches of the current epoch have begun; batches that are completed count too."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.started


def place_of_batch(trainer: Trainer) -> tuple[int, int]:
    """Return epoch and index, both from 0, of the batch that is being trained on."""
    return trainer.current_epoch, trainer.fit_loop.batch_idx


def batches_trained(trainer: Trainer) -> int:
    """Return how many batches of the current epoch have been trained on."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.processed


def batches_in_all(trainer: Trainer) -> int:
    """Return how many batches of all epochs have been trained on."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed


def places_of_loaders(trainer: Trainer) -> list[Any]:
    """Return the states of the loaders of the training that have one."""
    return trainer.fit_loop._combined_loader._state_dicts()


def make_loader(trainer: Trainer) -> None:
    """Make the loader of the training and count its batches; a second call does nothing."""
    trainer.fit_loop.setup_data()


def logs_step_of(trainer: Trainer, batch: int) -> bool:
    """Return True if a batch of the epoch, counted from 0, ends an optimiser step that the Trainer logs.

    Call it in the training step of this batch, before Lightning counts the optimiser step. It is False for the last
    batch of an epoch if Lightning steps there with fewer batches than usual.
    """
    ends_step = (batch + 1) % trainer.accumulate_grad_batches == 0
    step = trainer.fit_loop.epoch_loop._batches_that_stepped + 1  # number of this batch's step, not counted yet
    every = trainer.log_every_n_steps  # 0 logs nothing
    return bool(every) and ends_step and step % every == 0


def ends_epoch(trainer: Trainer, batch: int) -> bool:
    """Return True if a batch, counted from 1, is the last of the epoch.

    A loader without a length counts as infinite. It tells that a batch is the last only when it gives this batch.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    known_as_last = batch == progress.current.ready and progress.is_last_batch
    return known_as_last or batch >= trainer.num_training_batches


def is_resumable(trainer: Trainer) -> bool:
    """Return True if a run can resume exactly from the present state.

    True at the start of an epoch, and between two optimiser steps of an epoch. False within a batch, in a validation,
    and at the end of an epoch: a resumed run would skip the hooks of this end.

    Lightning has four counters of epochs and of batches: ready, started, processed and completed. Each epoch or batch
    raises them in this order.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    is_at_start_of_epoch = epochs.ready > epochs.started
    if is_at_start_of_epoch:
        return True
    completed = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    is_within_epoch = epochs.processed < epochs.started and not ends_epoch(trainer, completed)
    # `training` is False in a validation; a batch that has begun and is not completed is still being trained on
    is_between_batches = trainer.training and completed == _batches(trainer)
    is_between_steps = is_between_batches and not accumulates(trainer)  # no batch of the next step is done yet
    return is_within_epoch and is_between_steps


def ends_within_epoch(trainer: Trainer) -> bool:
    """Return True if Lightning ends the run after the newest batch, within an epoch, where no validation is due.

    Lightning ends it there if `trainer.should_stop` is set, by `max_time` or a callback, and `min_epochs` and
    `min_steps` are reached. A validation is due after every `val_check_batch` batches. The function is asked when a
    validation begins, so never in an epoch that `check_val_every_n_epoch` leaves without one.
    """
    epochs = trainer.fit_loop.epoch_progress.current.processed
    may_stop = epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    batch = _batches(trainer)
    if not (trainer.should_stop and may_stop) or ends_epoch(trainer, batch):
        return False
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch = trainer.fit_loop.total_batch_idx + 1
    # True if no validation is due; with an interval in time, `val_check_batch` is None, and none is due at a batch
    return trainer.val_check_batch is None or batch % trainer.val_check_batch != 0


def logged_step(trainer: Trainer) -> int:
    """Return the step under which Lightning logs within its loops: the number of optimiser steps that were logged.

    Lightning raises the number after the hooks of a step. After the last batch of an epoch the number is one too large,
    until the end of the epoch is logged.
    """
    # Lightning keeps the number private; a checkpoint would hold it
    counts = trainer.fit_loop.epoch_loop.on_save_checkpoint()
    return int(counts["_batches_that_stepped"])


def epochs_completed(trainer: Trainer) -> int:
    """Return the number of epochs that were trained to their end.

    Lightning's own number includes an epoch that was stopped before its end.
    """
    started: int = trainer.fit_loop.epoch_progress.current.started
    newest_is_whole = ends_epoch(trainer, _batches(trainer))
    return started if newest_is_whole else started - 1


def has_reached_its_length(trainer: Trainer) -> bool:
    """Return True if a training has all its epochs or steps, or `EarlyStopping` ended it.

    A training that `max_time` or another callback ended earlier can be resumed.
    """
    if any(stopping.stopping_reason.value for stopping in trainer.early_stopping_callbacks):  # 0: it has not stopped
        return True
    has_steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    has_epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs_completed(trainer)
    return has_steps or has_epochs


def stay_within_epoch(trainer: Trainer, checkpoint: dict[str, Any], places: Sequence[object] = ()) -> None:
    """Change the counters of a checkpoint from within an epoch.

    The counters get the values that Lightning has in the hook `on_train_batch_end`, from which it can resume. After n
    batches of the first epoch, ready, started, processed and completed are then 1, 1, 0, 0 for epochs and n, n, n,
    n - 1 for batches. Without the change, Lightning would count an epoch that was stopped early as complete, and would
    skip a batch that had just begun.

    The function changes the content of `checkpoint`. It changes nothing at the end of an epoch or within a batch.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epochs = loops["epoch_progress"]
    batches = loops["epoch_loop.batch_progress"]
    done = batches["current"]["processed"]
    after_batch = done > 0 and done == batches["current"]["started"]  # else at an epoch's start, or within a batch
    if not after_batch or ends_epoch(trainer, done):
        return
    is_in_hook = batches["current"]["completed"] < done  # Lightning raises `completed` after the hook
    # Lightning counts a step after the hook and a validation that follows; a resumed run counts it from the state in
    # the hook. So a step that is counted already is taken back
    if trainer.training and not is_in_hook:
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    for counts in epochs.values():  # the epoch is neither processed nor completed
        counts.update(processed=counts["started"] - 1, completed=counts["started"] - 1)
    for counts in (batches["total"], batches["current"]):  # the batch is processed, and none is ready after it
        counts.update(ready=counts["processed"], completed=counts["processed"] - 1)
    batches["is_last_batch"] = False
    checkpoint["epoch"] = epochs["current"]["processed"]
    if places:  # a loader counts the batch that had just begun, and that will be given again
        loops["state_dict"]["combined_loader"] = list(places)
    for state in loops["state_dict"].get("combined_loader", []):
        if "batches" in state:  # our loader's count includes the batch that had just begun; it will be given again
            state["batches"] = batches["current"]["processed"]


def complete_epoch(checkpoint: dict[str, Any]) -> None:
    """Change a checkpoint from between two epochs, so that its epoch counts as completed.

    Lightning would otherwise run the epoch's last hooks again.
    """
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
    if epochs["current"]["processed"] == epochs["current"]["started"]:  # between two epochs: else nothing is changed
        for counts in epochs.values():
            counts.update(dict.fromkeys(counts, counts["processed"]))


def restore_early(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Restore the loops of a resumed run earlier than Lightning does.

    Call this before a learning-rate schedule asks for the number of batches. The question lets Lightning make the
    loaders, and Lightning tells a loader at which batch to resume only if the loops are restored by then.
    """
    trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])


def is_between_epochs(trainer: Trainer) -> bool:
    """Return True if a resumed run begins with a new epoch, since its newest epoch is whole."""
    epochs = trainer.fit_loop.epoch_progress.current
    return epochs.processed == epochs.started


def begin_next_epoch(trainer: Trainer) -> None:
    """Let a run that resumes between two epochs begin the next epoch at its first batch.

    Call it at the start of the training. As long as `restarting` is True, Lightning would go on within an epoch.
    """
    trainer.fit_loop.epoch_loop.restarting = False


def follow_schedules(trainer: Trainer) -> None:
    """Let schedules that follow a score, such as ReduceLROnPlateau, step in the epoch in which a run resumes.

    Such schedules step at the end of the epoch, but Lightning skips them as long as `fit_loop.restarting` is True. So
    call this function at a batch of the epoch. It does nothing if `max_steps` is set: Lightning then keeps True.
    """
    if trainer.fit_loop.restarting and trainer.max_steps == -1:
        trainer.fit_loop.restarting = False


def accumulate(trainer: Trainer, batches: int) -> None:
    """Set the number of batches per optimiser step, until `restore_accumulation` sets it to 1 again."""
    trainer.accumulate_grad_batches = batches
    trainer.accumulated_by_method = batches  # tells `restore_accumulation` that the number is not the user's


def restore_accumulation(trainer: Trainer) -> None:
    """Set the number of batches per optimiser step back to 1, if `accumulate` set it and nobody else since.

    It is called at the start of a fit too, because an earlier fit may have ended in an error.
    """
    set_before = trainer.__dict__.pop("accumulated_by_method", None)  # removed: later numbers are the user's
    if set_before is not None and set_before == trainer.accumulate_grad_batches:
        trainer.accumulate_grad_batches = 1
