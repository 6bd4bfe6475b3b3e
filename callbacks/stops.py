"""A run ends in order: on a signal, a non-finite loss, a lost rank; and callbacks that training cannot have."""

import logging
import math
import os
import signal
import subprocess
from contextlib import ExitStack
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
)
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from lightning_modules.parts.loops import accumulates
from vidcorr import signals
from vidcorr.benchmarks.ranks import LostRank, Ranks
from vidcorr.functional.device import PendingCopy

from .checkpoints import LastCheckpoint, TrainingStopped, use_atomic_files

log = logging.getLogger(__name__)
REFUSED: dict[type[pl.Callback], str] = {
    BackboneFinetuning: "the schedule of the learning rate does not follow the parameters that it adds; for a frozen "
    "backbone take LinearProbe or SiamFC",
    BatchSizeFinder: "the learning rate is scaled with the batch before the search; set data.batch_size",
    LearningRateFinder: "its trial steps fill queues and move schedules; set the rate of the method, model.base_lr",
    ModelPruning: "pruned weights have other names, which no command reads; prune after the training",
    StochasticWeightAveraging: "it does not resume where it was stopped; take EMAWeightAveraging",
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


class Stops(pl.Callback):
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

    Raises:
        ValueError: for a callback of `REFUSED`; for another number of ranks than torchrun has started.
    """

    def __init__(self) -> None:
        self._ranks: Ranks | None = None  # set during a fit; other saves need no agreement of the ranks
        self._losses: list[StepLoss] = []
        self._videos: Tensor | None = None
        self._outcome = StepOutcome.GOOD  # what all ranks have agreed on
        self._handlers = ExitStack()  # handlers of signals, until the run ends

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse what would train otherwise than planned, and let checkpoints be written atomically."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if type(callback) in REFUSED:
                raise ValueError(f"{type(callback).__name__}: {REFUSED[type(callback)]}")
        started = int(os.environ["WORLD_SIZE"]) if TorchElasticEnvironment.detect() else trainer.world_size
        if started != trainer.world_size:  # Lightning checks the tasks of SLURM itself
            raise ValueError(
                f"torchrun has started {started} processes, but this run uses {trainer.world_size}, so each "
                "would train alone: set trainer.devices to the processes per machine, and trainer.num_nodes"
            )
        use_atomic_files(trainer)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the ranks of the fit agree on stops."""
        self._ranks = Ranks()
        self._losses.clear()
        self._outcome = StepOutcome.GOOD

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers, which Lightning restores when the fit ends."""
        forward = getattr(trainer.strategy.launcher, "kill", None)
        requeue: list[int] = []
        if SLURMEnvironment.detect():  # Lightning handles its signal, unless the user has turned requeueing off
            requeue = [number for number in signals.REQUEUE if signal.getsignal(number) != signal.SIG_DFL]
        self._handlers.enter_context(signals.deferred(forward=forward, more=requeue))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if the ranks have agreed to stop; record the videos of the batch."""
        self._leave_if_stopping(trainer)
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
        """Agree over all ranks whether to continue; a step is saved and logged before a stop.

        Raises:
            TrainingStopped: on all ranks, if the loss of any rank is not finite.
        """
        bad = self._bad_loss(trainer, wait=False)
        worst = self._worst(StepOutcome.NOT_FINITE if bad else _requested())
        if worst == StepOutcome.NOT_FINITE:
            self._stop(bad)
        if worst != StepOutcome.GOOD and not accumulates(trainer):  # no stop with a part of the gradients
            self._outcome = worst
            for saver in _savers(trainer):
                saver.ask()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the ranks have agreed to stop."""
        self._leave_if_stopping(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End with the status of a signal that came in the last step, once the end of the run is saved."""
        self._leave_if_stopping(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip validation in a fit that has to stop; outside a fit, install the signal handlers."""
        if trainer.state.fn == "fit":
            self._leave_if_stopping(trainer)
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
        self._outcome = max(self._outcome, self._worst(_requested()))

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
        """Let the newest step be saved, report a signal, and queue the job again."""
        launcher = trainer.strategy.launcher
        if isinstance(exception, LostRank) and launcher is not None:
            launcher.kill(signal.SIGKILL)  # a hanging rank ignores SIGTERM
        if trainer.state.fn == "fit":
            for saver in _savers(trainer):
                saver.rescue(trainer, exception)
        number = None if isinstance(exception, LostRank) else signals.cause_of(exception)
        if number:
            rank_zero_info(f"stopped by {(signals.NAMES | signals.REQUEUE)[number]}")
            requeues = self._outcome == StepOutcome.REQUEUE_REQUESTED or number in signals.REQUEUE
            if trainer.is_global_zero and requeues:
                requeue_job()
        self._handlers.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the signal handlers."""
        self._handlers.close()
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

    def _leave_if_stopping(self, trainer: pl.Trainer) -> None:
        if self._outcome != StepOutcome.GOOD:
            for saver in _savers(trainer):
                saver.keep(trainer)
            of_another_rank = signal.SIGTERM
            if self._outcome == StepOutcome.REQUEUE_REQUESTED:
                of_another_rank = signal.SIGUSR1
            raise signals.Stopped(signals.requests.received or of_another_rank)

    def _worst(self, outcome: StepOutcome) -> StepOutcome:
        """Return the worst outcome of all ranks in a fit; outside a fit, the given outcome."""
        return outcome if self._ranks is None else StepOutcome(self._ranks.largest(outcome))

    def _stop(self, reason: str | None) -> NoReturn:
        reasons = [reason] if self._ranks is None else self._ranks.gather(reason)
        raise TrainingStopped(next(text for text in reasons if text))


def _savers(trainer: pl.Trainer) -> list[LastCheckpoint]:
    """Return the run's `LastCheckpoint`, or none."""
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)]


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
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log.error("job %s is not queued again: %s", job, error)
        return
    rank_zero_info(f"job {job} is queued again")


def _names(trainer: pl.Trainer, indices: Tensor | None) -> str:
    """Name the videos of a batch by their paths, or by their indices without a list of videos."""
    if indices is None:
        return "not known"
    videos = getattr(trainer.datamodule, "videos", None)  # type: ignore[attr-defined]
    return ", ".join(str(videos[index].path) if videos else f"index {index}" for index in indices.tolist())
