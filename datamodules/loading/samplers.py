"""Order of the samples: which samples a rank draws in an epoch, batch by batch."""

from collections.abc import Iterator, Mapping, Sized

import torch
from torch.utils.data.distributed import DistributedSampler

from vidcorr.functional.ranks import world_size_and_rank
from vidcorr.videos.files import DataError

from .clips import Key
from .sampling import seeded_generator


class ClipSampler(DistributedSampler[Key]):
    """Sampler of (epoch, index) in an order that is a function of (seed, epoch).

    Global batch k holds the same samples for any number of ranks with the same global batch size. Samples that do not
    fill a global batch are left out. Lightning keeps a `DistributedSampler` and calls its `set_epoch`. Every iteration
    is the next epoch, in any DataLoader or BatchSampler.

    Args:
        dataset: anything with a length.
        batch_size: batch size of a rank.
        ranks: number of processes; None: torch.distributed is asked whenever the sampler is used.
        rank: rank of this process.
        seed: seed of the permutation.
    """

    def __init__(self, dataset: Sized, batch_size: int, ranks: int | None = None, rank: int = 0, seed: int = 0) -> None:
        super().__init__(dataset, num_replicas=ranks or 1, rank=rank, seed=seed, drop_last=True)  # type: ignore[arg-type]
        self._asks = ranks is None
        self.batch_size = batch_size
        self.num_samples = len(dataset)
        self.first_batch = 0
        self.repetition = 0
        self._passes = 0
        self._is_driven = False  # somebody sets the epochs
        self._is_set = False  # somebody has set the epoch of the next pass
        self._is_begun = False  # a loader of ours has chosen the epoch of the next pass

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass."""
        super().set_epoch(epoch)
        self._is_driven = True
        self._is_set = True

    def begin_pass(self, place: Mapping[str, int] | None = None) -> None:
        """Choose the epoch of a pass.

        Without `set_epoch`, passes are epochs 0, 1, 2, … If another pass follows within an epoch that was set, as in
        Lightning's `CombinedLoader("max_size_cycle")`, it is a repetition with new draws.

        Args:
            place: state of a `ResumableLoader` to resume from.
        """
        if self._is_set:
            self.repetition = 0
        elif self._is_driven:
            self.repetition += 1
        elif self._passes:
            super().set_epoch(self.epoch + 1)
        elif place is not None:
            is_complete = place["batches"] * self.batch_size >= len(self)
            super().set_epoch(place["epoch"] + is_complete)
        if place is not None and place["epoch"] == self.epoch:
            self.repetition = place.get("repetition", 0)
        self._is_set = False
        self._is_begun = True
        self._passes += 1

    @property
    def key_epoch(self) -> int:
        """The epoch in the keys of the draws; it counts repetitions above all epochs."""
        return self.epoch + (self.repetition << 32)

    def __iter__(self) -> Iterator[Key]:
        if not self._is_begun:  # in a DataLoader or a BatchSampler of the user's
            self.begin_pass()
        self._is_begun = False
        ranks, rank = self.ranks()
        order = torch.randperm(self.num_samples, generator=seeded_generator(self.seed, self.key_epoch))
        share = order[rank::ranks]
        for index in share[self.first_batch * self.batch_size : len(self)].tolist():
            yield self.key_epoch, index

    def __len__(self) -> int:
        ranks, _ = self.ranks()
        return self.num_samples // (self.batch_size * ranks) * self.batch_size

    def ranks(self) -> tuple[int, int]:
        """Return the number of ranks and the rank of this process."""
        return world_size_and_rank() if self._asks else (self.num_replicas, self.rank)

    def require_batch(self, source: object) -> None:
        """Refuse samples that do not fill a batch on every rank.

        Args:
            source: the data, for the message.

        Raises:
            DataError: naming the source.
        """
        if not len(self):
            raise DataError(
                f"{source}: {self.num_samples} samples an epoch do not fill a batch of {self.batch_size} on "
                f"{self.ranks()[0]} rank(s); lower data.batch_size"
            )


class FixedSampler(DistributedSampler[Key]):
    """Sampler of (0, index) that shares out the samples over the ranks, in the same order in every epoch.

    torch's sampler repeats samples until all ranks have as many; repeated samples would count twice in a mean. Here
    the ranks' shares differ by at most a sample. Only a rank with an empty share repeats sample 0, because Lightning
    runs no validation without a batch.

    Args:
        dataset: anything with a length.
        ranks: number of processes; None: torch.distributed is asked whenever the sampler is used.
        rank: rank of this process.
    """

    def __init__(self, dataset: Sized, ranks: int | None = None, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=ranks or 1, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self._asks = ranks is None
        self._samples = len(dataset)

    @property
    def indices(self) -> range:
        """Indices of this rank's samples."""
        ranks, rank = world_size_and_rank() if self._asks else (self.num_replicas, self.rank)
        return range(rank, self._samples, ranks) or range(1)

    def __iter__(self) -> Iterator[Key]:
        for index in self.indices:
            yield 0, index

    def __len__(self) -> int:
        return len(self.indices)
