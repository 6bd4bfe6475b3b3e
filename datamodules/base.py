"""Base of the DataModules: loaders of training and held-out samples, and the count of replaced videos."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence, Sized
from typing import Any, NoReturn, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from vidcorr.functional.images import prepared
from vidcorr.functional.seeds import run_seed
from vidcorr.videos.addresses import user_place
from vidcorr.videos.files import DataError, require_at_least, user_path
from vidcorr.videos.processes import server_context, usable_cores

from .loading.batch_colours import ColourAugmentation
from .loading.clips import collate, start_worker
from .loading.loader import ClipSampler, FixedSampler, ResumableLoader

Sources = list[str | os.PathLike[str]] | str | os.PathLike[str]  # the list first: else jsonargparse makes it a text
"""A folder, list or file of data, or several of them, which are all trained on."""
MOST_UNUSABLE = 0.05
"""Fraction of replaced samples above which a warning says what to do."""
FEWEST = 5
"""Fewest replacements that a warning needs: the first samples may happen to be bad."""


class SampledDataModule(pl.LightningDataModule):
    """Loaders over training and validation data sets with (epoch, index) keys; a subclass makes both in `setup`.

    Args:
        source: the data, or several parts of it.
        batch_size: samples per rank.
        num_workers: decoding processes per rank; None: the usable cores, at most 8.
        seed: seed of the order of training samples; None: the run's.

    Attributes:
        sources: paths and addresses of the data, as text.
        source: path of the first of them.
        training: training samples.
        held_out: validation samples, or None; not the hold-out split of a benchmark.
        timeout: seconds allowed for a sample, on average over a batch; then a worker counts as hanging.
        colour: augmentation of the clips of training, or None.
        skipped: path → number of replacements.

    Raises:
        ValueError: if the batch size is below 1, or the number of workers below 0.
    """

    training: Dataset[Any] | None = None
    held_out: Dataset[Any] | None = None
    colour: ColourAugmentation | None = None
    timeout: float = 60.0

    def __init__(self, source: Sources, batch_size: int, num_workers: int | None, seed: int | None) -> None:
        super().__init__()
        self.num_workers = min(8, usable_cores()) if num_workers is None else num_workers
        require_at_least(1, batch_size=batch_size)
        require_at_least(0, num_workers=self.num_workers)
        paths = source if isinstance(source, list) else [source]
        self.sources = list(map(user_place, paths))
        self.source = user_path(paths[0])  # for data of a single source on a disk
        self.batch_size = batch_size
        self.seed = run_seed(seed)
        self.skipped: Counter[str] = Counter()  # path of an unusable item → how often another replaced it
        self._samples = 0  # samples of all batches so far, replaced items included
        self._warned = False  # True after the warning that too many items are replaced
        self._loader: ResumableLoader[Any] | None = None  # the newest loader of training
        self._resumed: tuple[Any, dict[str, Any]] = (None, {})  # the Trainer that resumes, and its loader's state

    @classmethod
    def load_from_checkpoint(cls, *_: object, **__: object) -> NoReturn:
        """Refuse: a checkpoint names no data that are opened."""
        raise ValueError(f"{cls.__name__}: a checkpoint names no data: give the source, {cls.__name__}(SOURCE)")

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the loader of training (`ResumableLoader.state_dict`); {} before there is a loader."""
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state, and the Trainer that resumes: `train_dataloader` gives the state to the new loader.

        The Trainer may ask for the loader before Lightning restores loaders itself.

        Raises:
            ValueError: for a state of another form, as in a damaged checkpoint.
        """
        if not isinstance(state_dict, dict) or not state_dict.keys() >= {"epoch", "batches", "data"}:
            state = f"its state of a run, {type(self).__name__}, is of another form"
            raise ValueError(f"{getattr(self.trainer, 'ckpt_path', None)}: is damaged: {state}")
        self._resumed = (self.trainer, state_dict)

    def train_dataloader(self) -> ResumableLoader[Any]:
        """Return a loader over this rank's training samples, in an order that is a function of (seed, epoch).

        The loader works without this DataModule: it asks torch.distributed for the ranks whenever it is used. In a run
        that resumes, it begins after the batches that were trained on.

        Raises:
            DataError: if the samples do not fill a batch on every rank.
        """
        training: Any = self.training
        sampler = ClipSampler(training, self.batch_size, seed=self.seed)
        if not len(sampler):
            raise DataError(
                f"{self.named}: {sampler.num_samples} samples do not fill a batch of {self.batch_size} on every rank; "
                "lower --data.batch_size"
            )
        loader: ResumableLoader[Any] = ResumableLoader(
            training, sampler=sampler, colour=self.colour, **self._arguments()
        )
        loader.named = self.named
        loader.trainer = self.trainer  # the loader's state then counts the batches that it has trained on
        resuming, state = self._resumed
        # not in a later fit by another Trainer, and not outside a training
        if self.trainer is not None and self.trainer is resuming and self.trainer.training:
            loader.load_state_dict(state)
        self._loader = loader
        return loader

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the held-out samples, in their order.

        Without held-out samples it gives one empty batch: Lightning runs the hooks of a validation, in which benchmarks
        run, only if there is a batch.
        """
        if self.held_out is None:
            return DataLoader([{}], batch_size=None)  # type: ignore[arg-type]
        sampler = FixedSampler(cast(Sized, self.held_out))
        return ResumableLoader(self.held_out, sampler=sampler, **self._arguments())

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of `val_dataloader`."""
        return self.val_dataloader()

    def on_after_batch_transfer(self, batch: object, dataloader_idx: int) -> Any:
        """Prepare a batch on the device (`prepared`), for modules that are none of ours."""
        return prepared(batch)

    def _count_replaced(self, failures: Sequence[str]) -> None:
        """Count the replaced paths of a batch; warn of each path once, and once when they are too many.

        Each rank counts its own samples; the second warning shows the count of the first rank.
        """
        self._samples += len(failures) + self.batch_size  # every line of `failures` is a further try
        for line in failures:
            path = line.partition(": ")[0]
            if path not in self.skipped:
                warnings.warn(f"replaced by another video: {line}", stacklevel=1)
            self.skipped[path] += 1
        tolerated = max(FEWEST - 1, MOST_UNUSABLE * self._samples)  # a fraction of all samples, and a few at the start
        if self.skipped.total() > tolerated and not self._warned:
            self._warned = True
            checks = ", ".join(f"`vidcorr check-data {source}`" for source in self.sources)
            rank_zero_warn(
                f"TOO MANY UNUSABLE VIDEOS: {self.skipped.total()} of {self._samples} clips so far had to be replaced: "
                f"see {checks}, and train on the clean.txt that it writes"
            )

    @property
    def named(self) -> str:
        """The sources as text for messages, joined by commas."""
        return ", ".join(self.sources)

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that both loaders share."""
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": collate,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": start_worker,
            # `timeout` is seconds per sample; without workers torch takes no time limit
            "timeout": self.batch_size * self.timeout if self.num_workers else 0,
            "multiprocessing_context": server_context() if self.num_workers else None,
            "tell": self._count_replaced,
            "generator": torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
        }
