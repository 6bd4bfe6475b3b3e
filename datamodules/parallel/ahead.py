"""Prefetch items in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

ItemT = TypeVar("ItemT")


def read_ahead(items: Iterable[ItemT], ahead: int = 4) -> Generator[ItemT]:
    """Iterate over items that a thread prefetches, up to `ahead` of them.

    An error in the thread is raised in place of its item. Closing waits until the thread has left `items`.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = deque(pool.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(pool.submit(next, source, end))
                yield cast("ItemT", item)
        finally:
            pool.shutdown(cancel_futures=True)
