"""Lock of a run's folder against other runs."""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

LOCK = ".in-use"


class FolderInUse(OSError):
    """Error for a folder that another run holds."""


_held: dict[Path, int] = {}
"""Locked folder → process that holds it. The system's lock keeps out only other processes, and closing any handle of
the file in this process would release it."""


class FolderLock(AbstractContextManager["FolderLock"]):
    """Hold a folder until `release`, the end of a `with` block, or any end of the process.

    Args:
        folder: the folder; made if missing.
        advice: advice for the user if another run holds it.

    Raises:
        FolderInUse: if another run holds it, in any process, or on any machine if the file system supports locks.
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
            # A lock of the process, not of the open file: forked workers do not hold it after the run has ended.
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
        """Release the lock; calling it again does nothing."""
        if not self._file.closed:
            self._file.close()
            _held.pop(self._folder, None)

    __exit__ = release
