"""A lock for a folder that a run writes into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".in-use"
"""Name of the file of a lock."""
ADVICE = "give this run its own folder: --trainer.default_root_dir"


class FolderInUse(OSError):
    """Error for a folder that another run holds."""


@contextmanager
def folder_lock(folder: Path, advice: str = ADVICE) -> Iterator[None]:
    """Hold a folder until the end of the `with` block, or any end of the process.

    Args:
        folder: the folder; made if missing.
        advice: advice for the user if another run holds it.

    Raises:
        FolderInUse: if another run holds it, in any process, or on any machine if the file system supports locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        text = f"{folder} is in use by another run, whose files this one would overwrite; {advice}"
        raise FolderInUse(text) from error
    except NotImplementedError:  # a file system without locks: the run goes on without one
        pass
    try:
        yield
    finally:
        lock.release()
