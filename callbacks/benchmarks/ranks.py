"""Distribution of sequences over ranks, and a common end of a benchmark when one rank fails."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ..process import signals

SHORTEST_LIMIT, PATIENCE = timedelta(hours=4), 4
"""A rank that has finished its part waits this long for the others, or this many times as long as its own part took."""
EXCHANGE = timedelta(minutes=30)
"""Limit for what follows once all have finished: every rank is there, and messages are small."""


class BenchmarkError(RuntimeError):
    """Error for a benchmark that failed on one of the ranks; every rank raises it, with that rank's message."""


class LostRank(BenchmarkError):
    """Error on the ranks that remain when the process of another one has ended or hangs."""


class Ranks(AbstractContextManager["Ranks"]):
    """The ranks of this run as a benchmark sees them; a run without process group is one rank.

    Results travel over a gloo group of our own, which needs no GPU. Only `together` waits long, for the parts of other
    ranks, which the training's group would not do. Use it as a context, or call `close`.
    """

    def __init__(self) -> None:
        active = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if active else 0
        self.size = dist.get_world_size() if active else 1
        self.group: Any = dist.new_group(backend="gloo", timeout=EXCHANGE) if self.size > 1 else None

    def gather(self, value: Any) -> list[Any]:
        """Return one picklable value of each rank, in the order of the ranks, on every rank.

        Raises:
            LostRank: if the process of another rank has ended.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self._others_alive():
            dist.all_gather_object(values, value, group=self.group)
        return values

    @contextmanager
    def _others_alive(self) -> Iterator[None]:
        """Raise `LostRank` in place of gloo's error."""
        try:
            yield
        except RuntimeError as error:
            late = "monitoredBarrier in" in str(error)
            reason = "another rank hangs, or takes far longer than this one" if late else "connection closed by peer"
            raise LostRank(
                f"rank {self.rank} of {self.size}: {reason}: look for the last lines of the process of the other rank, "
                "which may be out of memory"
            ) from error

    def largest(self, value: int) -> int:
        """Return the largest number of all ranks, on every rank."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        with self._others_alive():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all ranks; if it fails on one, all raise that rank's error.

        Raises:
            BenchmarkError: on every rank, where several ranks run; a single rank raises what was raised.
            LostRank: if the process of another rank has ended or hangs.
            Stopped: on every rank, if a signal has stopped one of them.
        """
        if self.size == 1:
            yield
            return
        error: BaseException | None = None
        began = time.monotonic()
        try:
            yield
        except (Exception, signals.Stopped) as raised:
            error = raised
        limit = max(SHORTEST_LIMIT, PATIENCE * timedelta(seconds=time.monotonic() - began))
        with self._others_alive():
            dist.monitored_barrier(self.group, limit)
        stopped_by = error.number if isinstance(error, signals.Stopped) else None
        if stops := [number for number in self.gather(stopped_by) if number]:
            raise signals.Stopped(stops[0]) from error
        messages = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        failed = [(rank, message) for rank, message in enumerate(messages) if message is not None]
        if failed:
            rank, message = failed[0]
            raise BenchmarkError(f"rank {rank} of {self.size}: {message}") from error

    def close(self, *_: object) -> None:
        """Destroy the process group."""
        if self.group is not None and dist.is_initialized():
            dist.destroy_process_group(self.group)
        self.group = None

    __exit__ = close


def distribute(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Distribute sequences so that ranks have about equally many frames: the longest first, to the least loaded rank.

    Args:
        lengths: frames of each sequence.
        size: number of ranks.

    Returns:
        For each rank the numbers of its sequences, each number once over all ranks.

    Example:
        >>> distribute([10, 90, 50, 45], 2)
        [[1, 0], [2, 3]]
    """
    parts: list[list[int]] = [[] for _ in range(size)]
    frames = [0] * size
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        least = frames.index(min(frames))
        parts[least].append(number)
        frames[least] += lengths[number]
    return parts
