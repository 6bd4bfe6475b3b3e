"""Resumable loaders, and the base of the DataModules."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sized
from multiprocessing import active_children
from pathlib import Path
from typing import Any, TypeVar, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vidcorr.signals import REQUEUE
from vidcorr.videos.files import DataError, require_at_least
from vidcorr.videos.processes import STOPS, usable_cores
from vidcorr.videos.source import hashed_rank

from .clips import SkippedVideos, collate
from .samplers import ClipSampler, FixedSampler

DIED = (
    "a worker of the data loader died ({}), most often because the machine ran out of memory: lower data.num_workers, "
    "and resume with --ckpt_path last"
)
HANGS = (
    "a worker of the data loader was killed, because a sample took too long: a video hangs its decoder, or the disk is "
    "stalled; run `vidcorr check-data SOURCE`, or raise data.timeout, and resume with --ckpt_path last"
)
BatchT = TypeVar("BatchT")


class SteadyLoader(DataLoader[BatchT]):
    """A loader that survives signals and dead workers without breaking an optimiser step.

    Signals to the group are blocked until each worker has its own group. A worker's death is noticed within 5 seconds,
    and only while the loader waits for a batch: torch's SIGCHLD handler would raise the error at any point of an
    optimiser step.
    """

    _workers: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from self._batches()
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            hangs = any(worker.exitcode == -signal.SIGALRM for worker in self._workers)
            message = HANGS if hangs else DIED.format(str(error).partition(". ")[0])
            raise DataError(message) from error

    def _batches(self) -> Iterator[Any]:
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        on_child = signal.getsignal(signal.SIGCHLD)
        others = set(active_children())
        try:
            batches = super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if in_main:
                signal.signal(signal.SIGCHLD, on_child)
        self._workers += tuple(process for process in active_children() if process not in others)
        return batches


def start_worker(worker: int) -> None:
    """Keep OpenCV to a single thread, and put the worker into a new process group.

    Ctrl-C, SLURM and torchrun signal a whole process group; a worker that died first would break the step that is to be
    finished and saved. Earlier signals to the group are discarded. Workers end with the process that started them.
    """
    import cv2

    cv2.setNumThreads(0)
    os.setpgrp()
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # discards a pending signal
        signal.signal(number, signal.SIG_DFL)
    for requeue in REQUEUE:  # SLURM signals all processes of a job
        signal.signal(requeue, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # `ClipDataset` sets an alarm, which ends a worker that hangs
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


class ResumableLoader(SteadyLoader[BatchT]):
    """A loader over a `ClipSampler`; its state is the number of batches taken in the epoch.

    Every iteration is the next epoch, with or without a Trainer. Batches that were prefetched but not used do not
    count, so a run that resumes from the state starts at the next batch, for any number of workers.

    Attributes:
        source: the data, for messages.
        waited: seconds spent waiting for batches.
        converted: number in the epoch of the next batch that `on_after_batch_transfer` gets without a Trainer.
        processed: returns the number of batches trained on, so that a batch taken just before an exception does not
            count; None: all taken batches count.
    """

    sampler: ClipSampler
    source: object = "data"
    waited: float = 0.0
    converted: int = 0
    processed: Callable[[], int] | None = None
    _batch_position: tuple[int, int] = (0, 0)  # epoch, batches taken
    _resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # a generator: it starts at the first next(), after Lightning has set the epoch
        if not isinstance(self.sampler, ClipSampler):  # Lightning replaces the sampler for overfit_batches
            yield from super().__iter__()
            return
        self.sampler.require_batch(self.source)
        self.sampler.begin_pass(self._resume)
        epoch = self.sampler.epoch
        taken = self._place_in(epoch)
        self._batch_position = (epoch, taken)
        self._resume = None
        self.converted = taken
        self.sampler.first_batch = taken
        began = time.perf_counter()
        for batch in super().__iter__():
            self.waited += time.perf_counter() - began
            taken += 1
            self._batch_position = (epoch, taken)
            yield batch
            began = time.perf_counter()

    @property
    def key_epoch(self) -> int:
        """The epoch in the keys of the newest pass's draws; it counts repetitions above all epochs."""
        return self.sampler.key_epoch if isinstance(self.sampler, ClipSampler) else 0

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of batches taken in it, and the number and seed of the samples."""
        epoch, taken = self._batch_position
        if self.processed is not None:
            taken = min(taken, self.processed())
        state = {"epoch": epoch, "batches": taken} | self._order()
        if isinstance(self.sampler, ClipSampler) and self.sampler.repetition:
            state["repetition"] = self.sampler.repetition
        return state

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Set the start of the next pass, if it is in the same epoch."""
        self._resume = state
        self._batch_position = (state["epoch"], state["batches"])

    def _place_in(self, epoch: int) -> int:
        """Return the batches to leave out at the start of an epoch.

        Raises:
            DataError: if the resumed run took its batches from other samples, or in another order.
        """
        state = self._resume
        if state is None or state["epoch"] != epoch:
            return 0
        changed: list[str] = []
        for name, now in self._order().items():
            if state[name] != now:
                changed.append(f"{name} {state[name]}, now {now}")
        if changed:
            raise DataError(
                f"the checkpoint was written within an epoch of other data ({'; '.join(changed)}): resume with the "
                "data that the run began with, or from a checkpoint of the end of an epoch"
            )
        return state["batches"]

    def _order(self) -> dict[str, int]:
        if not isinstance(self.sampler, ClipSampler):
            return {}
        return {"samples": self.sampler.num_samples, "seed": self.sampler.seed}


