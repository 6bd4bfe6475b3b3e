"""Who a run is: `run.json` in its folder, and runs found by it. No torch, no Lightning."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from ..results.checked import Exact, Items, Json, mistakes_of
from ..videos.files import write_atomically
from .config_files import PACKAGE

ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
FILE = "run.json"
"""File in the folder of a run."""
OF_A_RUN = ("benchmarks", "checkpoints", "pictures")
"""Folders within the folder of a run, in which no other run lies."""
SLURM = {"job": "SLURM_JOB_ID", "array_job": "SLURM_ARRAY_JOB_ID", "array_task": "SLURM_ARRAY_TASK_ID"}


class Run(Exact):
    """A run, as `run.json` in its folder states it.

    Attributes:
        words: words of its command after `vidcorr`, with those that later starts added.
        folder: working directory of the command.
        slurm: its job in SLURM: `job`, and for a task of an array `array_job` and `array_task`; else empty.
        version: version of vidcorr.
        commit: commit of vidcorr's checkout; "" for an installed package.
        host: name of the machine.
        begin: time of its newest start, ISO 8601 in UTC.
        end: time of its end; None until then, also after a stop or an error.
        checkpoints: folder of its `last.ckpt`; a relative path begins in the folder of the run.
        resumed: checkpoint from which its newest start resumed, or None.
        earlier: these fields at each earlier start, the first start first.
    """

    words: Items[str]
    folder: str
    slurm: dict[str, str]
    version: str
    commit: str
    host: str
    begin: str
    end: str | None = None
    checkpoints: str = "checkpoints"
    resumed: str | None = None
    earlier: Items[Json] = ()

    @classmethod
    def now(cls, words: Sequence[str]) -> Run:
        """Return a run that begins now, in this process and working directory, by the words of its command."""
        return cls(
            words=tuple(words),
            folder=os.getcwd(),
            slurm={name: os.environ[key] for name, key in SLURM.items() if key in os.environ},
            version=version("vidcorr"),
            commit=_commit(),
            host=socket.gethostname(),
            begin=now(),
        )

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read the run of a folder.

        Raises:
            ValueError: if `run.json` has other fields or values.
            OSError: if it cannot be read.
        """
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except ValidationError as error:
            raise ValueError(f"{folder / FILE}: {mistakes_of(error)}") from error

    def claim(self, folder: Path) -> bool:
        """Write `run.json` into a folder, unless another run has begun there.

        Returns:
            False if one has, even at the same moment; nothing is written then.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with (folder / FILE).open("x", encoding="utf-8") as file:
                file.write(self.model_dump_json(indent=2) + "\n")
        except FileExistsError:
            return False
        return True

    def save(self, folder: Path) -> None:
        """Write `run.json` in place of an earlier one of the same run."""
        write_atomically(folder / FILE, self.model_dump_json(indent=2) + "\n")

    def follows(self, earlier: Run) -> Run:
        """Return this start of a run with its earlier starts."""
        fields = earlier.model_dump(exclude={"earlier"}, mode="json")
        return self.model_copy(update={"earlier": (*earlier.earlier, fields)})

    def repeats(self, other: Run) -> bool:
        """Return whether the command is the other run's, given in the same folder."""
        return self.words == other.words and self.folder == other.folder

    def is_of_job(self, other: Run) -> bool:
        """Return whether both runs are of one job of SLURM, or of one task of an array."""
        return bool(self.slurm) and self.slurm == other.slurm

    def last_checkpoint(self, folder: Path) -> Path | None:
        """Return the newest `last.ckpt` of the run in a folder (`last-v1.ckpt` of a second run there), or None.

        Of a run that went on in a new folder, and has saved nothing there, it is the one from which it resumed.
        """
        found = list((folder / self.checkpoints).glob("last*.ckpt"))
        if not found and self.resumed is not None and Path(self.resumed).is_file():
            found = [Path(self.resumed)]
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def _commit() -> str:
    """Return the commit of vidcorr's checkout; "" for an installed package, also within a user's repository."""
    home = PACKAGE.parent
    if not (home / ".git").exists():
        return ""
    try:
        asked = subprocess.run(["git", "-C", home, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return ""
    return asked.stdout.strip()


def runs_below(roots: Iterable[str | Path]) -> dict[Path, Run]:
    """Find the runs in some folders and below them.

    Returns:
        Folder → run; the run that began last is last.

    Raises:
        ValueError: for a damaged `run.json`.
    """
    found: dict[Path, Run] = {}
    for root in roots:
        for name, below, files in os.walk(Path(root).expanduser()):
            folder = Path(name).resolve()
            if FILE not in files or not (folder / FILE).stat().st_size:  # empty: another process is writing it
                continue
            found[folder] = Run.read(folder)
            below[:] = [each for each in below if each not in OF_A_RUN]
    return dict(sorted(found.items(), key=lambda item: item[1].begin))


def find_run(name: str | None) -> Path:
    """Find the folder of a training.

    Args:
        name: a folder of a run; a folder, for the newest run below it; the name of a run below `runs`, such as
            `version_41`; None, for the newest run below `runs`.

    Raises:
        ValueError: if there is none, or several have the name.
    """
    path = Path(ROOT if name is None else name).expanduser()
    if (path / FILE).is_file() and name is not None:
        return path.resolve()
    fits = [folder for folder, run in runs_below([path if path.is_dir() else ROOT]).items() if run.words[0] == "fit"]
    if path.is_dir():
        if not fits:
            raise ValueError(f"{path}: holds no training with a {FILE}: name the folder of a run")
        return fits[-1]
    named = [folder for folder in fits if folder.parts[-len(path.parts) :] == path.parts]
    if len(named) != 1:
        others = f"; there are {', '.join(map(str, named))}" if named else ""
        raise ValueError(f"{path}: is neither the folder of a run nor the name of one run below {ROOT}{others}")
    return named[0]
