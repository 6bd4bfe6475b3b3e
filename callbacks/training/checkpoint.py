"""The checkpoints of a training: its last state, and the best one by a benchmark."""

import logging
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, GradientAccumulationScheduler, ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from ..benchmarks.base import BenchmarkCallback
from .checkpoint_files import ResumeNote, read_state
from .run_folder import LAST, checkpoint_folder, last_checkpoints
from .safeguards import Safeguards, TrainingStopped, accumulates, waits_for_ranks

log = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt`, from which `--ckpt_path last` resumes a run exactly as if it had not been interrupted.

    It is written every few steps, before the last step of each epoch, at the end of each epoch and of the run, and when
    the run is stopped by SIGTERM, Ctrl-C or an error. It always holds a moment between two optimiser steps, or between
    two epochs, that Lightning resumes from correctly: from a step to the end of a validation or epoch that follows it
    nothing is saved, and a run that is stopped there repeats that step. Nothing is saved after a non-finite loss. What
    was logged up to the checkpoint is on disk with it. Means over an epoch in which a run was resumed cover the batches
    since then.

    Args:
        every_n_steps: optimiser steps from one checkpoint to the next; a `kill -9` costs at most these.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from was written
            within an optimiser step, or with another batch size.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        if every_n_steps < 1:
            raise ValueError(f"LastCheckpoint: every_n_steps is {every_n_steps}, it must be at least 1")
        self.every_n_steps, self.dirpath = every_n_steps, dirpath
        self.best_model_path = ""
        """Path under the name by which Lightning's Trainer finds it; empty until the run has written it."""
        self._note = ResumeNote()
        self._resumed: ResumeNote | None = None
        self._loader_states: list[dict[str, Any]] | None = None  # None: the checkpoint is from between two epochs
        self._resumable = False
        self._saved_step = 0  # before anything is saved, the step at which the run began or resumed
        self._counters: dict[str, Any] | None = None
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder; run after all callbacks whose state is to be saved, and before what ends the run."""
        if stage == "fit":
            self.dirpath = checkpoint_folder(trainer, self.dirpath)
            callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
            # in a new list: Lightning may be walking through this one
            trainer.callbacks = sorted(callbacks, key=lambda each: 2 if isinstance(each, Safeguards) else each is self)  # type: ignore[attr-defined]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the place in the training from the checkpoint."""
        if trainer.state.fn != "fit":
            return
        self._resumed = read_state(checkpoint, trainer.ckpt_path).resume
        if self._resumed.within_step:
            raise ValueError(
                f"{trainer.ckpt_path} was written within an optimiser step, between two accumulated batches: no run "
                f"can resume from it; name a {LAST}"
            )
        counters = checkpoint["loops"]["fit_loop"]
        epochs = counters["epoch_progress"]
        if epochs["current"]["processed"] != epochs["current"]["started"]:
            self._loader_states = counters["state_dict"].get("combined_loader", [])
        else:  # all hooks of the epoch's end have run; with `max_steps` Lightning would repeat some
            self._loader_states = None
            counters["state_dict"].pop("combined_loader", None)
            for counts in epochs.values():
                counts.update(dict.fromkeys(counts, counts["processed"]))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record what Lightning does not: which run this is, and the sizes of its batches."""
        if trainer.state.fn != "fit":
            return
        checkpoint["resume"] = self._note.model_copy(update={"within_step": accumulates(trainer)}).model_dump()
        if self._note.run_ended and self._counters is not None:
            checkpoint["loops"]["fit_loop"] = self._counters

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Number the run after all others in its folder."""
        # methods and schedules may change the number of accumulated batches later
        self._note = ResumeNote(accumulated=trainer.accumulate_grad_batches)
        self._resumable, self._flush_due, self._counters = False, False, None
        self.best_model_path = ""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            earlier = last_checkpoints(trainer.default_root_dir, [str(self.dirpath)], skip_damaged=True)
            self._note.run = max((file.run for file in earlier), default=-1) + 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue at the batch of the checkpoint, with batches of its size."""
        self._saved_step = trainer.global_step
        size = getattr(trainer.train_dataloader, "batch_size", None)
        self._note.batch = size and size * trainer.world_size
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return
        before, now = ((note.batch, note.accumulated) for note in (resumed, self._note))
        if resumed.accumulated is not None and before != now:
            wanted, given = (f"{batch} samples × {accumulated}" for batch, accumulated in (before, now))
            raise ValueError(
                f"{trainer.ckpt_path} was written with batches of {wanted} accumulated, this run has {given}: its "
                "order of samples and its learning rate hold for the first only. Set data.batch_size, trainer.devices "
                "and trainer.accumulate_grad_batches to the same product, or start a new run"
            )
        if self._loader_states is None:
            trainer.fit_loop.epoch_loop.restarting = False
            return
        # Lightning forgets the loader's state where something, as a schedule, has asked for the loader before; our
        # methods restore it by themselves, with any callback that saves, and this does for any other module
        loader: Any = trainer.train_dataloader
        if len(self._loader_states) == 1 and hasattr(loader, "load_state_dict"):
            loader.load_state_dict(self._loader_states[0])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):  # it acts at the start of an epoch only
                callback.on_train_epoch_start(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save once all that belongs to the epoch before is done."""
        if self._resumable and trainer.global_step > self._saved_step:
            self._save(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write out what was logged with the checkpoint; its own step is logged only after it."""
        self._resumable = False
        if self._flush_due:
            _flush(trainer)
            self._flush_due = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every few steps, and before a step that ends an epoch or is followed by a validation."""
        if accumulates(trainer):
            return
        done, steps_done = batch_idx + 1, trainer.global_step == trainer.max_steps
        within_epoch = not _closes(trainer, done)
        self._resumable = within_epoch and not steps_done
        if within_epoch and steps_done:  # should the run be made longer, this is where it continues
            self._counters = trainer.fit_loop.state_dict()
        window = range(done + 1, done + trainer.accumulate_grad_batches + 1)
        closing = trainer.global_step + 1 == trainer.max_steps or any(_closes(trainer, number) for number in window)
        if self._resumable and (closing or trainer.global_step - self._saved_step >= self.every_n_steps):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Allow to save from here on, unless the end of the run comes next, which is saved as a whole."""
        ends = trainer.global_step == trainer.max_steps or trainer.current_epoch + 1 == trainer.max_epochs
        self._resumable = not (ends or trainer.should_stop)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of the run, with the scores of benchmarks that ran after the last step."""
        self._note.run_ended = True
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save a checkpoint that a run can resume from."""
        if waits_for_ranks(trainer):
            return
        together = trainer.world_size == 1 or isinstance(exception, SIGTERMException)
        if trainer.state.fn == "fit" and together and not isinstance(exception, TrainingStopped):
            try:
                if self._resumable and trainer.global_step > self._saved_step:
                    self._save(trainer)
            except (OSError, TrainingStopped) as error:
                log.error("not saved: %s", error)
            else:
                self._report(trainer)
        _flush(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        if self.best_model_path:
            rank_zero_info(f"{self.best_model_path} holds step {self._saved_step}; --ckpt_path last resumes from there")
        elif trainer.global_step > self._saved_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_info("nothing is saved: no step since the run began or resumed is one that it could resume from")

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = f"{self.dirpath}/{LAST}"
        trainer.save_checkpoint(path, weights_only=False)
        self.best_model_path, self._saved_step, self._flush_due = path, trainer.global_step, True


def _closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is its last, or followed by a validation.

    Where the length of an epoch is not known, its last batch is known only when it has come.
    """
    loop, interval = trainer.fit_loop, trainer.val_check_batch
    known_as_last = batch == loop.batch_idx + 1 and loop.epoch_loop.batch_progress.is_last_batch
    if known_as_last or batch >= trainer.num_training_batches:
        return True
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch += loop.total_batch_idx - loop.batch_idx
    return interval is not None and batch % interval == 0


def _flush(trainer: pl.Trainer) -> None:
    """Write out what loggers buffer; TensorBoard's thread would do so within two minutes."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.save()


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoints with the best scores of a benchmark, and compare only when that benchmark has just run.

    Lightning's `ModelCheckpoint` itself takes the score that was logged last, however old, and needs one from the first
    epoch on.

    Args:
        monitor: a logged score, `<benchmark>/<key>`.
        mode: `max` or `min`.
        save_top_k: how many to keep; −1: all.
        filename: filename of the checkpoint, without `.ckpt`; it may hold `{epoch}` and `{step}`.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        MisconfigurationException: for a bad mode or number.
        ValueError: at the start of `fit`, if no callback is the benchmark that `monitor` names, or that benchmark does
            not log this score.
    """

    monitor: str

    def __init__(
        self,
        monitor: str = "davis/J&F-Mean",
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
        filename: str = "best-{epoch:03d}-{step:06d}",
        dirpath: str | Path | None = None,
    ) -> None:
        super().__init__(dirpath, filename, monitor, save_top_k=save_top_k, mode=mode, save_on_train_epoch_end=False)
        self.benchmark: BenchmarkCallback | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder and the benchmark."""
        if stage != "fit":
            return
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        benchmarks = {callback.name: callback for callback in callbacks if isinstance(callback, BenchmarkCallback)}
        name, wrong = self.monitor.partition("/")[0], f"BestCheckpoint(monitor={self.monitor!r})"
        if name not in benchmarks:
            there = ", ".join(benchmarks) or "there is none"
            raise ValueError(f"{wrong}: no benchmark {name!r} among the callbacks ({there})")
        self.benchmark = benchmarks[name]
        keys = self.benchmark.score_keys  # empty: a user's benchmark that declares none
        if keys and self.monitor not in keys:
            raise ValueError(f"{wrong}: {name} logs no such score; it logs {', '.join(keys)}")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best scores so far; those in the folder of another run do not count."""
        if state_dict["dirpath"] == self.dirpath:
            super().load_state_dict(state_dict)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark has just run, succeeded, and gave one of the best scores.

        Raises:
            MisconfigurationException: if it did not give the score that `monitor` names.
        """
        if self.benchmark is not None and trainer.global_step in self.benchmark.history:
            super().on_validation_end(trainer, pl_module)

    on_train_end = on_validation_end  # where the benchmark ran after the last step

    def _monitor_candidates(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        """Return the scores of the benchmark's newest run; Lightning keeps none of what runs after the last step."""
        assert self.benchmark is not None
        scores = self.benchmark.history[trainer.global_step]
        numbers = {"epoch": torch.tensor(trainer.current_epoch), "step": torch.tensor(trainer.global_step)}
        return numbers | {name: torch.tensor(score, dtype=torch.float64) for name, score in scores.items()}
