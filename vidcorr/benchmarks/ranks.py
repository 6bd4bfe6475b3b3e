"""The processes that share a run, and the sequences of each."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from .. import signals

# a finished rank waits for the others at least this long
SHORTEST_LIMIT = timedelta(hours=4)
# a finished rank waits for the others up to PATIENCE times as long as its sequences took
PATIENCE = 4
# limit of messages between ranks after all have finished; the messages are small
EXCHANGE = timedelta(minutes=30)


T = TypeVar("T")


class BenchmarkError(RuntimeError):
    """Error for a benchmark that failed on a rank; all ranks raise it, with the message of the failed rank."""


class LostRank(BenchmarkError):
    """Error on the remaining ranks if the process of another rank has ended or hangs."""


class Ranks(AbstractContextManager["Ranks"]):
    """The ranks that share a run; without a process group a single rank.

    Results travel over a separate gloo group, which needs no GPU and has longer limits than the group of the training.
    Use it as a context, or call `close`.

    Args:
        shared: False: this rank runs alone, and no other need call it.

    Raises:
        LostRank: if the process of another rank has ended before.
    """

    def __init__(self, shared: bool = True) -> None:
        active = shared and dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if active else 0
        self.size = dist.get_world_size() if active else 1
        self.group: Any = None
        if self.size > 1:
            # a rank that has ended is noticed at once; `new_group` would wait for it
            if dist.get_backend() == "gloo":
                with self._errors_as_lost_rank():
                    dist.monitored_barrier(timeout=EXCHANGE)
            # a group for the results of a run, which need no GPU
            self.group = dist.new_group(backend="gloo", timeout=EXCHANGE)

    def gather(self, value: T) -> list[T]:
        """Return the values that all ranks give, in the order of the ranks, on every rank; values must be picklable."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self._errors_as_lost_rank():
            dist.all_gather_object(values, value, group=self.group)
        return values

    @contextmanager
    def _errors_as_lost_rank(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            lost = f"rank {self.rank} of {self.size}: another rank has ended or hangs; read the last lines of all"
            raise LostRank(lost) from error

    def largest(self, value: int) -> int:
        """Return the largest of the values that the ranks give, on every rank."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        with self._errors_as_lost_rank():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all ranks; if it fails on a rank, all ranks raise an error with its message.

        At the end of the block a rank waits for the others: up to 4 hours, or 4 times as long as its own block took if
        that is longer.

        Raises:
            BenchmarkError: on every rank; a run of a single rank raises the original error.
            LostRank: if the process of another rank has ended or hangs.
            Stopped: on every rank, if a signal has stopped any of them.
        """
        if self.size == 1:
            yield
            return
        error: BaseException | None = None
        began = time.monotonic()
        try:
            yield
        # `Stopped` is a SystemExit, so no Exception
        except (Exception, signals.Stopped) as raised:
            error = raised
        limit = max(SHORTEST_LIMIT, PATIENCE * timedelta(seconds=time.monotonic() - began))
        with self._errors_as_lost_rank():
            dist.monitored_barrier(self.group, limit)
        stopped_by = error.number if isinstance(error, signals.Stopped) else None
        message = None if error is None else f"{type(error).__name__}: {error}"
        ends = self.gather((stopped_by, message))
        for signal_number, _ in ends:
            if signal_number:
                raise signals.Stopped(signal_number) from error
        for rank, (_, message) in enumerate(ends):
            if message is not None:
                raise BenchmarkError(f"rank {rank} of {self.size}: {message}") from error

    def close(self, *_: object) -> None:
        if self.group is not None and dist.is_initialized():
            dist.destroy_process_group(self.group)
        self.group = None

    __exit__ = close


@contextmanager
def first_ranks_buffers(features: nn.Module, world_size: int) -> Iterator[None]:
    """Give the buffers of an extractor the first rank's values during a block, which every rank enters.

    DDP shares buffers only before a forward pass of training, and not at all with `broadcast_buffers=False`.
    """
    buffers = list(features.buffers()) if world_size > 1 else []
    own_values = [buffer.clone() for buffer in buffers]
    try:
        for buffer in buffers:
            dist.broadcast(buffer, 0)
        yield
    finally:
        for buffer, value in zip(buffers, own_values, strict=True):
            buffer.copy_(value)


def distribute(work: Sequence[int], size: int) -> list[list[int]]:
    """Distribute sequences so that ranks have about equal work: each to the least loaded rank, the longest first.

    Example:
        >>> distribute([10, 90, 50, 45], 2), distribute([3, 3, 3], 2), distribute([], 2)
        ([[1, 0], [2, 3]], [[0, 2], [1]], [[], []])
    """
    parts: list[list[int]] = [[] for _ in range(size)]
    loads = [0] * size
    for index in sorted(range(len(work)), key=lambda index: -work[index]):
        least = loads.index(min(loads))
        parts[least].append(index)
        loads[least] += work[index]
    return parts
