"""A run ends in order on a signal, a non-finite loss, a folder in use; files of checkpoints are written atomically."""

import copy
import logging
import math
import os
import signal
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from vidcorr import signals
from vidcorr.backbones.checkpoints import read_content
from vidcorr.benchmarks.evaluation import LostRank, Ranks
from vidcorr.functional.device import PendingCopy
from vidcorr.videos.files import FolderLock, unfinished

log = logging.getLogger(__name__)
MOST_VIDEOS = 32
STOP_ERRORS = (signals.Stopped, SIGTERMException)
"""Our exception for a stop by a signal, and Lightning's for a signal that arrives before our handlers are installed."""
PLAIN = (bool, int, float, complex, str, bytes, Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device)
"""Types that `torch.load` reads as data, beside lists, tuples and dicts."""


class StepOutcome(IntEnum):
    """Outcome of a step; the largest over the ranks counts."""

    GOOD = 0
    STOP_REQUESTED = 1
    NOT_FINITE = 2


class StepLoss(NamedTuple):
    """Loss of a batch before its check.

    Attributes:
        value: copy of the loss, on its way to the CPU.
        place: step, epoch and batch, for a message.
        videos: indices of the batch's videos; None if unknown.
    """

    value: PendingCopy
    place: str
    videos: Tensor | None


class TrainingStopped(RuntimeError):
    """Error for a training whose loss or weights are not finite; all ranks raise it, and nothing is saved."""


def accumulates(trainer: pl.Trainer) -> bool:
    """Return whether the optimiser's next step needs further batches."""
    batches = trainer.fit_loop.batch_idx + 1
    return batches % trainer.accumulate_grad_batches != 0 and not ends_epoch(trainer, batches)


