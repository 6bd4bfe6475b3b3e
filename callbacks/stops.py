"""A run ends in order: on a signal, a non-finite loss, a lost rank."""

import math
import os
import signal
import subprocess
from contextlib import ExitStack
from typing import Any, NoReturn

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from vidcorr import signals
from vidcorr.benchmarks.ranks import LostRank, Ranks
from vidcorr.functional.device import PendingCopy
from vidcorr.loops import accumulates, place_of_batch

from .checkpoint_files import use_atomic_files
from .checkpoints import TrainingStopped, last_checkpoints

NOT_FINITE = 99
"""Outcome of a step whose loss is not finite: larger than every number of a signal, so that it counts on all ranks."""


class Stops(Callback):
    """End a run cleanly, a training at the same step on all ranks; the command line always adds it.

    - **SIGTERM** (preemption, `docker stop`, torchrun) and **Ctrl-C**: the optimiser step is finished, `LastCheckpoint`
      saves it, and the process ends with status 143 or 130; a second Ctrl-C ends it at once. A validation is cut short,
      or not begun if the signal comes in the step before it; the resumed run then begins at an earlier save.
      Lightning's handler talks to the other ranks from within the signal, which can block them for good; here the
      ranks agree after every step. `validate` finishes its frame. **SLURM's requeue signal** (USR1 by default) stops
      the run in the same way, with status 138, and queues the job again.
    - **A non-finite loss** stops the run. It is checked a step later, so that no step waits for a GPU; losses and
      weights are checked before every save, so nothing replaces a good checkpoint.
    - **A lost rank**, killed or hanging, ends the other ranks, and they end it.
    """

    def __init__(self) -> None:
        self._ranks = Ranks(shared=False)
        self._losses: list[tuple[str, PendingCopy]] = []
        self._outcome = 0
        self._handlers = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install `AtomicCheckpointIO`."""
        use_atomic_files(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Connect the ranks, which agree on stops, and forget the losses and the stop of an earlier fit."""
        self._ranks = Ranks()
        self._losses.clear()
        self._outcome = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the signal handlers in place of Lightning's."""
        self._install_handlers()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Start the copy of the loss to the CPU; `on_train_batch_end` checks it a step later."""
        epoch, batch = place_of_batch(trainer)
        when = f"step {trainer.global_step} (epoch {epoch}, batch {batch})"
        self._losses.append((when, PendingCopy(loss.detach())))

    def on_train_batch_end(self, trainer: Trainer, *args: object, **options: object) -> None:
        """Agree over all ranks whether to continue; a stop is raised by the next hook, once this step is logged.

        Raises:
            TrainingStopped: on all ranks, if the loss of any rank is not finite.
        """
        # the newest may still be on a GPU
        fault = self._check_losses(all_but=1)
        # `NOT_FINITE` is larger than every number of a signal, so it wins over a signal of another rank
        own_outcome = NOT_FINITE if fault else signals.requests.received or 0
        outcome = self._ranks.largest(own_outcome)
        if outcome == NOT_FINITE:
            self._raise_on_all_ranks(fault)
        # no stop with a part of the gradients
        if outcome and not accumulates(trainer):
            self._outcome = outcome

    def on_train_epoch_start(self, trainer: Trainer, *args: object, **options: object) -> None:
        """Begin no epoch, if the ranks have agreed to stop."""
        self._raise_if_agreed()

    def _raise_if_agreed(self) -> None:
        if self._outcome:
            if_none_received = self._outcome if self._outcome in signals.REQUEUE else signal.SIGTERM
            raise signals.Stopped(signals.requests.received or if_none_received)

    on_train_batch_start = on_train_epoch_start
    # a signal in the last step is raised here, once the end of the run is saved
    on_fit_end = on_train_epoch_start

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Skip validation in a fit that has to stop; outside a fit, install the signal handlers."""
        if trainer.state.fn == "fit":
            self._raise_if_agreed()
        else:
            self._install_handlers()

    def on_validation_batch_end(self, trainer: Trainer, *args: object, **options: object) -> None:
        """On a single rank, stop if a signal has come; several ranks must agree first, so they stop after the pass."""
        if trainer.world_size == 1:
            signals.check()

    on_test_start = on_validation_start
    on_test_batch_end = on_validation_batch_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask all ranks whether one received a signal after the last batch, for example in a validation."""
        # a stop that was agreed on earlier still counts
        self._outcome = max(self._outcome, self._ranks.largest(signals.requests.received or 0))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse, on all ranks, to save non-finite weights or a step after a non-finite loss (`TrainingStopped`)."""
        broken = [name for name, weight in pl_module.named_parameters() if not weight.isfinite().all()]
        fault = self._check_losses()
        if broken and fault is None:
            fault = f"step {trainer.global_step}: {len(broken)} weights hold NaN or infinity ({broken[0]}, …)"
        if self._ranks.largest(NOT_FINITE if fault else 0):
            self._raise_on_all_ranks(fault)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Clean up after an error: end hanging ranks, save the newest step, and report the signal behind the error.

        If the signal was SLURM's requeue signal, on this rank or another, the first rank requeues the job.
        """
        launcher = trainer.strategy.launcher
        if isinstance(exception, LostRank) and launcher is not None:
            # a hanging rank ignores SIGTERM
            launcher.kill(signal.SIGKILL)
        if trainer.state.fn == "fit":
            for saver in last_checkpoints(trainer):
                saver.save(trainer, exception)
        # a lost rank is a fault, also if a signal came; `_outcome` is the signal on which all ranks agreed, or 0
        number = None if isinstance(exception, LostRank) else signals.cause_of(exception)
        if number:
            rank_zero_info(f"stopped by {(signals.NAMES | signals.REQUEUE)[number]}")
            if trainer.is_global_zero and (number in signals.REQUEUE or self._outcome in signals.REQUEUE):
                requeue_job()
        # Lightning calls no `teardown` after an exception
        self._handlers.close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the signal handlers, and end the exchange of the ranks."""
        self._handlers.close()
        self._ranks.close()
        self._ranks = Ranks(shared=False)

    def _install_handlers(self) -> None:
        """Let SIGTERM and Ctrl-C wait for the end of a step, and SLURM's signals, if Lightning requeues at them."""
        requeue: list[int] = []
        # Lightning has a handler for them, unless the user turned requeueing off
        if SLURMEnvironment.detect():
            requeue = [number for number in signals.REQUEUE if signal.getsignal(number) != signal.SIG_DFL]
        self._handlers.enter_context(signals.deferred(further=requeue))

    def _check_losses(self, all_but: int = 0) -> str | None:
        """Take losses from the list, and wait for them; describe the first that is not finite."""
        while len(self._losses) > all_but:
            when, copied = self._losses.pop(0)
            loss = float(copied.wait())
            if not math.isfinite(loss):
                return f"{when}: the loss is {loss}"
        return None

    def _raise_on_all_ranks(self, reason: str | None) -> NoReturn:
        """Raise `TrainingStopped` on every rank, with the reason of the first rank that has one."""
        raise TrainingStopped(next(text for text in self._ranks.gather(reason) if text))


def requeue_job() -> None:
    """Ask SLURM to queue this job, or this task of an array, again."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    rank_zero_info(f"scontrol requeue {job}")
    try:
        subprocess.run(["scontrol", "requeue", job], check=False)
    except OSError as error:
        rank_zero_warn(f"the job is not queued again ({error}): run scontrol requeue {job}")
