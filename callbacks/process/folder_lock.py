"""A folder that one run holds, so that two runs do not write into it."""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

LOCK = ".in-use"


class FolderInUse(OSError):
    """Another run holds a folder."""


_held: dict[Path, int] = {}
"""Locked folder → process that holds it. A lock of the system keeps out other processes only, and every handle of the
file that this process closes would release it."""


class FolderLock(AbstractContextManager["FolderLock"]):
    """Hold a folder for one run, until `release`, the end of a `with` block or of the process, however it ends.

    Args:
        folder: is made where it is missing.
        advice: what a user does where another run holds it.

    Raises:
        FolderInUse: if another run holds it, in this process, in another one, or on another machine where the file
            system supports locks.
    """

    def __init__(self, folder: Path, advice: str = "give this run its own folder: --trainer.default_root_dir") -> None:
        import fcntl  # Windows has none

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        refusal = f"{folder} is in use by another run ({{}}), whose files this one would overwrite; {advice}"
        if _held.get(self._folder) == os.getpid():
            raise FolderInUse(refusal.format("of this process"))
        self._file: IO[str] = (folder / LOCK).open("a+")
        try:
            # Of the process, not of the open file: workers, which are forks, do not hold it when the run is gone.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise FolderInUse(refusal.format(holder)) from error
        except OSError:  # a file system without locks
            pass
        _held[self._folder] = os.getpid()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self, *_: object) -> None:
        """Release the lock of the folder; harmless when it is released already."""
        if not self._file.closed:
            self._file.close()
            _held.pop(self._folder, None)

    __exit__ = release
