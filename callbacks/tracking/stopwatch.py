"""Seconds per kind of work."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


class Stopwatch:
    """Sum the seconds of each kind of work.

    On a GPU it waits for the work to end, so that each kind is charged with its own.

    Attributes:
        seconds: kind of work → seconds so far.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, work: str, device: torch.device | None = None) -> Iterator[None]:
        """Count the time of a block; `device`: the one that works."""
        began = time.perf_counter()
        yield
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds[work] += time.perf_counter() - began

    def timed(self, work: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, counting the time that it takes to get each."""
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
