"""A run ends in order on a signal, a non-finite loss, a folder in use."""

import errno
import logging
import math
import os
import signal
import subprocess
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
)
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from vidcorr import signals
from vidcorr.benchmarks.ranks import LostRank, Ranks
from vidcorr.functional.device import PendingCopy
from vidcorr.videos.files import FolderLock

from .checkpoint_io import AtomicCheckpointIO
from .run_folder import resolved_path

log = logging.getLogger(__name__)
MOST_VIDEOS = 32
STOP_ERRORS = (signals.Stopped, SIGTERMException)
"""Our exception for a stop by a signal, and Lightning's for a signal that arrives before our handlers are installed."""
REFUSED: dict[type[pl.Callback], str] = {
    BaseFinetuning: "is a base class; use your own subclass",
    BackboneFinetuning: "the schedule of the learning rate does not follow the parameters that it adds; for a frozen "
    "backbone take LinearProbe or SiamFC",
    BatchSizeFinder: "the learning rate is scaled with the batch before the search; set data.batch_size",
    LearningRateFinder: "its trial steps fill queues and move schedules; set the rate of the method, model.base_lr",
    ModelPruning: "pruned weights have other names, which no command reads; prune after the training",
}
"""Callbacks of Lightning whose training would differ from the plan → what to do instead."""


