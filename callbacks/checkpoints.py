"""Checkpoints of a training: the last, from which it resumes exactly; the best; and their files.

A state is saved only where Lightning resumes exactly: between two optimiser steps, if the first neither ends the epoch
nor precedes a validation, or between two epochs, after all hooks of the first. A run that is stopped elsewhere repeats
a step. All random draws are functions of seed, epoch and step, so no generator is saved; the place in the data is the
number of batches that were trained on (`SampledDataModule`).
"""

import copy
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler, ModelCheckpoint, WeightAveraging
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from lightning_modules.parts.loops import (
    accumulates,
    closes,
    follow_schedules,
    reaches_limit,
    read_place,
    resume_place,
    stay_within_epoch,
    stops_early,
)
from lightning_modules.parts.run_folder import checkpoint_folder, hide_logs, require_pytorch_lightning, resolved_path
from vidcorr.backbones.checkpoints import read_content
from vidcorr.benchmarks.ranks import Ranks
from vidcorr.videos.files import FolderLock, require_at_least, unfinished

from .benchmark import BenchmarkCallback, FollowsRuns

PLAIN = (bool, int, float, complex, str, bytes, Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device)
"""Types that `torch.load` reads as data, beside lists, tuples and dicts."""
log = logging.getLogger(__name__)


class TrainingStopped(RuntimeError):
    """Error for a training whose loss or weights are not finite; all ranks raise it, and nothing is saved."""


