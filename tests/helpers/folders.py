"""Folders in the hands of another process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from tests.helpers.ranks import server
from vidcorr.videos.files import FolderLock


def _hold(folder: Path, entered: Event, left: Event) -> None:
    with FolderLock(folder):
        entered.set()
        left.wait()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let another process hold a folder's `FolderLock`."""
    entered = server().Event()
    left = server().Event()
    other = server().Process(target=_hold, args=(folder, entered, left))
    other.start()
    try:
        assert entered.wait(60)
        yield
    finally:
        left.set()
        other.join()
