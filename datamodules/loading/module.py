"""Base of the DataModules whose samples are functions of (seed, epoch, index)."""

from collections.abc import Callable, Sized
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from ..reading.errors import DataError, require_at_least
from ..reading.files import usable_cores
from .loader import ClipSampler, FixedSampler, ResumableLoader, SteadyLoader, leave_process_group


class SampledDataModule(pl.LightningDataModule):
    """Loaders over data sets that take (epoch, index) keys and have a length.

    Args:
        batch_size: samples per rank.
        num_workers: processes that decode, per rank; None: the usable cores, at most 8.
        seed: seed of the order of training samples.

    Attributes:
        collate: list of samples → batch; None is torch's own.
        worker_timeout: seconds after which a worker that gives nothing ends the run; 0 is never.

    Raises:
        ValueError: if the batch size is below 1, or the number of workers below 0.
    """

    collate: Callable[[list[Any]], Any] | None = None
    worker_timeout: float = 0

    def __init__(self, batch_size: int, num_workers: int | None, seed: int) -> None:
        super().__init__()
        require_at_least(1, batch_size=batch_size)
        self.batch_size, self.seed = batch_size, seed
        self.num_workers = min(8, usable_cores()) if num_workers is None else num_workers
        require_at_least(0, num_workers=self.num_workers)

    def world_size_and_rank(self) -> tuple[int, int]:
        """Return the number of processes that train together and the rank of this one; (1, 0) without a Trainer."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer is not None else (1, 0)

    def training_loader(self, dataset: Dataset[Any], samples: str, remedy: str) -> ResumableLoader[Any]:
        """Return a loader over this rank's part of a data set, whose state follows what the Trainer has trained on.

        Args:
            dataset: the training samples.
            samples: what they are and how many, for the error.
            remedy: for the error.

        Raises:
            DataError: if the samples do not fill a batch on each rank.
        """
        ranks, rank = self.world_size_and_rank()
        sampler = ClipSampler(cast(Sized, dataset), self.batch_size, ranks, rank, self.seed)
        if not sampler.num_batches:
            raise DataError(f"{samples} do not fill a batch of {self.batch_size} on {ranks} rank(s); {remedy}")
        loader: ResumableLoader[Any] = ResumableLoader(dataset, sampler=sampler, **self._arguments())
        if self.trainer is not None:
            progress = self.trainer.fit_loop.epoch_loop.batch_progress
            loader.processed = lambda: progress.current.processed  # type: ignore[attr-defined]
        return loader

    def fixed_loader(self, dataset: Dataset[Any] | None) -> DataLoader[Any]:
        """Return a loader of the held-out samples, the same in every epoch; of one empty batch if there are none.

        Each sample comes once, unless there are fewer than ranks: a rank that would have none gets the first one.
        Without a batch Lightning runs no validation hooks.
        """
        if dataset is None:
            return DataLoader([{}], batch_size=None)  # type: ignore[arg-type]
        ranks, rank = self.world_size_and_rank()
        return SteadyLoader(dataset, sampler=FixedSampler(cast(Sized, dataset), ranks, rank), **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "timeout": self.worker_timeout if self.num_workers else 0,
            "collate_fn": self.collate,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": _start_worker,
            "generator": torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
        }


def _start_worker(worker: int) -> None:
    """Keep OpenCV to the worker's own thread, and the worker out of the signals that end the run."""
    import cv2

    cv2.setNumThreads(0)
    leave_process_group()
