"""A store: a folder of results by job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from ..results.result import RESULTS_FILE, Result
from ..videos.folder_lock import FolderInUse, FolderLock


class StoredJob(Protocol):
    """A job of a store.

    Attributes:
        title: the job in words.
        folder: folder in the store; jobs with equal folders are equal.
    """

    @property
    def title(self) -> str: ...
    @property
    def folder(self) -> str: ...


class Store:
    """A folder with a folder per job. Several processes may share a store.

    Args:
        folder: the folder; it need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def folder_of(self, job: StoredJob) -> Path:
        """Return the folder of a job's result."""
        return self.folder / job.folder

    def holds(self, job: StoredJob) -> bool:
        """Return whether a job is done."""
        return (self.folder_of(job) / RESULTS_FILE).is_file()

    def result(self, job: StoredJob) -> Result:
        """Read the result of a job.

        Raises:
            ValueError: if the result is missing or damaged; the message names the file.
        """
        return Result.load(self.folder_of(job))

    def claim(self, job: StoredJob) -> FolderLock | None:
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


def slug(name: str) -> str:
    """Return the folder name for a name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", name.replace("+", "plus "), flags=re.ASCII).strip("-.").lower() or "row"
