"""Samplers, which share out the samples of an epoch over ranks, and the loader, which begins at any batch."""

import time
from collections.abc import Callable, Iterator, Sequence, Sized
from functools import partial
from typing import Any, TypeVar

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from vidcorr.functional.device import world_size_and_rank
from vidcorr.functional.images import COLOURS
from vidcorr.loops import batches_trained
from vidcorr.videos.files import DataError
from vidcorr.videos.processes import without_main

from .batch_colours import ColourAugmentation
from .clips import Key
from .sampling import seeded_generator

BatchT = TypeVar("BatchT")
LOOK = 5.0
"""Seconds between two checks whether a worker was killed."""


# The samplers are torch's `DistributedSampler`, because Lightning replaces any other sampler on several ranks. torch's
# class fixes the ranks when it is made, perhaps before they have started. So it is told of a single rank, and our
# methods ask for the ranks at each use and share out the samples. `num_samples` is then the data set's length.


class ClipSampler(DistributedSampler[Key]):
    """Sampler of (epoch, index) in an order that is a function of (seed, epoch).

    As with torch's sampler, `set_epoch` chooses the epoch of the next pass; Lightning's Trainer calls it. Otherwise
    `ResumableLoader` begins the next epoch after a whole pass.

    Global batch k, over all ranks, holds the same samples for any number of ranks with the same global batch size.
    Samples that do not fill a global batch are left out.

    Args:
        dataset: anything with a length.
        batch_size: batch size of a rank.
        seed: seed of the permutation.

    Example:
        >>> sampler = ClipSampler(range(5), batch_size=2)
        >>> sampler.set_epoch(3)
        >>> list(sampler)  # (epoch, index); the fifth sample fills no batch
        [(3, 4), (3, 3), (3, 0), (3, 2)]

    Attributes:
        first_batch: number of batches that the next pass leaves out at its start.
        is_chosen: True if `set_epoch` has chosen the epoch of the next pass.
    """

    def __init__(self, dataset: Sized, batch_size: int, seed: int = 0) -> None:
        # torch's class learns of one rank: the ranks may not have started, and our methods ask for them at each use
        super().__init__(dataset, num_replicas=1, rank=0, seed=seed)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.first_batch = 0
        self.is_chosen = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        super().set_epoch(epoch)
        self.is_chosen = True

    def __iter__(self) -> Iterator[Key]:
        """Yield the (epoch, index) of this rank's samples, from batch `first_batch` on."""
        ranks, rank = world_size_and_rank()
        order = torch.randperm(self.num_samples, generator=seeded_generator(self.seed, self.epoch))
        share = order[rank::ranks]  # so all ranks' batches k together are a stretch of the order
        # `len(self)`: samples of this rank in full batches; the rest of its share is left out
        for index in share[self.first_batch * self.batch_size : len(self)].tolist():
            yield self.epoch, index

    def __len__(self) -> int:
        """Return the number of this rank's samples in a whole epoch: only samples of full global batches count."""
        ranks, _ = world_size_and_rank()
        return self.num_samples // (self.batch_size * ranks) * self.batch_size


class FixedSampler(DistributedSampler[Key]):
    """Sampler of (0, index) that shares out the samples over the ranks, in the same order in every epoch.

    torch's sampler repeats samples until all ranks have equally many, and repeated samples would count twice in a mean.
    Here the numbers of samples of two ranks differ by at most one. Only a rank without a sample repeats sample 0,
    because Lightning runs no validation without a batch.

    Args:
        dataset: anything with a length.

    Example:
        >>> list(FixedSampler(range(3)))
        [(0, 0), (0, 1), (0, 2)]
    """

    def __init__(self, dataset: Sized) -> None:
        # torch's class learns of one rank: the ranks may not have started, and our methods ask for them at each use
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=False)  # type: ignore[arg-type]

    @property
    def indices(self) -> range:
        """Indices of this rank's samples; sample 0 for a rank without a sample, since Lightning needs a batch."""
        ranks, rank = world_size_and_rank()
        return range(rank, self.num_samples, ranks) or range(1)

    def __iter__(self) -> Iterator[Key]:
        """Yield (0, index) of this rank's samples, ascending."""
        for index in self.indices:
            yield 0, index

    def __len__(self) -> int:
        return len(self.indices)