class StepOutcome(IntEnum):
    """Outcome of a step; the largest over the ranks counts."""

    GOOD = 0
    STOP_REQUESTED = 1
    REQUEUE_REQUESTED = 2
    NOT_FINITE = 3


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
      `validate` finishes its frame. **SLURM's requeue signal** (USR1 by default) stops the run in the same way, with
      status 138, and queues the job again.
    - **A non-finite loss** stops the run with the step and the videos of its batch. A single CPU process checks before
      the weights change. A loss on a GPU is checked a step later, so no step waits; loss and weights are checked before
      every save, so nothing replaces a good checkpoint.
    - **A lost rank**, killed or hanging, ends the other ranks, and they end it.
    - **Files**: checkpoints are written atomically and read as data (`AtomicCheckpointIO`), and two runs never share a
      folder.
    """

    def __init__(self) -> None:
        self._ranks: Ranks | None = None  # set during a fit; other saves need no agreement of the ranks
        self._losses: list[StepLoss] = []
        self._videos: Tensor | None = None
        self._agreed_at = -1  # last batch on which the ranks agreed, counted over all epochs
        self.stopping = False  # all ranks have agreed to stop after the step is logged
        self._requeues = False  # the ranks have also agreed to queue the job again
        self._held = ExitStack()  # the handlers of signals and the locks of folders, until the run ends

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Install `AtomicCheckpointIO`; refuse settings with which the training would differ from the plan.

        Raises:
            ValueError: for another number of ranks than torchrun has started.
        """
        started = int(os.environ["WORLD_SIZE"]) if TorchElasticEnvironment.detect() else trainer.world_size
        if started != trainer.world_size:  # Lightning checks the tasks of SLURM itself
            raise ValueError(
                f"torchrun has started {started} processes, but this run uses {trainer.world_size}, so each "
                "would train alone: set trainer.devices to the processes per machine, and trainer.num_nodes"
            )
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lock the folders against other runs."""
        self._ranks = Ranks()
        self._losses.clear()
        self._agreed_at = -1
        self.stopping = False
        self._requeues = False
        with self._ranks.together():
            if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                given = [getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks]
                folders = {resolved_path(folder) for folder in given if folder}
                for folder in sorted(folders):
                    if "://" not in folder:
                        self._held.enter_context(FolderLock(Path(folder)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers, which Lightning restores when the fit ends."""
        forward = getattr(trainer.strategy.launcher, "kill", None)
        requeue: list[int] = []
        if SLURMEnvironment.detect():  # Lightning handles its signal, unless the user has turned requeueing off
            requeue = [number for number in signals.REQUEUE if signal.getsignal(number) != signal.SIG_DFL]
        self._held.enter_context(signals.deferred(forward=forward, more=requeue))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if the ranks have agreed to stop; record the videos of the batch."""
        self._leave_if_stopping()
        self._videos = batch.get("video_index") if isinstance(batch, dict) else None

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Check the loss, or start its copy to the CPU."""
        value = PendingCopy(loss.detach())
        batch = trainer.fit_loop.batch_idx
        place = f"step {trainer.global_step} (epoch {trainer.current_epoch}, batch {batch})"
        self._losses.append(StepLoss(value, place, self._videos))
        if trainer.world_size == 1 and not value.of_gpu:
            bad = self._bad_loss(trainer)
            if bad:
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
        self._agreed_at = batch
        bad = self._bad_loss(trainer, wait=False)
        worst = self._worst(StepOutcome.NOT_FINITE if bad else _requested())
        if worst == StepOutcome.NOT_FINITE:
            self._stop(bad)
        if not accumulates(trainer):  # no stop with a part of the gradients
            self._stop_if(worst)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the ranks have agreed to stop."""
        self._leave_if_stopping()

    on_train_end = on_train_epoch_start

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip validation in a fit that has to stop; outside a fit, install the signal handlers."""
        if trainer.state.fn == "fit":
            self._leave_if_stopping()
        else:
            self.on_train_start(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Stop between two batches; several ranks must agree, and stop after the pass."""
        if trainer.world_size == 1:
            signals.check()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree over all ranks whether to continue."""
        self._stop_if(self._worst(_requested()))

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
        """Report a stop by a signal, name the folder on a full disk, and release the locks of the folders."""
        if isinstance(exception, OSError) and exception.errno == errno.ENOSPC and exception.filename is None:
            exception.filename = trainer.default_root_dir
        launcher = trainer.strategy.launcher
        if isinstance(exception, LostRank) and launcher is not None:
            launcher.kill(signal.SIGKILL)  # a hanging rank ignores SIGTERM
        number = None if isinstance(exception, LostRank) else signals.cause_of(exception)
        if number:
            rank_zero_info(f"stopped by {(signals.NAMES | signals.REQUEUE)[number]}")
            if trainer.is_global_zero and (self._requeues or number in signals.REQUEUE):
                requeue_job()
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

    def _stop_if(self, outcome: int) -> None:
        if outcome != StepOutcome.GOOD:
            self.stopping = True
            self._requeues = outcome == StepOutcome.REQUEUE_REQUESTED

    def _leave_if_stopping(self) -> None:
        if self.stopping:
            of_another_rank = signal.SIGUSR1 if self._requeues else signal.SIGTERM
            raise signals.Stopped(signals.requests.received or of_another_rank)

    def _worst(self, outcome: int) -> int:
        """Return the worst outcome of all ranks in a fit; outside a fit, the given outcome."""
        return outcome if self._ranks is None else self._ranks.largest(outcome)

    def _stop(self, reason: str | None) -> NoReturn:
        reasons = [reason] if self._ranks is None else self._ranks.gather(reason)
        raise TrainingStopped(next(text for text in reasons if text))


def refuse_callbacks(trainer: pl.Trainer) -> None:
    """Refuse the callbacks of `REFUSED`.

    Raises:
        ValueError: with the callback, and what to do instead.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if type(callback) in REFUSED:
            raise ValueError(f"{type(callback).__name__}: {REFUSED[type(callback)]}")


def _requested() -> StepOutcome:
    """Return what the signals that this process has received ask for."""
    number = signals.requests.received
    if number is None:
        return StepOutcome.GOOD
    return StepOutcome.REQUEUE_REQUESTED if number in signals.REQUEUE else StepOutcome.STOP_REQUESTED


def requeue_job() -> None:
    """Ask SLURM to queue this job, or this task of an array, again."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0
    except OSError as error:
        log.error("job %s is not queued again: scontrol: %s", job, error.strerror)
        return
    if done:
        rank_zero_info(f"job {job} is queued again")
    else:
        log.error("job %s is not queued again: scontrol requeue failed", job)


def _names(trainer: pl.Trainer, indices: Tensor | None) -> str:
    """Name the videos of a batch by their paths, or by their indices without a list of videos."""
    if indices is None:
        return "not known"
    videos = getattr(trainer.datamodule, "videos", None)  # type: ignore[attr-defined]
    names = []
    for index in indices.tolist():
        names.append(str(videos[index].path) if videos else f"index {index}")
    listed = ", ".join(names[:MOST_VIDEOS])
    if len(names) > MOST_VIDEOS:
        listed += f" and {len(names) - MOST_VIDEOS} more"
    return listed


def is_stopping(trainer: pl.Trainer) -> bool:
    """Return whether the ranks have agreed, after the newest batch, that the run stops."""
    guards = [callback for callback in trainer.callbacks if isinstance(callback, Safeguards)]  # type: ignore[attr-defined]
    for guard in guards:
        guard.agree(trainer)
    return any(guard.stopping for guard in guards)
