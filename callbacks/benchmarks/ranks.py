"""Distribution of sequences over ranks, and a common end of a benchmark when one rank fails."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

import torch
import torch.distributed as dist

from .. import signals

LONGEST_BENCHMARK = timedelta(days=2)


class BenchmarkError(RuntimeError):
    """Error for a benchmark that failed on one of the ranks; every rank raises it, with that rank's message."""


class Ranks:
    """The ranks of this run as a benchmark sees them; a run without process group is one rank.

    Results travel over a gloo group of our own: it needs no GPU, and its time limit is days, where that of the
    training's group is minutes and a rank without sequences would run into it. Use it as a context, or call `close`.
    """

    def __init__(self) -> None:
        self.active = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if self.active else 0
        self.size = dist.get_world_size() if self.active else 1
        self.group: Any = dist.new_group(backend="gloo", timeout=LONGEST_BENCHMARK) if self.size > 1 else None

    def gather(self, value: Any) -> list[Any]:
        """Return one picklable value of each rank, in the order of the ranks, on every rank.

        Raises:
            BenchmarkError: if the process of another rank has ended.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(values, value, group=self.group)
        except RuntimeError as error:  # gloo's, of a lost connection
            raise BenchmarkError(
                f"rank {self.rank} of {self.size}: connection closed by peer: the process of another rank has ended "
                "(killed, or out of memory); look for its own last lines"
            ) from error
        return values

    def largest(self, value: int) -> int:
        """Return the largest number of all ranks, on every rank."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all ranks; if it fails on one, all raise that rank's error.

        Raises:
            BenchmarkError: on every rank, where several ranks run; a single rank raises what was raised.
            Stopped: on every rank, if a signal has stopped one of them.
        """
        if self.size == 1:
            yield
            return
        error: BaseException | None = None
        try:
            yield
        except (Exception, signals.Stopped) as raised:
            error = raised
        stopped_by = error.number if isinstance(error, signals.Stopped) else None
        if stops := [number for number in self.gather(stopped_by) if number]:
            raise signals.Stopped(stops[0]) from error
        messages = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        failed = [(rank, message) for rank, message in enumerate(messages) if message is not None]
        if failed:
            rank, message = failed[0]
            raise BenchmarkError(f"rank {rank} of {self.size}: {message}") from error

    def __enter__(self) -> Self:
        return self

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
