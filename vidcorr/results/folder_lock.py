"""A lock for a folder that a run writes into."""

from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".in-use"
"""Name of the file of a lock."""


class FolderInUse(OSError):
    """Error for a folder that another run holds."""


class FolderLock(AbstractContextManager["FolderLock"]):
    """Hold a folder until `release`, the end of a `with` block, or any end of the process.

    Args:
        folder: the folder; made if missing.
        advice: advice for the user if another run holds it.

    Raises:
        FolderInUse: if another run holds it, in any process, or on any machine if the file system supports locks.
    """

    def __init__(self, folder: Path, advice: str = "give this run its own folder: --trainer.default_root_dir") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            text = f"{folder} is in use by another run, whose files this one would overwrite; {advice}"
            raise FolderInUse(text) from error
        except NotImplementedError:  # a file system without locks
            pass

    def release(self, *_: object) -> None:
        """Release the lock; calling it again does nothing."""
        self._lock.release()

    __exit__ = release
