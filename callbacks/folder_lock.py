"""A folder that one process holds, so that two runs do not write into it."""

import os
import socket
import time
from pathlib import Path
from typing import IO

LOCK = ".in-use"
ATTEMPTS, PAUSE = 20, 0.05
"""Tries to take a lock, and the seconds between them: a process that only looks holds it for a moment."""
_held: list[Path] = []
"""Folders that this process holds: its locks would be released if it opened and closed their files again."""


class FolderInUse(OSError):
    """Another process holds a folder."""


class FolderLock:
    """Hold a folder for one process, until `release` or the end of the process, however it ends.

    Args:
        folder: is made where it is missing.
        advice: what a user does where another process holds it.

    Raises:
        FolderInUse: if another process holds it, including one on another machine where the file system supports locks.
    """

    def __init__(self, folder: Path, advice: str = "give this run its own folder: --trainer.default_root_dir") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._file: IO[str] = (folder / LOCK).open("a+")
        if not _lock(self._file, ATTEMPTS):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise FolderInUse(
                f"{folder} is in use by another run ({holder}), whose files this one would overwrite; {advice}"
            )
        _held.append(self._folder)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Release the lock of the folder; harmless when it is released already."""
        if not self._file.closed:
            self._file.close()
            _held.remove(self._folder)


def in_use(folder: Path) -> bool:
    """Return whether a process, this one included, holds a folder, by a `FolderLock`."""
    lock = folder / LOCK
    if folder.resolve() in _held:
        return True
    if not lock.exists():
        return False
    with lock.open("a+") as file:
        return not _lock(file, shared=True)


def _lock(file: IO[str], attempts: int = 1, shared: bool = False) -> bool:
    """Lock a file; return whether this process holds it, True also on file systems without locks.

    Args:
        file: open for reading and writing.
        attempts: tries, with a pause between them.
        shared: leave room for other processes that share the lock.
    """
    import fcntl  # Windows has none

    for attempt in range(attempts):
        if attempt:
            time.sleep(PAUSE)
        try:
            # Of the process, not of the open file: workers, which are forks, do not hold it when the run is gone.
            fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            continue
        except OSError:
            return True
        return True
    return False
