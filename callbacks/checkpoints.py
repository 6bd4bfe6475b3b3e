"""The last checkpoint of a training, from which it resumes exactly.

A run resumes exactly from two kinds of states: the start of an epoch, and the start of an optimiser step within one,
once the step before it is complete, logged and validated (`loops.is_resumable`). All random draws are functions of
seed, epoch and step, so no generator is saved; the place in the data is the state of the loader (`ResumableLoader`).
"""

import copy
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, Timer
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.utils._pytree import tree_leaves

from vidcorr import loops
from vidcorr.benchmarks.ranks import Ranks
from vidcorr.videos.files import require_at_least
from vidcorr.videos.folder_lock import folder_lock

from .averages import averages_among
from .benchmark import benchmarks_among
from .checkpoint_files import require_savable, use_atomic_files
from .run_folder import begins_branch, checkpoint_folder, hide_logs

log = logging.getLogger(__name__)

ANEW = "to begin anew from the weights, give them to --model.backbone, without --ckpt_path"
"""Remedy for a checkpoint that no run can resume from."""
LEARNING_STATE = "current_model_state"
"""Lightning's key for the weights that learn, in a checkpoint whose `state_dict` is their average."""


class TrainingStopped(RuntimeError):
    """Error for a training whose loss or weights are not finite; all ranks raise it, and nothing is saved."""


