"""A folder that one process holds, so that two runs do not write into it."""

import os
import socket
from pathlib import Path
from typing import IO

LOCK = ".in-use"


class FolderInUse(OSError):
    """Another process holds a folder."""


class FolderLock:
    """Hold a folder for one process, until `release` or the end of the process, however it ends.

    Args:
        folder: is made where it is missing.

    Raises:
        FolderInUse: if another process holds it, including one on another machine where the file system supports locks.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / LOCK).open("a+")
        if not _lock(self._file):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise FolderInUse(
                f"{folder} is in use by another run ({holder}), whose checkpoints this one would overwrite; "
                "give this run its own folder: --trainer.default_root_dir"
            )
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Release the lock of the folder."""
        self._file.close()


def in_use(folder: Path) -> bool:
    """Return whether a process holds a folder, by a `FolderLock`."""
    lock = folder / LOCK
    if not lock.exists():
        return False
    with lock.open("a+") as file:
        return not _lock(file)


def _lock(file: IO[str]) -> bool:
    """Lock a file; return whether this process holds it, True also on file systems without locks."""
    import fcntl  # Windows has none

    try:
        # Of the process, not of the open file: workers, which are forks, do not hold it when the run is gone.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
