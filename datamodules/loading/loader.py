"""The loader, whose place in the data is a number."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torch.utils.data import DataLoader

from vidcorr.videos.files import DataError
from vidcorr.videos.processes import without_main

from .samplers import ClipSampler

BatchT = TypeVar("BatchT")


class ResumableLoader(DataLoader[BatchT]):
    """A loader whose state is the number of batches taken in the epoch of its `ClipSampler`; others begin anew.

    Batches that were prefetched but not used do not count, so a run that resumes from the state starts at the next
    batch, for any number of workers.

    Attributes:
        waited: seconds spent waiting for batches.
        place: epoch, and batches of it that were taken.
        processed: returns the number of batches trained on, so that a batch taken just before an exception does not
            count; None: all taken batches count.
    """

    sampler: ClipSampler
    waited: float = 0.0
    place: tuple[int, int] = (0, 0)
    processed: Callable[[], int] | None = None
    _resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # a generator: it starts at the first next(), after Lightning has set the epoch
        epoch = getattr(self.sampler, "epoch", 0)
        taken = self._batches_before(epoch)
        self.place = (epoch, taken)
        self._resume = None
        self.sampler.first_batch = taken
        began = time.perf_counter()
        with without_main():
            batches = super().__iter__()
        try:
            for batch in batches:
                self.waited += time.perf_counter() - began
                taken += 1
                self.place = (epoch, taken)
                yield batch
                began = time.perf_counter()
        except RuntimeError as error:
            if "shared memory" not in str(error):
                raise
            ways_out = "give the container more (--shm-size 8g), or lower data.num_workers"
            raise DataError(f"/dev/shm is full of batches: {ways_out}, and resume with --ckpt_path last") from error

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of batches taken in it, and the number and seed of the samples."""
        epoch, taken = self.place
        if self.processed is not None:
            taken = min(taken, self.processed())
        return {"epoch": epoch, "batches": taken} | self._order()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Set the start of the next pass, if it is in the same epoch."""
        self._resume = state
        self.place = (state["epoch"], state["batches"])

    def _batches_before(self, epoch: int) -> int:
        """Return the batches to leave out at the start of an epoch.

        Raises:
            DataError: if the resumed run took its batches from other samples, or in another order.
        """
        state = self._resume
        if state is None or state["epoch"] != epoch:
            return 0
        order = self._order()
        begun = {name: state[name] for name in order}
        if begun != order:
            raise DataError(f"the checkpoint was written within an epoch of other data: {begun}, now {order}")
        return state["batches"]

    def _order(self) -> dict[str, int]:
        if not isinstance(self.sampler, ClipSampler):
            return {}
        return {"samples": self.sampler.num_samples, "seed": self.sampler.seed}
