"""A store: a folder of results by job."""

from __future__ import annotations

from pathlib import Path

from ..process.folder_lock import FolderInUse, FolderLock
from ..results.result import RESULTS_FILE, Result, require_writable
from .job import Job


class Store:
    """A folder with a folder per job, see `Job.folder`.

    A job is done when its results.json exists. Several processes may share a store.

    Args:
        folder: the folder; made if missing.

    Raises:
        OSError: if the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        require_writable(self.folder)

    def folder_of(self, job: Job) -> Path:
        """Return the folder of a job's result."""
        return self.folder / job.folder

    def holds(self, job: Job) -> bool:
        """Return whether the store has the result of a job."""
        return (self.folder_of(job) / RESULTS_FILE).is_file()

    def result(self, job: Job) -> Result:
        """Read the result of a job.

        Raises:
            ValueError: if the result is missing or damaged; the message names the file.
        """
        return Result.load(self.folder_of(job))

    def claim(self, job: Job) -> FolderLock | None:
        """Lock the folder of a job; return None if the job is done or another process runs it."""
        try:
            lock = FolderLock(self.folder_of(job))
        except FolderInUse:
            print(f"{job.title}: running elsewhere", flush=True)
            return None
        if self.holds(job):  # another process has just ended it
            lock.release()
            return None
        return lock
