"""Orderly end of a training: on a signal, a non-finite loss, a dead worker, or a folder in use."""

import math
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from datamodules.loading.loader import worker_died
from lightning_modules.functional.transfer import PendingCopy

from .. import signals
from ..benchmarks.ranks import Ranks
from ..folder_lock import FolderLock
from .forked import call_on_exception, stop_ranks, waits_for_ranks
from .refusals import refuse_unsupported
from .run_folder import AtomicCheckpointIO

MOST_VIDEOS = 32
GOOD, STOP_REQUESTED, WORKER_DIED, NOT_FINITE = range(4)
"""Outcomes of a step, from good to bad; the worst over the ranks counts."""


class TrainingStopped(RuntimeError):
    """Error for a training that cannot continue; all ranks raise it, with one line that says why.

    Attributes:
        resumable: whether the state is good, so that it may be saved.
    """

    def __init__(self, reason: str, resumable: bool) -> None:
        super().__init__(reason)
        self.resumable = resumable


def order_callbacks(trainer: pl.Trainer) -> None:
    """Move callbacks with an attribute `callback_order` behind all others, the largest last.

    What saves the state of the others comes after them, and what ends the run comes after what saves. The list is
    replaced, not changed: Lightning may be walking through it.
    """
    trainer.callbacks = sorted(trainer.callbacks, key=lambda callback: getattr(callback, "callback_order", 0))  # type: ignore[attr-defined]


class PendingLoss(NamedTuple):
    """A loss that is being copied to the CPU, and its batch."""

    step: int
    epoch: int
    batch: int
    videos: Tensor | None
    loss: PendingCopy