class SampledDataModule(pl.LightningDataModule):
    """Loaders over training and validation data sets with (epoch, index) keys; a subclass makes both in `setup`.

    Args:
        source: the data.
        batch_size: samples per rank.
        num_workers: decoding processes per rank; None: the usable cores, at most 8.
        seed: seed of the order of training samples.

    Attributes:
        training: training samples.
        held_out: validation samples, or None.
        max_unusable: fraction of replaced samples above which a warning says what to do.
        skipped: path → number of replacements.

    Raises:
        ValueError: if the batch size is below 1, or the number of workers below 0.
    """

    training: Dataset[Any] | None = None
    held_out: Dataset[Any] | None = None
    max_unusable: float = 1.0

    def __init__(self, source: Path, batch_size: int, num_workers: int | None, seed: int) -> None:
        super().__init__()
        self.num_workers = min(8, usable_cores()) if num_workers is None else num_workers
        require_at_least(1, batch_size=batch_size)
        require_at_least(0, num_workers=self.num_workers)
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.skipped: Counter[str] = Counter()
        self._loader: ResumableLoader[Any] | None = None  # loader of the newest fit
        self._place: dict[str, int] | None = None  # place in the data to resume from

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the data, from which a resumed run continues."""
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the place in the data for the next loader.

        Lightning restores a DataModule before it asks for loaders, but a loader only if nothing has asked for it
        before, and a schedule that needs the number of steps asks.
        """
        self._place = state_dict

    def train_dataloader(self) -> ResumableLoader[Any]:
        """Return a loader over this rank's training samples, in an order that is a function of (seed, epoch).

        Ranks come from torch.distributed when the loader is used, so the loader is right without this DataModule. If
        this DataModule is given to the Trainer, the loader's state counts the batches that were trained on.

        Raises:
            DataError: before `setup`, or if the samples do not fill a batch on every rank.
        """
        if self.training is None:
            raise DataError(f"{self.source}: call setup('fit') of {type(self).__name__} before train_dataloader()")
        sampler = ClipSampler(cast(Sized, self.training), self.batch_size, seed=self.seed)
        sampler.require_batch(self.source)
        loader: ResumableLoader[Any] = ResumableLoader(self.training, sampler=sampler, **self._arguments())
        loader.source = self.source
        if self.trainer is not None:
            self._watch(self.trainer)
            progress = self.trainer.fit_loop.epoch_loop.batch_progress
            loader.processed = lambda: progress.current.processed  # type: ignore[attr-defined]
            if self._place is not None and self.trainer.ckpt_path:
                loader.load_state_dict(self._place)
        self._loader = loader
        self._place = None
        return loader

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the held-out samples, in their order; without any, of one empty batch."""
        if self.held_out is None:
            return DataLoader([{}], batch_size=None)  # type: ignore[arg-type]
        sampler = FixedSampler(cast(Sized, self.held_out))
        return SteadyLoader(self.held_out, sampler=sampler, **self._arguments())

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Convert images from uint8 to float in [0, 1], on the device."""
        converted: dict[str, Any] = {}
        for name, value in batch.items():
            if isinstance(value, Tensor) and value.dtype == torch.uint8:
                converted[name] = value.float().div_(255)
        return batch | converted if converted else batch

    def hashed_rank(self, path: Path) -> bytes:
        """Return the key by which held-out videos are chosen; it depends on the seed and the path from the source."""
        root = self.source.parent if self.source.is_file() else self.source
        return hashed_rank(self.seed, os.path.relpath(path, root))

    def _watch(self, trainer: Trainer) -> None:
        """Let a callback of the Trainer count and name the replaced samples of this DataModule."""
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        watches = [callback for callback in callbacks if isinstance(callback, SkippedVideos)]
        if any(watch.counts is self.skipped for watch in watches):
            return
        for watch in watches:  # left by a fit with another DataModule
            callbacks.remove(watch)
        callbacks.append(SkippedVideos(self.skipped, self.max_unusable, str(self.source)))

    def _arguments(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": collate,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": start_worker,
            "generator": torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
        }