class LastCheckpoint(ModelCheckpoint):
    """Keep `last.ckpt`, from which a run resumes exactly as if it had not been interrupted.

    It is written every few steps, before each epoch and after the run; and before `Stops`, `max_time`,
    `trainer.should_stop` or an error end the run within an epoch. What the run logged before is on disk by then.
    A run that is killed, or stopped between the last step of an epoch and the next epoch (also in a validation),
    resumes from the file written before, and repeats at most `every_n_steps` steps, bit by bit.
    Another run in the same folder writes `last-v1.ckpt`.
    If a run resumes within an epoch, the means that are logged for this epoch cover only the batches after that.

    Args:
        every_n_steps: optimiser steps between checkpoints; a `kill -9` costs at most these steps.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from holds no
            state of a training, or was written within an optimiser step, with another batch size or another optimiser.
        FolderInUse: if another run writes to the folder.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        require_at_least(1, "LastCheckpoint", every_n_steps=every_n_steps)
        super().__init__(dirpath, save_last=True, save_top_k=0)
        self.every_n_steps = every_n_steps
        self._given_folder = dirpath
        self._lock = ExitStack()
        self._reset()

    def _reset(self) -> None:
        self.last_model_path = ""
        # batches trained on in all, and the states of the loaders after them
        self._places: tuple[int, list[Any]] = (-1, [])
        # `batches` and `optimisers` of this run, in checkpoints
        self._note: dict[str, Any] = {}
        self._resumed: dict[str, Any] | None = None
        # a stop between accumulated batches: their step is completed first
        self._stop_after_step = False
        self._is_at_last_validation = False
        self._save_has_failed = False
        # the trained weights at the end of an epoch, beside their average
        self._learning: dict[str, Tensor] | None = None
        self._saved_step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, install `AtomicCheckpointIO`, and move this callback to the end of the Trainer's list.

        Lightning takes the best file from the first `ModelCheckpoint` of the list, which must not be this one.
        """
        # a new list: Lightning goes through the old one
        others = [callback for callback in trainer.callbacks if callback is not self]  # type: ignore[attr-defined]
        trainer.callbacks = [*others, self]  # type: ignore[attr-defined]
        if stage == "fit":
            self._reset()
        use_atomic_files(trainer)
        self.dirpath = checkpoint_folder(trainer, self._given_folder)
        super().setup(trainer, pl_module, stage)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the loops from the checkpoint that a fit resumes from, earlier than Lightning does.

        A learning-rate schedule may let Lightning make the loaders before it restores the loops; they would then begin
        at their first batch. A checkpoint between two epochs is changed first: its epoch counts as ended
        (`loops.complete_epoch`). The time that `max_time` counted is dropped, so a resumed job has the whole time
        again. If the file is this run's own `last.ckpt`, later saves replace it.
        """
        if trainer.state.fn != "fit":
            return
        self._resumed = checkpoint.get("resume", {})
        if self._resumed.get("within_step"):
            raise ValueError(f"{trainer.ckpt_path} was written within an optimiser step: name a last.ckpt")
        # in this order: the message has the file's own epoch, the restored loops take the completed one
        written = f"step {checkpoint['global_step']}, epoch {checkpoint['epoch']}"
        rank_zero_info(f"resuming from {trainer.ckpt_path}: {written}")
        loops.complete_epoch(checkpoint)
        loops.restore_early(trainer, checkpoint)
        for timer in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(timer, Timer):
                checkpoint["callbacks"].pop(timer.state_key, None)
        # go on in the run's own file, unless a new run branches off
        path = Path(str(trainer.ckpt_path)).resolve()
        is_here = str(path.parent) == self.dirpath and path.name.startswith(self.CHECKPOINT_NAME_LAST)
        if not begins_branch(trainer, checkpoint) and is_here:
            self.last_model_path = str(path)

    def state_dict(self) -> dict[str, Any]:
        """Return no state: where a run continues follows from the file that it resumes from."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: `state_dict` holds no state."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add to a checkpoint of a fit what a resumed run needs: batches, optimisers, trained weights, its place."""
        if trainer.state.fn != "fit":
            return
        # `_note`: facts about batches and optimisers; a checkpoint from within an optimiser step cannot be resumed
        checkpoint["resume"] = self._note | {"within_step": loops.accumulates(trainer)}
        if self._learning is not None and LEARNING_STATE in checkpoint:
            checkpoint[LEARNING_STATE] = self._learning
        # sets the counters, so that a run that resumes from within an epoch continues this epoch
        batches, places = self._places
        # a callback that saves at the end of a batch before this one does, where Lightning has the right states
        is_present = batches == loops.batches_in_all(trainer)
        loops.stay_within_epoch(trainer, checkpoint, places if is_present else ())

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lock the folder against other runs, and note the settings of the optimisers before Lightning loads others.

        Raises:
            ValueError: for a checkpoint to resume from that holds weights alone, and for states that no file can hold.
        """
        require_savable(trainer, pl_module)
        # Lightning calls no `on_load_checkpoint` of callbacks for a file that holds no state of callbacks
        if trainer.ckpt_path and self._resumed is None:
            raise ValueError(f"{trainer.ckpt_path} holds weights, but no state of a training: {ANEW}")
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._note["optimisers"] = list(map(_group_settings, groups))
        with Ranks() as ranks, ranks.together():
            if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                self._lock.enter_context(folder_lock(Path(str(self.dirpath))))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to resume with other batches or optimisers, and hide logged steps that the run will log again."""
        self._saved_step = trainer.global_step
        samples: list[str] = []
        for loader in tree_leaves(trainer.train_dataloader):
            size = getattr(loader, "batch_size", None)
            samples.append(str(size and size * trainer.world_size))
        self._note["batches"] = f"{' + '.join(samples)} samples × {trainer.accumulate_grad_batches}"
        if self._resumed is None:
            return
        for name in ("batches", "optimisers"):
            if name in self._resumed and self._resumed[name] != self._note[name]:
                before = f"its {name} are {self._resumed[name]}, this run's {self._note[name]}"
                raise ValueError(f"{trainer.ckpt_path}: {before}: a resumed training keeps both; {ANEW}")
        _hide_later_logs(trainer)
        if loops.is_between_epochs(trainer):
            loops.begin_next_epoch(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the previous epoch, after all of its hooks."""
        # the copy counts at the end of an epoch only
        self._learning = None
        self.save(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Save every `every_n_steps` steps; in the epoch of a resumption, let schedules follow their score."""
        if trainer.global_step - self._saved_step >= self.every_n_steps:
            self.save(trainer)
        loops.follow_schedules(trainer)

    def on_train_batch_end(self, trainer: Trainer, *args: object, **options: object) -> None:
        """Delay a stop by `max_time` or a callback until the optimiser step ends; Lightning would drop gradients."""
        if loops.accumulates(trainer):
            self._stop_after_step |= trainer.should_stop
            trainer.should_stop = False
        else:
            trainer.should_stop |= self._stop_after_step
        # before Lightning draws the next batch, which a loader that is not ours would count as trained on
        self._places = (loops.batches_in_all(trainer), copy.deepcopy(loops.places_of_loaders(trainer)))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the validation that Lightning adds to a run that ends within an epoch: a longer run has none."""
        is_in_fit = trainer.state.fn == "fit" and not trainer.sanity_checking
        if is_in_fit and loops.ends_within_epoch(trainer):
            self._write(trainer)
            self._is_at_last_validation = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the trained weights if a callback averages weights; save again after a validation that ends the run.

        After the training, Lightning replaces the trained weights by the average; a longer run goes on from the copy.
        """
        if averages_among(trainer):
            self._learning = {name: weight.clone() for name, weight in pl_module.state_dict().items()}
        if self._is_at_last_validation:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the run with the scores of benchmarks after the last step, unless the step is saved."""
        if trainer.global_step > self._saved_step and not loops.accumulates(trainer):
            self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if a run can resume from the present state, and say where it would continue."""
        try:
            if trainer.state.fn == "fit" and trainer.global_step:
                self.save(trainer, exception)
                path = self.last_model_path or "nothing"
                rank_zero_info(f"ended in step {trainer.global_step}; saved after step {self._saved_step}: {path}")
        finally:
            _flush_loggers(trainer)
            # Lightning calls no `teardown` after an exception
            self._lock.close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Release the lock of the folder."""
        self._lock.close()

    def save(self, trainer: Trainer, error: BaseException | None = None) -> None:
        """Save the newest step, if it is not saved and a run can resume from the present state.

        After a save that failed, later calls save nothing.

        Args:
            trainer: the trainer, of every rank: a save waits for all of them.
            error: the error that ends the run; None while it trains. With an error, a save that fails is logged, not
                raised. Nothing is saved if the error is `TrainingStopped` (the loss or the weights are not finite), or
                if another rank may not have it.

        Raises:
            OSError: if the file cannot be written; an earlier file is kept.
            TrainingStopped: without `error`, if the loss or the weights are found not to be finite.
        """
        if self._save_has_failed or trainer.global_step <= self._saved_step or not loops.is_resumable(trainer):
            return
        # after a signal `Stops` raises SystemExit at one step on all ranks; another error may be of this rank alone
        on_all_ranks = trainer.world_size == 1 or error is None or isinstance(error, SystemExit)
        if isinstance(error, TrainingStopped) or not on_all_ranks:
            return
        try:
            self._write(trainer)
        except (OSError, ValueError, TrainingStopped) as failure:
            self._save_has_failed = True
            if error is None:
                raise
            log.error("not saved: %s", failure)

    def _write(self, trainer: Trainer) -> None:
        """Write `last.ckpt`, once all that was logged is on disk; every rank must call it."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        _flush_loggers(trainer)
        path = self.last_model_path or self._new_path(trainer)
        trainer.save_checkpoint(path, weights_only=False)
        self.last_model_path = path
        self._saved_step = trainer.global_step
        # as Lightning's own saves do: a logger may upload the checkpoint
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)

    def _new_path(self, trainer: Trainer) -> str:
        path = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST)
        numbers = count(1)
        while self.file_exists(path, trainer):
            path = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST, ver=next(numbers))
        return path


def last_checkpoints(trainer: Trainer) -> list[LastCheckpoint]:
    """Return the `LastCheckpoint` callbacks of a trainer: usually one, or none."""
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)]


def best_of_run(trainer: Trainer) -> str:
    """Return the path of a run's best checkpoint, or of its last one if no callback saves the best.

    "" if the run has saved no checkpoint.
    """
    last = ""
    for saver in trainer.checkpoint_callbacks:
        best: str = getattr(saver, "best_model_path", "")
        if best:
            return best
        if isinstance(saver, LastCheckpoint):
            last = saver.last_model_path
    return last


def _hide_later_logs(trainer: Trainer) -> None:
    """Hide the steps that a run logged after the checkpoint from which it resumes; the run will log them again.

    Scores of benchmarks at the checkpoint's step are logged again here, because the resumed run does not repeat them.
    """
    scores: dict[str, float] = {}
    for benchmark in benchmarks_among(trainer):
        scores |= benchmark.history.get(trainer.global_step, {})
    first_hidden = loops.logged_step(trainer)
    if not loops.is_between_epochs(trainer):
        # within an epoch `logged_step` is the last trained step, whose values are on disk
        first_hidden += 1
    hide_logs(trainer, first_hidden, scores)


def _group_settings(group: Mapping[str, object]) -> dict[str, Any]:
    settings = {name: group[name] for name in ("weight_decay", "momentum", "betas") if name in group}
    return {"lr": group.get("initial_lr", group["lr"])} | settings


def _flush_loggers(trainer: Trainer) -> None:
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.save()