def ends_epoch(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch of the epoch, counted from 1, is its last.

    If the length of the epoch is unknown, its last batch is known only after it has arrived.
    """
    loop = trainer.fit_loop
    known_as_last = batch == loop.batch_idx + 1 and loop.epoch_loop.batch_progress.is_last_batch
    return known_as_last or batch >= trainer.num_training_batches


class Safeguards(pl.Callback):
    """End a run cleanly, a training at the same step on all ranks; the command line always adds it.

    - **SIGTERM** (preemption, `docker stop`, torchrun) and **Ctrl-C**: the optimiser step is finished, `LastCheckpoint`
      saves it, and the process ends with status 143 or 130; a second Ctrl-C ends it at once. Lightning's handler talks
      to the other ranks from within the signal, which can block them for good; here the ranks agree after every step.
      `validate` finishes its frame. SLURM's requeue signal (USR1 by default, see `SLURMEnvironment`)
      stays with Lightning, which saves `hpc_ckpt_N.ckpt` and requeues the job.
    - **A non-finite loss** stops the run with the step and the videos of its batch. A single CPU process checks before
      the weights change. A loss on a GPU is checked a step later, so no step waits; loss and weights are checked before
      every save, so nothing replaces a good checkpoint.
    - **A lost rank**, killed or hanging, ends the other ranks, and they end it.
    - **Files**: checkpoints are written atomically and read as data (`AtomicCheckpointIO`), and two runs never share a
      folder.
    """

    def __init__(self) -> None:
        self._ranks: Ranks | None = None  # of a fit; outside a fit, a save needs no agreement
        self._losses: list[StepLoss] = []
        self._videos: Tensor | None = None
        self._agreed_at = -1  # last batch on which the ranks agreed, counted over all epochs
        self.stopping = False  # all ranks have agreed to stop after the step is logged
        self._held = ExitStack()  # the handlers of signals and the locks of folders, until the run ends

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Install `AtomicCheckpointIO`."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lock the folders against other runs."""
        self._ranks = Ranks()
        self._losses.clear()
        self._agreed_at, self.stopping = -1, False
        with self._ranks.together():
            if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
                for folder in folders:
                    if folder and "://" not in str(folder):
                        self._held.enter_context(FolderLock(Path(folder)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers, which Lightning restores when the fit ends."""
        self._held.enter_context(signals.deferred(forward=getattr(trainer.strategy.launcher, "kill", None)))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if the ranks have agreed to stop; record the videos of the batch."""
        self._leave_if_stopping()
        self._videos = batch.get("video_index") if isinstance(batch, dict) else None

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Check the loss, or start its copy to the CPU."""
        value, batch = PendingCopy(loss.detach()), trainer.fit_loop.batch_idx
        place = f"step {trainer.global_step} (epoch {trainer.current_epoch}, batch {batch})"
        self._losses.append(StepLoss(value, place, self._videos))
        if trainer.world_size == 1 and not value.of_gpu and (bad := self._bad_loss(trainer)):
            raise TrainingStopped(bad)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agree over all ranks whether to continue; the step is logged before a stop."""
        self.agree(trainer)

    def agree(self, trainer: pl.Trainer) -> None:
        """Agree over all ranks, once per batch, whether the run has to stop; sets `stopping`.

        Raises:
            TrainingStopped: on all ranks, if the loss of any rank is not finite.
        """
        batch = trainer.fit_loop.total_batch_idx
        if batch == self._agreed_at:
            return
        self._agreed_at, bad = batch, self._bad_loss(trainer, wait=False)
        requested = StepOutcome.STOP_REQUESTED if signals.requests.received else StepOutcome.GOOD
        worst = self._worst(StepOutcome.NOT_FINITE if bad else requested)
        if worst == StepOutcome.NOT_FINITE:
            self._stop(bad)
        halfway = accumulates(trainer)  # no stop with a part of the gradients
        self.stopping = worst == StepOutcome.STOP_REQUESTED and not halfway

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the ranks have agreed to stop."""
        self._leave_if_stopping()

    on_train_end = on_train_epoch_start

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip validation in a run that has to stop."""
        if trainer.state.fn != "fit":
            self.on_train_start(trainer, pl_module)
        self._leave_if_stopping()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Stop between two batches; several ranks must agree, and stop after the pass."""
        if trainer.world_size == 1:
            signals.check()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree over all ranks whether to continue."""
        if self._worst(StepOutcome.STOP_REQUESTED if signals.requests.received else StepOutcome.GOOD):
            self.stopping = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save non-finite weights."""
        weights = dict(pl_module.named_parameters())
        broken = [name for name, weight in weights.items() if not weight.isfinite().all()]
        bad = self._bad_loss(trainer)
        if broken and bad is None:
            counted = f"{len(broken)} of {len(weights)} weights hold NaN or infinity ({broken[0]}, …)"
            bad = f"step {trainer.global_step}: {counted}; nothing was saved"
        if self._worst(StepOutcome.NOT_FINITE if bad else StepOutcome.GOOD):
            self._stop(bad)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Report a stop by a signal, and release the locks of the folders."""
        launcher = trainer.strategy.launcher
        if isinstance(exception, LostRank) and launcher is not None:
            launcher.kill(signal.SIGKILL)  # a hanging rank ignores SIGTERM
        if number := None if isinstance(exception, LostRank) else signals.cause_of(exception):
            rank_zero_info(f"stopped by {signals.NAMES[number]}")
        self._held.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the locks of the folders."""
        self._held.close()
        if self._ranks is not None:
            self._ranks.close()
            self._ranks = None

    def _bad_loss(self, trainer: pl.Trainer, wait: bool = True) -> str | None:
        """Describe the first non-finite loss, if any; without `wait` the newest loss may remain unchecked."""
        while self._losses:
            first = self._losses[0]
            if first.value.of_gpu and not wait and len(self._losses) == 1:
                return None
            loss = float(first.value.wait())
            if not math.isfinite(loss):
                return f"{first.place}: the loss is {loss}; videos of the batch: {_names(trainer, first.videos)}"
            del self._losses[0]
        return None

    def _leave_if_stopping(self) -> None:
        if self.stopping:
            raise signals.Stopped(signals.requests.received or signal.SIGTERM)  # which may have come to another rank

    def _worst(self, outcome: int) -> int:
        """Return the worst outcome of all ranks in a fit; outside a fit, the given outcome."""
        return outcome if self._ranks is None else self._ranks.largest(outcome)

    def _stop(self, reason: str | None) -> NoReturn:
        reasons = [reason] if self._ranks is None else self._ranks.gather(reason)
        raise TrainingStopped(next(text for text in reasons if text))


def _names(trainer: pl.Trainer, indices: Tensor | None) -> str:
    """Name the videos of a batch by their paths, or by their indices without a list of videos."""
    if indices is None:
        return "not known"
    videos = getattr(trainer.datamodule, "videos", None)  # type: ignore[attr-defined]
    names = [str(videos[index].path) if videos else f"index {index}" for index in indices.tolist()]
    more = f" and {len(names) - MOST_VIDEOS} more" if len(names) > MOST_VIDEOS else ""
    return ", ".join(names[:MOST_VIDEOS]) + more


def is_stopping(trainer: pl.Trainer) -> bool:
    """Return whether the ranks have agreed, after the newest batch, that the run stops."""
    guards = [callback for callback in trainer.callbacks if isinstance(callback, Safeguards)]  # type: ignore[attr-defined]
    for guard in guards:
        guard.agree(trainer)
    return any(guard.stopping for guard in guards)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's class writes to the machine's temporary folder. If that is on another disk, its move is a copy, and a
    killed run or a full disk leaves half a file in place of a complete one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[str] = set()  # that this run has written checkpoints to

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning handles addresses such as `s3://…`.

        Raises:
            OSError: if it cannot be written, for example on a full disk; an earlier file is kept.
            ValueError: if it holds a value that could not be read back; the message has its key.
        """
        content: dict[str, Any] = plain(dict(checkpoint))
        self._folders.add(str(path).rpartition("/")[0])
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
            cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            if not isinstance(cause, OSError):
                raise
            before = "; the one before is as it was" if path.exists() else ""
            raise OSError(
                f"{path} could not be written: {cause.strerror}{before}; make room and resume with --ckpt_path last"
            ) from error
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
        folder = str(path).rpartition("/")[0]
        file = Path(path)
        is_checkpoint = file.suffix == ".ckpt" and file.is_file() and not file.is_symlink()
        if folder in self._folders and ("://" in folder or is_checkpoint):
            super().remove_checkpoint(path)
        else:
            log.warning("%s is not removed: it is no checkpoint of this run", path)


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
        made = copy.copy(value)  # with the attributes that a state dict has
        made.clear()
        for name, part in value.items():
            made[plain(name, key)] = plain(part, f"{key}.{name}".lstrip("."))
        return made
    if type(value) in (list, tuple):
        return type(value)(plain(part, f"{key}.{index}") for index, part in enumerate(value))
    kind = type(value).__qualname__
    raise ValueError(f"{key} is a {kind}, which no checkpoint can hold: make it a number, text, list, dict or tensor")
