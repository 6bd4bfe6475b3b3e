"""Seconds per kind of work."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")

MARKS = 1000
"""Unread pairs of events on a GPU; then their times are read."""


class Stopwatch:
    """Seconds by kind of work.

    A GPU records events in its queue, and their times are read with the sums: no block waits for the GPU.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def seconds(self) -> dict[str, float]:
        """Kind of work → seconds so far, mutable; waits until a GPU has reached the last event."""
        for work, first, last in self._marks:
            last.synchronize()
            self._seconds[work] += first.elapsed_time(last) / 1000
        self._marks.clear()
        return self._seconds

    @contextmanager
    def __call__(self, work: str, device: torch.device | None = None) -> Iterator[None]:
        """Count the time of a block on a device; None is the CPU."""
        if device is not None and device.type == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            stream = torch.cuda.current_stream(device)
            first.record(stream)
            yield
            last.record(stream)
            self._marks.append((work, first, last))
            if len(self._marks) > MARKS:
                _ = self.seconds
            return
        began = time.perf_counter()
        yield
        self._seconds[work] += time.perf_counter() - began

    def timed(self, work: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the time to get them."""
        iterator = iter(items)
        while True:
            with self(work):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def rounded(self) -> dict[str, float]:
        """Return the seconds to two digits, for results."""
        return {work: round(value, 2) for work, value in self.seconds.items()}