class LastCheckpoint(ModelCheckpoint):
    """Keep `last.ckpt`, from which a run resumes exactly as if it had not been interrupted.

    It is written every few steps, before a step that ends an epoch or precedes a validation, after each epoch and after
    the run; and before `Stops`, `max_time`, `trainer.should_stop` or an error end the run within an epoch.
    The logs up to a checkpoint are on disk with it. Another run in the same folder writes `last-v1.ckpt`. Means over an
    epoch that was resumed within cover only the batches after the resumption.

    Args:
        every_n_steps: optimiser steps between checkpoints; a `kill -9` costs at most these steps.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: if `every_n_steps` is below 1; at the start of `fit`, if the checkpoint to resume from holds no
            training, or was written within an optimiser step, with another batch size or another optimiser.
        FolderInUse: if another run writes checkpoints to a folder of this run.
    """

    def __init__(self, every_n_steps: int = 500, dirpath: str | Path | None = None) -> None:
        require_at_least(1, "LastCheckpoint", every_n_steps=every_n_steps)
        super().__init__(dirpath, save_last=True, save_top_k=0)
        self.every_n_steps = every_n_steps
        self._resumed: dict[str, Any] | None = None  # the note of the checkpoint
        self._place = (False, 0)  # whether the checkpoint is from between epochs, and its logged steps
        self._locks = ExitStack()
        self._begin(1)

    def _begin(self, accumulated: int) -> None:
        """Set the state at the start of a run."""
        self.best_model_path = ""
        # of the batches of the run: samples and accumulated batches; whether it has ended
        self._note: dict[str, Any] = {"accumulated": accumulated, "batch": None, "run_ended": False}
        self._asked = False  # `Stops` ends the run after this step
        self._stop_waits = False  # a stop between accumulated batches, until their step is complete
        self._resumable = False  # Lightning could resume from the current state
        self._saved_step = 0  # last saved step; initially the step at which the run began or resumed
        self._weights: dict[str, Tensor] | None = None  # before WeightAveraging replaces them by their average
        self._flush_due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder, and install `AtomicCheckpointIO`."""
        require_pytorch_lightning(trainer)
        use_atomic_files(trainer)
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        self.last_model_path = ""  # an earlier fit's path goes
        super().setup(trainer, pl_module, stage)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Find out where in the training the checkpoint was written; its file is the one to continue."""
        if trainer.state.fn != "fit":
            return
        if "loops" not in checkpoint:
            raise ValueError(f"{trainer.ckpt_path} holds weights only: start from them by --model.backbone")
        self._resumed = checkpoint.get("resume", {})
        if self._resumed.get("within_step"):
            raise ValueError(f"{trainer.ckpt_path} was written within an optimiser step: name a last.ckpt")
        place = f"step {checkpoint['global_step']}, epoch {checkpoint['epoch']}"
        rank_zero_info(f"resuming from {trainer.ckpt_path}: {place}")
        self._place = read_place(checkpoint)
        folder, _, name = resolved_path(str(trainer.ckpt_path)).rpartition("/")
        if folder == self.dirpath and name.startswith(self.CHECKPOINT_NAME_LAST):
            self.last_model_path = f"{folder}/{name}"

    def state_dict(self) -> dict[str, Any]:
        """Return no state: where a run continues follows from the file that it resumes from."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take no state."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the sizes of the batches of the run; a state within an epoch is resumed within the epoch."""
        if trainer.state.fn != "fit":
            return
        checkpoint["resume"] = self._note | {"within_step": accumulates(trainer)}
        stay_within_epoch(trainer, checkpoint)
        if self._weights is not None:
            checkpoint["current_model_state"] = self._weights

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lock the folders of checkpoints against other runs; note the accumulated batches before schedules do."""
        self._begin(trainer.accumulate_grad_batches)
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._note["optimisers"] = [_settings_of(group) for group in groups]  # before Lightning loads their state
        with Ranks() as ranks, ranks.together():
            if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                given = [getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks]
                folders = {resolved_path(folder) for folder in given if folder and "://" not in str(folder)}
                for folder in sorted(folders):
                    self._locks.enter_context(FolderLock(Path(folder)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue where the checkpoint was written, with batches of its size and its optimiser."""
        self._saved_step = trainer.global_step
        resumed = self._resumed
        self._resumed = None
        self._compare(trainer, resumed)
        if resumed is None:
            return
        between_epochs, logged_steps = self._place
        # Lightning counts logged steps from 0; a benchmark after the last step is logged with the number of steps
        hide_logs(trainer, logged_steps + bool(resumed.get("run_ended")))
        resume_place(trainer, between_epochs)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler) and not between_epochs:
                callback.on_train_epoch_start(trainer)  # Lightning calls it at the start of epochs alone

    def _compare(self, trainer: pl.Trainer, resumed: Mapping[str, Any] | None) -> None:
        """Note the size of batches; refuse to resume with another, or with other settings of the optimisers.

        Raises:
            ValueError: with both.
        """
        size = getattr(trainer.train_dataloader, "batch_size", None)
        self._note["batch"] = size and size * trainer.world_size
        if resumed is None:
            return
        before = _batches_of(resumed)
        now = _batches_of(self._note)
        if resumed.get("accumulated") is not None and before != now:
            raise ValueError(
                f"{trainer.ckpt_path} was written with batches of {before} accumulated, this run has {now}: set "
                "data.batch_size, trainer.devices and trainer.accumulate_grad_batches to the same product"
            )
        different: dict[str, None] = {}  # each once, in order
        for old, new in zip(resumed.get("optimisers", ()), self._note["optimisers"], strict=False):
            for name in old:
                if old[name] != new.get(name):
                    different[f"{name} {old[name]} (now {new.get(name)})"] = None
        if different:
            raise ValueError(
                f"{trainer.ckpt_path} resumes with {', '.join(different)}: a resumed training keeps its optimiser; to "
                "begin anew from the weights, give them to --model.backbone, without --ckpt_path"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the previous epoch, after all of its hooks."""
        self.keep(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Flush the loggers one batch after a checkpoint: a step is logged after it is saved."""
        self._resumable = False
        follow_schedules(trainer)
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
        self._resumable = not (closes(trainer, batch_idx + 1) or reaches_limit(trainer))
        following = range(batch_idx + 2, batch_idx + 2 + trainer.accumulate_grad_batches)
        next_closes = reaches_limit(trainer, 1) or any(closes(trainer, batch) for batch in following)
        is_due = trainer.global_step - self._saved_step >= self.every_n_steps
        if is_due or next_closes or self._asked or stops_early(trainer):
            self.keep(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let a stop wait for the step that is being accumulated."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking and accumulates(trainer):
            self._let_stop_wait(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the run as resumable, unless it ends with this epoch; `on_train_end` then saves."""
        last_epoch = trainer.current_epoch + 1 == trainer.max_epochs
        ends = last_epoch or reaches_limit(trainer) or stops_early(trainer)
        self._resumable = not ends
        if ends and any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            self._weights = {name: tensor.clone() for name, tensor in pl_module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the run with the scores of benchmarks after the last step, unless the step is saved."""
        if trainer.global_step > self._saved_step:
            self._note["run_ended"] = True
            self._save(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why a resumed run had nothing to train."""
        if self._resumed is not None:
            self._compare(trainer, self._resumed)
            reason = "max_steps or max_epochs is reached"
            if trainer.should_stop:
                reason = "max_time, which counts earlier runs, has passed"
            rank_zero_info(f"nothing to train after step {trainer.global_step} of {trainer.ckpt_path}: {reason}")
            self._resumed = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save if Lightning can resume from the present state, and say where a run would continue."""
        if trainer.state.fn == "fit":
            self.rescue(trainer, exception)
            path = self.best_model_path or trainer.ckpt_path
            if path or trainer.global_step:
                saved = f"saved after step {self._saved_step}: {path}" if path else "nothing is saved"
                rank_zero_info(f"ended in step {trainer.global_step}; {saved}")
        _flush(trainer)
        self._locks.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the locks of the folders."""
        self._locks.close()

    def ask(self) -> None:
        """Save after this step, because the run ends: `Stops` asks before this callback's hook."""
        self._asked = True

    def keep(self, trainer: pl.Trainer) -> None:
        """Save the newest step, if Lightning can resume from the present state."""
        if self._resumable and trainer.global_step > self._saved_step:
            self._save(trainer)

    def rescue(self, trainer: pl.Trainer, exception: BaseException) -> None:
        """Keep the newest step after an error, unless other ranks may not take part."""
        together = trainer.world_size == 1 or isinstance(exception, SystemExit)  # by a signal
        if isinstance(exception, TrainingStopped) or not together:
            return
        try:
            self.keep(trainer)
        except (OSError, ValueError, TrainingStopped) as error:
            log.error("not saved: %s", error)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._save_last_checkpoint(trainer, {})
        self.best_model_path = self.last_model_path
        self._saved_step = trainer.global_step
        self._flush_due = True

    def _let_stop_wait(self, trainer: pl.Trainer) -> None:
        """Put off a stop between accumulated batches until their step is complete; Lightning would drop them."""
        if trainer.should_stop:
            trainer.should_stop = False
            self._stop_waits = True


class BestCheckpoint(FollowsRuns, ModelCheckpoint):
    """Keep the checkpoints with the best scores of a benchmark, saved right after its runs.

    Lightning's `ModelCheckpoint` compares the last logged score, however old.

    Args:
        monitor: a logged score, `<benchmark>/<key>`; None is the first score of the first benchmark that declares any.
        mode: `max` or `min`.
        save_top_k: number of checkpoints to keep; −1: all.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: at the start of `fit`, if no benchmark among the callbacks gives the score, or the worst would be
            kept.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
        dirpath: str | Path | None = None,
    ) -> None:
        name = "best-epoch={epoch:03d}-step={step:06d}"
        super().__init__(dirpath, name, monitor, mode=mode, save_top_k=save_top_k, auto_insert_metric_name=False)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder and the score."""
        use_atomic_files(trainer)
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        self.best_k_models = {}  # an earlier fit of a notebook filled them
        self.best_model_path = ""
        self._last_global_step_saved = 0
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        benchmarks = [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
        known = {key: each for each in benchmarks for key in each.score_keys}
        monitor = self.monitor or next(iter(known), "")
        # a user's benchmark may declare no scores
        silent = [each for each in benchmarks if not each.score_keys and monitor.startswith(f"{each.name}/")]
        found = [known[monitor]] if monitor in known else silent
        if not found:
            raise ValueError(f"BestCheckpoint: no benchmark logs {monitor or 'a score'}; they log {', '.join(known)}")
        self.monitor = monitor
        self._benchmark = found[0]
        score = monitor.removeprefix(f"{self._benchmark.name}/")
        if self.mode == "max" and score in self._benchmark.benchmark.less_is_better:
            raise ValueError(f'BestCheckpoint of {monitor} has mode "max", but less is better: set mode to "min"')

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the scores of existing files in the folder; the names come from a file that may be another's."""
        files = {str(path) for path in Path(str(self.dirpath)).glob("*.ckpt")}
        kept = {path: score for path, score in state_dict["best_k_models"].items() if path in files}
        if state_dict["monitor"] != self.monitor or not kept:
            return
        ranked = sorted(kept, key=kept.__getitem__, reverse=self.mode == "max")
        self.best_k_models = kept
        self.best_model_path = ranked[0]
        self.best_model_score = kept[ranked[0]]
        self.kth_best_model_path = ranked[-1]
        self.kth_value = kept[ranked[-1]]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark has just run and its score is among the best.

        Raises:
            ValueError: if the benchmark did not give the score.
        """
        if self._should_skip_saving_checkpoint(trainer):  # as in `validate`
            return
        scores = self._benchmark.history.get(trainer.global_step)
        if scores is None:
            return
        if self.monitor not in scores:
            raise ValueError(f"BestCheckpoint(monitor={self.monitor!r}): the scores are {', '.join(scores)}")
        place = {"epoch": torch.tensor(trainer.current_epoch), "step": torch.tensor(trainer.global_step)}
        self._save_topk_checkpoint(trainer, place | {str(self.monitor): torch.tensor(scores[self.monitor])})

    on_train_epoch_end = on_validation_end  # for a fit without validation
    on_train_end = on_validation_end  # the benchmark may run after the last step

    def on_train_batch_end(self, *_: object) -> None:
        """Save nothing: benchmarks run between steps."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's class writes to the machine's temporary folder. If that is on another disk, its move is a copy, and a
    killed run or a full disk leaves half a file in place of a complete one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[str] = set()  # folders to which this run has written checkpoints

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning handles addresses such as `s3://…`.

        Raises:
            OSError: if the file cannot be written, for example on a full disk; an earlier file is kept.
            ValueError: if the checkpoint holds a value that could not be read back; the message names its key.
        """
        content: dict[str, Any] = plain(dict(checkpoint))
        self._folders.add(resolved_path(path).rpartition("/")[0])  # in which `remove_checkpoint` may remove files
        if "://" in str(path):
            return super().save_checkpoint(content, path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.unfinished")
        try:
            with unfinished(path, hidden), hidden.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for some errors of the system
            raise OSError(f"{path} could not be written: {error.__context__ or error}") from error
        return None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as data, a file to the CPU: no code in it runs, whatever `weights_only` says.

        Raises:
            ValueError: if the file is damaged, or holds other types than tensors and plain types.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, True)
        return read_content(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint after a better checkpoint was saved.

        The name may come from the file that a run resumes from, so only a regular `.ckpt` file is removed, in a folder
        to which this run has written a checkpoint.
        """
        folder = resolved_path(path).rpartition("/")[0]
        file = Path(path)
        is_checkpoint = file.suffix == ".ckpt" and file.is_file() and not file.is_symlink()
        if folder in self._folders and ("://" in folder or is_checkpoint):
            super().remove_checkpoint(path)
        else:
            log.warning("%s is not removed: it is no checkpoint of this run", path)


def use_atomic_files(trainer: pl.Trainer) -> None:
    """Let a trainer write and read checkpoints by `AtomicCheckpointIO`, unless the user has chosen another class."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


def plain(value: Any, key: str = "") -> Any:
    """Return a value with Python's numbers in place of numpy's, in the types that `torch.load` reads as data.

    Args:
        value: part of a checkpoint.
        key: its place in the checkpoint, for the message.

    Raises:
        ValueError: for a value of another type.
    """
    if isinstance(value, np.generic):
        value = value.item()  # a schedule over an array makes its rates numpy's
    if value is None or type(value) in PLAIN:
        return value
    if type(value) in (dict, OrderedDict, Counter):
        made = copy.copy(value)  # a copy keeps the attributes of a state dict
        made.clear()
        for name, part in value.items():
            made[plain(name, key)] = plain(part, f"{key}.{name}".lstrip("."))
        return made
    if type(value) in (list, tuple):
        return type(value)(plain(part, f"{key}.{index}") for index, part in enumerate(value))
    kind = type(value).__qualname__
    raise ValueError(f"{key} is a {kind}, which no checkpoint can hold: make it a number, text, list, dict or tensor")


def _batches_of(note: Mapping[str, Any]) -> str:
    """Return the samples of a batch and the number of accumulated batches, as text."""
    return f"{note.get('batch')} samples × {note.get('accumulated')}"


def _settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a parameter group, with its rate before a schedule moves it."""
    numbers: dict[str, Any] = {}
    for name, value in group.items():
        if isinstance(value, int | float | tuple):
            numbers[name] = value
    numbers["lr"] = numbers.pop("initial_lr", numbers.get("lr"))
    return numbers


def _flush(trainer: pl.Trainer) -> None:
    """Write the buffers of the loggers; TensorBoard's thread would do so within two minutes."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.save()
