"""Seconds by kind of work, on the CPU and in the queue of a GPU."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch

T = TypeVar("T")

MARKS = 1000
"""Number of measured blocks after which their times are added up; events of a GPU are read together."""


class Stopwatch:
    """Seconds by kind of work.

    A GPU records events in its queue, and their times are read with the sums: no block waits for the GPU.

    Example:
        >>> watch = Stopwatch()
        >>> for item in watch.timed("decode", ["frame"]):
        ...     with watch("track"), watch("decode"):
        ...         pass
        >>> sorted(watch.seconds)
        ['decode', 'track']
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[str, str, Any, Any]] = []  # work, the work around it, begin and end
        self._work = ""

    @property
    def seconds(self) -> dict[str, float]:
        """Kind of work → seconds so far, to two digits; waits until a GPU has reached the last event."""
        self._add_up()
        return {work: round(spent, 2) for work, spent in self._seconds.items()}

    def _add_up(self) -> None:
        """Move the marks into the sums; the time of a block is taken off the work around it."""
        for work, outer, first, last in self._marks:
            if isinstance(last, float):
                spent = last - first
            else:
                last.synchronize()
                spent = first.elapsed_time(last) / 1000
            self._seconds[work] += spent
            if outer:
                self._seconds[outer] -= spent
        self._marks.clear()

    @contextmanager
    def __call__(self, work: str, device: torch.device | None = None) -> Iterator[None]:
        """Count the time of a block that ends well for a kind of work, without the counted blocks inside it."""
        outer = self._work
        self._work = work
        try:
            first = _moment(device)
            yield
            self._marks.append((work, outer, first, _moment(device)))
        finally:
            self._work = outer
        if len(self._marks) > MARKS:
            self._add_up()

    def timed(self, work: str, items: Iterable[T]) -> Iterator[T]:
        """Return an iterator over the items that counts the time to get each of them."""
        return each_within(lambda: self(work), items)


def each_within(context: Callable[[], AbstractContextManager[object]], items: Iterable[T]) -> Iterator[T]:
    """Yield items, none of which is None; each is computed within a context of its own, which ends before the yield.

    Example:
        >>> from contextlib import redirect_stdout
        >>> from io import StringIO
        >>> hidden = StringIO()
        >>> computed = (print("computing") or number for number in range(2))
        >>> for number in each_within(lambda: redirect_stdout(hidden), computed):
        ...     print(number)
        0
        1
        >>> hidden.getvalue().split()
        ['computing', 'computing']
    """
    iterator = iter(items)
    while True:
        with context():
            item = next(iterator, None)
        if item is None:
            return
        yield item


def _moment(device: torch.device | None) -> Any:
    """Return the present time in seconds; for a GPU an event, recorded in the GPU's queue."""
    if device is None or device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event