class Safeguards(pl.Callback):
    """End a run cleanly, a training at the same step on all ranks; the command line always adds it.

    - **SIGTERM** (preemption, `docker stop`, torchrun) and **Ctrl-C**: the optimiser step is finished, `LastCheckpoint`
      saves it, and the process ends with status 143 or 130; a second Ctrl-C ends it at once. Lightning's own handler
      talks to the other ranks from within the signal, which can block them for good; here they agree after each step.
      `validate` and `predict` finish their frame. SLURM's requeue signal (USR1 by default, see `SLURMEnvironment`)
      stays with Lightning, which saves `hpc_ckpt_N.ckpt` and requeues the job.
    - **A non-finite loss** stops the run with the step and the videos of its batch. A single CPU process checks before
      the weights change. A GPU is not waited for: its loss is checked one step later, and once more before anything is
      saved, with the weights, so that nothing replaces a good checkpoint.
    - **A worker that dies** stops the run after its batch; what is saved is the last complete optimiser step.
    - **Files**: checkpoints are written atomically (`AtomicCheckpointIO`), two runs never use a folder
      together.
    - **Callbacks of Lightning's** that would spoil a run are refused before it begins (`refuse_unsupported`).
    """

    callback_order = 2
    """Position in the order of callbacks, see `order_callbacks`."""

    def __init__(self) -> None:
        self._ranks: Ranks | None = None
        self._locks: list[FolderLock] = []
        self._pending_losses: deque[PendingLoss] = deque()
        self._batch: tuple[int, int, Tensor | None] = (0, 0, None)
        self._workers = _DeadWorkers()
        self._signals = ExitStack()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the other callbacks; let checkpoints be written atomically."""
        if stage == "fit":
            refuse_unsupported(trainer, pl_module)
        order_callbacks(trainer)
        call_on_exception(trainer, together=(TrainingStopped,))
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lock the folders of the checkpoints against other runs."""
        self._ranks = Ranks()
        self._pending_losses.clear()
        with self._ranks.together():
            if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
                self._locks = [FolderLock(Path(folder)) for folder in folders if folder and "://" not in str(folder)]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers; Lightning restores the earlier ones when the fit ends."""
        self._defer_signals(trainer)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers."""
        self._defer_signals(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record which batch this is."""
        videos = batch.get("video_index") if isinstance(batch, dict) else None
        self._batch = (trainer.current_epoch, batch_idx, videos)
        self._workers.hold_back()

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Check the loss, or start its copy to the CPU."""
        value = PendingCopy(loss.detach())
        self._pending_losses.append(PendingLoss(trainer.global_step, *self._batch, value))
        alone = self._ranks is None or self._ranks.size == 1
        if alone and not value.of_gpu and (bad := self._bad_loss(trainer)):
            self._stop(NOT_FINITE, bad)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agree over all ranks whether to continue."""
        loss, worker = self._bad_loss(trainer, wait=False), self._workers.release()
        status = NOT_FINITE if loss else WORKER_DIED if worker else STOP_REQUESTED if signals.received() else GOOD
        worst = self._ranks.largest(status) if self._ranks is not None else status
        if worst == STOP_REQUESTED and not trainer.fit_loop._should_accumulate():  # not with half of the gradients
            trainer._signal_connector.received_sigterm = True  # Lightning leaves once the step is logged
        if worst > STOP_REQUESTED:
            self._stop(worst, loss or worker)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip validation in a run that has to stop."""
        if trainer.state.fn != "fit":
            self._defer_signals(trainer)
        elif trainer.received_sigterm:
            raise SIGTERMException

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Stop between two batches; several ranks, which would have to agree, do so after the pass."""
        if trainer.world_size == 1:
            signals.check()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree over all ranks whether to continue."""
        self._agree_to_stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree over all ranks whether to continue."""
        self._agree_to_stop(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save non-finite weights."""
        bad = self._bad_loss(trainer) or _broken_weights(trainer.global_step, pl_module)
        worst = NOT_FINITE if bad else GOOD
        if self._ranks is not None:
            worst = self._ranks.largest(worst)
        if worst:
            self._stop(worst, bad)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Report a stop by a signal, which has no other message, and release the locks of the folders."""
        self._workers.release()
        if waits_for_ranks(trainer):
            if isinstance(exception, SIGTERMException):
                stop_ranks(trainer)
        elif isinstance(exception, SIGTERMException):
            exception.code = exception.code or signals.status()  # 0 of a forked rank would read as success
            name = signals.name_of(signals.received())
            after = f" after step {trainer.global_step}" if trainer.state.fn == "fit" else ""
            rank_zero_info(f"stopped by {name}{after}")
        self._release()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the locks of the folders."""
        self._release()
        if self._ranks is not None:
            self._ranks.close()
            self._ranks = None

    def _agree_to_stop(self, trainer: pl.Trainer) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or self._ranks is None:
            return
        if self._ranks.largest(STOP_REQUESTED if signals.received() else GOOD):
            trainer._signal_connector.received_sigterm = True

    def _defer_signals(self, trainer: pl.Trainer) -> None:
        launcher = trainer.strategy.launcher
        self._signals.enter_context(signals.deferred(launcher.kill if launcher is not None else None))

    def _release(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks = []
        self._signals.close()

    def _bad_loss(self, trainer: pl.Trainer, wait: bool = True) -> str | None:
        """Describe the first non-finite loss, if any; without `wait` the newest may still be on its way."""
        while self._pending_losses:
            pending = self._pending_losses[0]
            if pending.loss.of_gpu and not wait and len(self._pending_losses) == 1:
                return None
            loss = float(pending.loss.wait())
            if not math.isfinite(loss):
                where = f"step {pending.step} (epoch {pending.epoch}, batch {pending.batch})"
                videos = _names(trainer, pending.videos)
                return f"{where}: the loss is {loss}; videos of the batch: {videos}"
            self._pending_losses.popleft()
        return None

    def _stop(self, status: int, reason: str | None) -> None:
        reasons = [reason] if self._ranks is None else self._ranks.gather(reason)
        raise TrainingStopped(next(text for text in reasons if text), resumable=status == WORKER_DIED)


class _DeadWorkers:
    """Hold back the exception by which torch reports a loader's dead worker until the end of the batch.

    Torch raises it in whatever runs at that moment, which would leave a step half done.
    """

    def __init__(self) -> None:
        self._handler: Callable[[int, Any], None] | None = None

    def hold_back(self) -> None:
        """Hold back such exceptions until `release`."""
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD"):
            handler = signal.getsignal(signal.SIGCHLD)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def release(self) -> str | None:
        """Return why a worker died since `hold_back`, None if none did; from now on torch raises again."""
        handler, self._handler = self._handler, None
        if handler is None:
            return None
        signal.signal(signal.SIGCHLD, handler)
        try:
            handler(signal.SIGCHLD, None)
        except RuntimeError as error:
            return str(worker_died(str(error)))
        return None


def _broken_weights(step: int, pl_module: pl.LightningModule) -> str | None:
    with torch.no_grad():
        named = [(name, weight.isfinite().all()) for name, weight in pl_module.named_parameters()]
        if not named or bool(torch.stack([finite for _, finite in named]).all()):
            return None
    broken = [name for name, finite in named if not finite]
    return (
        f"step {step}: {len(broken)} of {len(named)} weights hold NaN or infinity ({broken[0]}, …); nothing was saved"
    )


def _names(trainer: pl.Trainer, numbers: Tensor | None) -> str:
    """Name the videos of a batch by their paths, or by their numbers where the data have no list of them."""
    if numbers is None:
        return "not known"
    videos = getattr(trainer.datamodule, "videos", None)  # type: ignore[attr-defined]
    names = [str(videos[number].path) if videos else f"number {number}" for number in numbers.tolist()]
    more = f" and {len(names) - MOST_VIDEOS} more" if len(names) > MOST_VIDEOS else ""
    return ", ".join(names[:MOST_VIDEOS]) + more