class ResumableLoader(DataLoader[BatchT]):
    """A loader whose passes may begin within the epoch of its `ClipSampler`, and which counts its batches.

    The loader's state is its place in the data. Lightning's loops save and load the state, so a run that resumes
    continues at this place. A pass after a whole pass is the next epoch, unless `set_epoch` of the sampler chooses one.

    Args:
        arguments: those of torch's class.
        colour: augmentation of the clips, or None. A batch carries it (`clips.prepared`), with draws that are a
            function of (seed, epoch, batch, rank).
        tell: called with the `failures` of each batch.
        options: those of torch's class.

    Attributes:
        waited: seconds spent waiting for batches.
        place: epoch, and number of batches of the epoch that were taken.
        trainer: the Trainer that trains on the batches; then the state counts the batches that were trained on.
        named: name of the data in messages.

    Raises:
        DataError: if a pass begins within an epoch of other samples, or of another order.

    Warns:
        If a run resumes between two epochs with a list of other items.
    """

    sampler: ClipSampler
    waited: float = 0.0
    place: tuple[int, int] = (0, 0)
    trainer: Any = None
    named: str = "the data"
    _data_before: dict[str, Any] | None = None  # facts of the resumed run's data, until the next pass

    def __init__(
        self,
        *arguments: Any,
        colour: ColourAugmentation | None = None,
        tell: Callable[[Sequence[str]], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.colour = colour  # by these names Lightning gives both to the loader that it makes of this one
        self.tell = tell

    def state_dict(self) -> dict[str, Any]:
        """Return the place at which a resumed run begins, `epoch` and number of `batches` before, and facts of `data`.

        With a Trainer the batches are counted that it has trained on, because workers load ahead of the training.
        """
        epoch, batches = self.place
        if self.trainer is not None:
            batches = batches_trained(self.trainer)
        return {"epoch": epoch, "batches": batches, "data": self._facts_of_data()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass begin at a place; if `set_epoch` has chosen another epoch, at the start of that epoch."""
        if not isinstance(self.sampler, ClipSampler):  # Lightning's `overfit_batches` has replaced it
            return
        self.place = (state_dict["epoch"], state_dict["batches"])
        self._data_before = state_dict["data"]  # compared with the present data when the pass begins
        if not self.sampler.is_chosen:  # `set_epoch` has not been called
            self.sampler.epoch = state_dict["epoch"]

    def _facts_of_data(self) -> dict[str, Any]:
        """Return the facts that decide samples and their order: length, seed, and the data set's `fingerprint`."""
        facts = {"samples": len(self.dataset), "seed": getattr(self.sampler, "seed", 0)}  # type: ignore[arg-type]
        return facts | getattr(self.dataset, "fingerprint", {})

    def _begin_pass(self) -> tuple[int, int]:
        """Decide where a new pass starts, and set the sampler's epoch.

        The first pass after `load_state_dict` begins at the loaded place; if the place is the end of an epoch, with the
        next epoch. If `set_epoch` has chosen another epoch, the loaded place does not count. Every other pass begins at
        the start of an epoch: the epoch that `set_epoch` chose; without a choice the next epoch after a whole pass, and
        the same epoch again after a pass that was broken off.
        """
        sampler = self.sampler
        if not isinstance(sampler, ClipSampler):
            return 0, 0
        epoch, taken = self.place  # of the last pass, or loaded: the epoch, and the batches given so far
        continues = self._data_before is not None and sampler.epoch == epoch  # the place was loaded, and counts
        is_whole = taken > 0 and taken >= len(self)  # all batches of the epoch were given
        # a chosen epoch counts, unless it is the loaded epoch, which is over
        if is_whole and (continues or not sampler.is_chosen):
            sampler.epoch = epoch + 1
        # only a loaded place within an epoch leaves batches out
        if is_whole or not continues:
            taken = 0
        sampler.is_chosen = False  # a choice and a loaded place hold for one pass
        before = self._data_before
        self._data_before = None
        if before is not None:
            now = self._facts_of_data()
            # the order within an epoch depends on all facts; a new epoch may begin on other data, with a warning
            if taken and before != now:
                raise DataError(f"the checkpoint was written within an epoch of other data: {before}, now {now}")
            if before.get("digest") != now.get("digest"):
                counts = f"{before.get('items')} before, {now.get('items')} now"
                rank_zero_warn(f"{self.named}: not the items that the checkpoint's run was trained on: {counts}")
        return sampler.epoch, taken

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of a pass from its first batch on; count the batches and the seconds waited for them.

        Raises:
            DataError: if the pass cannot begin at its place, or shared memory is full.
            RuntimeError: for a worker that has ended, or gives no batch within `timeout` seconds.
        """
        # a generator: it starts at the first next(), after Lightning has restored the epoch and its batches
        epoch, taken = self._begin_pass()
        self.place = (epoch, taken)
        self.sampler.first_batch = taken
        began = time.perf_counter()
        patience = self.timeout
        # torch looks for killed workers only when its time limit is over. So its iterator, which keeps the limit of its
        # start, gets a short one; `_wait_for_batches` asks again until `patience` is over
        self.timeout = min(patience, LOOK)
        with without_main():  # the workers that start here must not import the main module, which would run again
            batches = super().__iter__()
        self.timeout = patience
        try:
            for batch in _wait_for_batches(batches, patience):
                self.waited += time.perf_counter() - began
                taken += 1
                self.place = (epoch, taken)
                if self.tell is not None and isinstance(batch, dict):  # a user's data set may give others
                    self.tell(batch.get("failures", ()))
                if self.colour is not None:
                    key = (getattr(self.sampler, "seed", 0), epoch, taken - 1, world_size_and_rank()[1])
                    batch[COLOURS] = partial(self.colour.of_clips, key=key)
                yield batch
                began = time.perf_counter()
        except RuntimeError as error:
            if "shared memory" not in str(error):
                raise
            ways_out = "give the container more (--shm-size 8g), or lower data.num_workers"
            raise DataError(f"/dev/shm is full of batches: {ways_out}, and resume: vidcorr resume") from error


def _wait_for_batches(batches: Iterator[BatchT], patience: float) -> Iterator[BatchT]:
    """Yield batches of torch's loader; after each of its short time limits ask again, until `patience` is over.

    At each time limit torch looks whether a worker was killed, so a killed worker is found early.
    """
    began = time.monotonic()
    while True:
        try:
            for batch in batches:
                yield batch
                began = time.monotonic()
            return
        except RuntimeError as error:
            if "DataLoader timed out" not in str(error):
                raise
            if time.monotonic() - began >= patience:
                raise RuntimeError(f"DataLoader timed out after {patience:g} seconds") from error
