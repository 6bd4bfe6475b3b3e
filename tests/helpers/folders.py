"""Folders in the hands of another process."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidcorr.videos.files import FolderLock


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let another process hold a folder's `FolderLock`."""
    context = multiprocessing.get_context("fork")
    entered, left = context.Event(), context.Event()

    def hold() -> None:
        with FolderLock(folder):
            entered.set()
            left.wait()

    other = context.Process(target=hold)
    other.start()
    try:
        assert entered.wait(60)
        yield
    finally:
        left.set()
        other.join()
