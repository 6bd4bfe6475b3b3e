"""The checkpoints of a training: its last state, and the best state by a benchmark."""

import logging
import math
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, GradientAccumulationScheduler
from pytorch_lightning.utilities import rank_zero_info

from vidcorr.videos.guards import require_at_least

from .benchmark import BenchmarkCallback
from .run_folder import LAST, checkpoint_folder, last_checkpoints
from .safeguards import STOP_ERRORS, Safeguards, TrainingStopped, accumulates, ends_epoch, is_stopping, waits_for_ranks

log = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt`, from which `--ckpt_path last` resumes a run exactly as if it had not been interrupted.

    It is written every few steps, before the last step of an epoch, at the end of an epoch and of the run, and when
    SIGTERM, Ctrl-C or an error stops the run. It always holds a state from which Lightning resumes correctly, between
    two optimiser steps or two epochs. From a step that ends an epoch or precedes a validation, to the end of the epoch
    or validation, Lightning could not resume: nothing is saved, and a run that is stopped in between repeats this step.
    Nothing is saved after a non-finite loss. The logs up to a checkpoint are on disk with it. In an epoch that was
    resumed, means over the epoch cover only the batches after the resumption.

    Args:
        every_n_steps: optimiser steps between checkpoints; a `kill -9` costs at most these steps.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from was written
            within an optimiser step or with another batch size.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        require_at_least(1, "LastCheckpoint", every_n_steps=every_n_steps)
        self.every_n_steps, self.dirpath = every_n_steps, dirpath
        self.best_model_path = ""
        """Path of the checkpoint, by Lightning's name for it; empty until the run has written it."""
        self._note: dict[str, Any] = {}
        self._resumed: dict[str, Any] | None = None
        self._loader_states: list[dict[str, Any]] | None = None  # None: the checkpoint lies between two epochs
        self._resumable = False  # Lightning could resume from the current state
        self._saved_step = 0  # at first the step at which the run began or resumed
        self._counters: dict[str, Any] | None = None
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder, and move this callback to the end, before `Safeguards`: it saves the state of all others."""
        if stage == "fit":
            self.dirpath = checkpoint_folder(trainer, self.dirpath)
            callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
            last = [self, *(callback for callback in callbacks if isinstance(callback, Safeguards))]
            # in a new list: Lightning may be walking through this one
            trainer.callbacks = [callback for callback in callbacks if callback not in last] + last  # type: ignore[attr-defined]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read the position in the training from the checkpoint."""
        if trainer.state.fn != "fit":
            return
        if "loops" not in checkpoint:
            raise ValueError(
                f"{trainer.ckpt_path} holds weights and no training: start from its weights by --model.backbone"
            )
        self._resumed = checkpoint.get("resume", {})
        if self._resumed.get("within_step"):
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
        """Record the number of the run and the sizes of its batches."""
        if trainer.state.fn != "fit":
            return
        checkpoint["resume"] = self._note | {"within_step": accumulates(trainer)}
        if self._note["run_ended"] and self._counters is not None:
            checkpoint["loops"]["fit_loop"] = self._counters

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Number the run after all others in its folder."""
        # methods and schedules may later change the number of accumulated batches
        self._note = {"run": -1, "accumulated": trainer.accumulate_grad_batches, "batch": None, "run_ended": False}
        self._resumable, self._flush_due, self._counters = False, False, None
        self.best_model_path = ""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            earlier = last_checkpoints(trainer.default_root_dir, [str(self.dirpath)], skip_damaged=True)
            self._note["run"] = max((file.run for file in earlier), default=-1) + 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue at the batch of the checkpoint, with batches of its size."""
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
        if self._loader_states is None:
            trainer.fit_loop.epoch_loop.restarting = False
            return
        # Lightning forgets the loader's state if a schedule, for example, has asked for the loader before
        loader: Any = trainer.train_dataloader
        if len(self._loader_states) == 1 and hasattr(loader, "load_state_dict"):
            loader.load_state_dict(self._loader_states[0])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):  # otherwise acts only at the start of an epoch
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
            # else Lightning skips a schedule that follows a score at the end of this epoch
            trainer.fit_loop.restarting = False
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
        if within_epoch and is_last_step:  # a run with a larger max_steps continues at these counters
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
        """Save a checkpoint that a run can resume from."""
        if waits_for_ranks(trainer):
            return
        together = trainer.world_size == 1 or isinstance(exception, STOP_ERRORS)
        if trainer.state.fn == "fit" and together and not isinstance(exception, TrainingStopped):
            try:
                if self._resumable and trainer.global_step > self._saved_step:
                    self._save(trainer)
            except (OSError, ValueError, TrainingStopped) as error:
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
    """Return whether a batch of the epoch, counted from 1, is its last, or precedes a validation."""
    if ends_epoch(trainer, batch):
        return True
    if trainer.check_val_every_n_epoch is None:  # validations are counted over all epochs
        batch += trainer.fit_loop.total_batch_idx - trainer.fit_loop.batch_idx
    return trainer.val_check_batch is not None and batch % trainer.val_check_batch == 0


def _next_step_closes(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether the next optimiser step ends the run or the epoch, or precedes a validation.

    No state between this next step and the end of the epoch or validation can be resumed, so the state before the step
    is the last to save.

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


class BestCheckpoint(Checkpoint):
    """Keep the checkpoints with the best scores of a benchmark, compared right after its runs.

    Lightning's `ModelCheckpoint` compares the last logged score, however old, and needs a score from the first epoch
    on.

    Args:
        monitor: a logged score, `<benchmark>/<key>`.
        mode: `max` or `min`.
        save_top_k: number of checkpoints to keep; −1: all.
        filename: filename of the checkpoint, without `.ckpt`; it may hold `{epoch}` and `{step}`.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: for a bad mode or number; at the start of `fit`, if no callback is the benchmark that `monitor`
            names, that benchmark does not log this score, or another `BestCheckpoint` has the same monitor or files.
    """

    def __init__(
        self,
        monitor: str = "davis/J&F-Mean",
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
        filename: str = "best-epoch={epoch:03d}-step={step:06d}",
        dirpath: str | Path | None = None,
    ) -> None:
        if mode not in ("max", "min") or save_top_k < -1:
            raise ValueError(f"BestCheckpoint: mode must be max or min and save_top_k ≥ −1, got {mode}, {save_top_k}")
        self.monitor, self.mode, self.save_top_k = monitor, mode, save_top_k
        self.filename, self.dirpath = filename, dirpath
        self._benchmark: BenchmarkCallback | None = None
        self._scores: dict[str, float] = {}  # file name of a kept checkpoint → its score
        self._path_of_rank = ""  # path that a forked or spawned rank reports to the process that started it
        self._seen = -1  # optimiser step of the last score

    @property
    def best_model_path(self) -> str:
        """Path of the best checkpoint, by Lightning's name for it; empty until a checkpoint is kept."""
        best = min(self._scores.items(), key=self._rank, default=None)
        return f"{self.dirpath}/{best[0]}" if best else self._path_of_rank

    @best_model_path.setter
    def best_model_path(self, path: str) -> None:
        """Keep the path of a rank's checkpoint; Lightning sets it after `ddp_fork` and `ddp_spawn`."""
        self._path_of_rank = path

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder and the benchmark."""
        if stage != "fit":
            return
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        self._scores, self._path_of_rank, self._seen = {}, "", -1
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        benchmarks = {callback.name: callback for callback in callbacks if isinstance(callback, BenchmarkCallback)}
        name, wrong = self.monitor.partition("/")[0], f"BestCheckpoint(monitor={self.monitor!r})"
        if name not in benchmarks:
            there = ", ".join(benchmarks) or "there is none"
            raise ValueError(f"{wrong}: no benchmark {name!r} among the callbacks ({there})")
        keys = benchmarks[name].benchmark.score_keys  # empty: a user's benchmark that declares none
        if keys and self.monitor not in keys:
            raise ValueError(f"{wrong}: {name} logs no such score; it logs {', '.join(keys)}")
        for other in callbacks:
            if not isinstance(other, BestCheckpoint) or other is self:
                continue
            if other.monitor == self.monitor:
                raise ValueError(f"two {wrong}: leave one out, or give it another monitor")
            if (checkpoint_folder(trainer, other.dirpath), other.filename) == (self.dirpath, self.filename):
                raise ValueError(f"{wrong} and another BestCheckpoint would replace each other's files: set a filename")
        self._benchmark = benchmarks[name]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the kept checkpoints."""
        kept = {"folder": str(self.dirpath), "scores": self._scores}
        checkpoint.setdefault("best", {})[self.monitor] = kept

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of existing files; files in the folder of another run do not count."""
        kept = checkpoint.get("best", {}).get(self.monitor, {})
        if kept.get("folder") == str(self.dirpath):
            files = {path.name for path in Path(kept["folder"]).glob("*.ckpt")}
            self._scores = {name: score for name, score in kept["scores"].items() if name in files}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark has just run and its score is among the best.

        Raises:
            ValueError: if the benchmark did not give the score that `monitor` names.
        """
        step = trainer.global_step
        if self._benchmark is None or step == self._seen or step not in self._benchmark.history:
            return
        scores, self._seen = self._benchmark.history[step], step
        if self.monitor not in scores:
            raise ValueError(f"BestCheckpoint(monitor={self.monitor!r}): the scores are {', '.join(scores)}")
        name = f"{self.filename.format(epoch=trainer.current_epoch, step=step)}.ckpt"
        before = set(self._scores)
        ranked = sorted((self._scores | {name: scores[self.monitor]}).items(), key=self._rank)
        self._scores = dict(ranked[: None if self.save_top_k < 0 else self.save_top_k])
        if name in self._scores:
            trainer.save_checkpoint(f"{self.dirpath}/{name}", weights_only=False)
            for worse in before - self._scores.keys():
                trainer.strategy.remove_checkpoint(f"{self.dirpath}/{worse}")

    on_train_end = on_validation_end  # the benchmark may run after the last step

    def _rank(self, item: tuple[str, float]) -> tuple[bool, float]:
        """Return the key that sorts the best score first and NaN last."""
        return math.isnan(item[1]), -item[1] if self.mode == "max" else item[1]
