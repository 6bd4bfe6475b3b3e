"""A folder that one process holds, so that two runs do not write into it."""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

LOCK = ".in-use"


class FolderInUse(OSError):
    """Another process holds a folder."""


class FolderLock(AbstractContextManager["FolderLock"]):
    """Hold a folder for one process, until `release`, the end of a `with` block or of the process, however it ends.

    Args:
        folder: is made where it is missing.
        advice: what a user does where another process holds it.

    Raises:
        FolderInUse: if another process holds it, including one on another machine where the file system supports locks.
    """

    def __init__(self, folder: Path, advice: str = "give this run its own folder: --trainer.default_root_dir") -> None:
        import fcntl  # Windows has none

        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / LOCK).open("a+")
        try:
            # Of the process, not of the open file: workers, which are forks, do not hold it when the run is gone.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise FolderInUse(
                f"{folder} is in use by another run ({holder}), whose files this one would overwrite; {advice}"
            ) from error
        except OSError:  # a file system without locks
            pass
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self, *_: object) -> None:
        """Release the lock of the folder; harmless when it is released already."""
        self._file.close()

    __exit__ = release
