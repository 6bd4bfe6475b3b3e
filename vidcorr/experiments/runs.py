"""A run of `fit` or `validate`: its `run.json`, the run that it goes on with, its end. No torch, no Lightning."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..results.checked import Exact, Items, Json, mistakes_of
from ..videos.digests import text_digest
from ..videos.files import write_atomically
from .config_files import PACKAGE

log = logging.getLogger(__name__)

ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
FILE = "run.json"
"""File in the folder of a run."""
CONFIG = "config.yaml"
"""Its configuration, written once the run begins."""
OF_A_RUN = ("benchmarks", "checkpoints", "pictures")
"""Folders within the folder of a run, in which no other run lies."""
OF_A_REFUSAL = (FILE, "events.out.", "hparams.yaml", "metrics.csv", ".in-use")
"""Beginnings of the names of files that a run has written when it is refused."""
SLURM = {"job": "SLURM_JOB_ID", "array_job": "SLURM_ARRAY_JOB_ID", "array_task": "SLURM_ARRAY_TASK_ID"}


class Record(Exact):
    """Content of `run.json`, about the run in its folder.

    Attributes:
        words: words of its command after `vidcorr`, with those that later starts added.
        folder: working directory of the command.
        slurm: its job in SLURM: `job`, and for a task of an array `array_job` and `array_task`; else empty.
        version: version of vidcorr.
        commit: commit of vidcorr's checkout; "" for an installed package.
        host: name of the machine.
        begin: time of its newest start, ISO 8601 in UTC.
        end: time of its end; None until then, also after a stop or an error.
        training: digest of its model, data and seed; "" before they are known.
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
    training: str = ""
    checkpoints: str = "checkpoints"
    resumed: str | None = None
    earlier: Items[Json] = ()

    @classmethod
    def now(cls, words: Sequence[str]) -> Record:
        """Return the record of a run that begins now, in this process and working directory."""
        return cls(
            words=tuple(words),
            folder=os.getcwd(),
            slurm={name: os.environ[key] for name, key in SLURM.items() if key in os.environ},
            version=version("vidcorr"),
            commit=_commit(),
            host=socket.gethostname(),
            begin=_now(),
        )

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read the record in a folder.

        Raises:
            ValueError: if `run.json` has other fields or values.
            OSError: if it cannot be read.
        """
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except ValidationError as error:
            raise ValueError(f"{folder / FILE}: {mistakes_of(error)}") from error

    def changed(self, **fields: Any) -> Record:
        """Return the record with other values of some fields."""
        return self.model_copy(update=fields)

    def save(self, folder: Path) -> None:
        """Write `run.json`, also in place of an earlier record of the run."""
        write_atomically(folder / FILE, self.model_dump_json(indent=2) + "\n")

    def last_checkpoint(self, folder: Path) -> Path | None:
        """Return the newest `last.ckpt` of the run in a folder (`last-v1.ckpt` of a second run there), or None.

        Of a run that went on in a new folder, and has saved nothing there, it is the one from which it resumed.
        """
        found = list((folder / self.checkpoints).glob("last*.ckpt"))
        if not found and self.resumed is not None and Path(self.resumed).is_file():
            found = [Path(self.resumed)]
        return max(found, key=_age, default=None)

    def repeats(self, other: Record) -> bool:
        """Return whether the command is the other run's, given in the same folder."""
        return self.words == other.words and self.folder == other.folder


class Run:
    """A run of `fit` or `validate`, from its words to its end.

    `find` looks for the run that it goes on with, `claim` takes a folder in which no other run has begun, `begin`
    writes `run.json` there, and `end` notes the end; `give_back` clears the folder of a refused run. `find` is for all
    ranks, the others are for the first.

    Args:
        words: words of its command after `vidcorr`.
        earlier: folder of the run that it goes on with; None: `find` looks for one.
        more: further words.
        say: tells the user a line.

    Attributes:
        record: what its `run.json` says.
        earlier: folder of the run that it goes on with, or None.
        words: words to parse.
        loggers: arguments of its loggers; set by `find`.
        folder: its folder, once claimed.

    Raises:
        SystemExit: with status 0, if the run to go on with has already ended by these words.
    """

    def __init__(
        self,
        words: Sequence[str],
        earlier: Path | None = None,
        more: Sequence[str] = (),
        say: Callable[[str], object] = print,
    ) -> None:
        self.record = Record.now([*words, *more])
        self.earlier: Path | None = None
        self.say = say
        self.words = list(words)
        self.loggers: list[dict[str, Any]] = []
        self.folder: Path | None = None
        if earlier is not None:
            checkpoint = self._go_on(earlier)
            if checkpoint is not None:
                self.words.append(f"--ckpt_path={checkpoint}")
        self.words += more

    def find(self, config: Any) -> str | None:
        """Find the run that this one goes on with, if the command has not named it.

        A requeued job of SLURM goes on with its own run, whatever checkpoint its words name; `fit --ckpt_path last`
        with the newest run of this model, data and seed; and `fit` from a `last.ckpt` with the run of this file, if its
        folder lies below the root.

        Args:
            config: configuration of the command, parsed.

        Returns:
            The checkpoint to load, or None.

        Raises:
            SystemExit: with status 0, if that run has already ended.
        """
        checkpoint: str | None = config.ckpt_path
        self.loggers = _arguments_of_loggers(config.trainer)
        self.record = self.record.changed(training=_digest_of_training(config))
        root = Path(config.trainer.default_root_dir).expanduser()
        if self.earlier is None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            checkpoint = self._find_own_of_job(root) or checkpoint
        if self.record.words[0] == "fit" and checkpoint == "last":
            checkpoint = self._find_newest(root)
        elif self.record.words[0] == "fit" and checkpoint and self.earlier is None:
            folder = Path(checkpoint).resolve().parent.parent
            is_last_of_run = Path(checkpoint).name.startswith("last") and (folder / FILE).is_file()
            if is_last_of_run and folder.is_relative_to(root.resolve()):
                self.earlier = folder
        if self.earlier is not None:
            self.record = self.record.changed(resumed=checkpoint)
            if config.trainer.logger in (None, True):
                self.loggers = [{"save_dir": str(self.earlier.parent), "name": "", "version": self.earlier.name}]
        return checkpoint

    def _find_own_of_job(self, root: Path) -> str | None:
        """Go on with the newest run of this job of SLURM and these words; return its checkpoint."""
        found = None
        for folder, run in self._runs(root).items():
            if run.slurm and run.slurm == self.record.slurm and run.repeats(self.record):
                found = folder
        return None if found is None else self._go_on(found)

    def _find_newest(self, root: Path) -> str | None:
        """Go on with the run of this model, data and seed that has the newest `last.ckpt`; return the file.

        None, if a new run begins. A run of the same command that has saved nothing yet begins again in its folder.
        """
        found: dict[Path, Path] = {}  # checkpoint → folder of its run
        for folder, run in self._runs(root).items():
            checkpoint = run.last_checkpoint(folder)
            if checkpoint is not None and run.training == self.record.training:
                found[checkpoint] = folder
            elif checkpoint is None and run.repeats(self.record) and not run.end:
                self.earlier = folder
        if not found:
            self.say(f"--ckpt_path last: no run of this model, data and seed below {root}: starting a new run")
            return None
        newest = max(found, key=_age)
        self.earlier = found[newest]
        self.say(f"--ckpt_path last: {newest}")
        return str(newest)

    def _runs(self, root: Path) -> dict[Path, Record]:
        """Return the runs below the root, and in the folders of the loggers."""
        folders = [root]
        for arguments in self.loggers:
            place = Path(arguments.get("save_dir") or "")
            if place.resolve() == Path.cwd():  # all of it may hold data
                place /= arguments.get("project") or arguments.get("name") or ""
            if place.resolve() != Path.cwd():
                folders.append(place)
        return runs_below(folders)

    def _go_on(self, folder: Path) -> str | None:
        """Go on with the run in a folder, and name it; return its `last.ckpt`, if there is one.

        Raises:
            SystemExit: with status 0, if the run has ended by these words.
        """
        run = Record.read(folder)
        if run.end and run.words == self.record.words:
            self.say(f"{folder} has ended, {run.end}; further words make it longer: --trainer.max_epochs N")
            raise SystemExit(0)
        self.earlier = folder
        checkpoint = run.last_checkpoint(folder)
        state = "has no last.ckpt and begins again" if checkpoint is None else "goes on"
        self.say(f"{folder} {state}: {shlex.join(['vidcorr', *self.record.words])}")
        return None if checkpoint is None else str(checkpoint)

    def claim(self, folder: Path, anew: bool = False) -> bool:
        """Claim a folder for the run: return False if another run has begun there, even at the same moment.

        Args:
            folder: the folder.
            anew: claim it only if it is new, so not the folder of the run that goes on.
        """
        if anew or folder.resolve() != self.earlier:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with (folder / FILE).open("x", encoding="utf-8") as file:
                    file.write(self.record.model_dump_json(indent=2) + "\n")
            except FileExistsError:
                return False
        self.folder = folder
        return True

    def begin(self, folder: Path, checkpoints: Path | None) -> None:
        """Write `run.json` once the run is not refused; a run that goes on keeps its earlier starts.

        Args:
            folder: its folder: the claimed one, or of a logger that names it only now.
            checkpoints: folder of its `last.ckpt`, or None.

        Raises:
            ValueError: if another run has begun in the folder.
        """
        if self.folder is None and not self.claim(folder):
            raise ValueError(f"{folder}: another run has begun there: name another folder")
        if checkpoints is not None:
            home = folder.resolve()  # a place in it stays right where the folder moves
            place = checkpoints.relative_to(home) if checkpoints.is_relative_to(home) else checkpoints
            self.record = self.record.changed(checkpoints=str(place))
        before = Record.read(folder)
        if before.begin != self.record.begin:
            fields = before.model_dump(exclude={"earlier"}, mode="json")
            self.record = self.record.changed(earlier=(*before.earlier, fields))
        self.record.save(folder)

    def end(self) -> None:
        """Note the end of the run, if it has begun."""
        if self.folder is not None and (self.folder / CONFIG).exists():
            record = Record.read(self.folder)
            if record.begin == self.record.begin:
                record.changed(end=_now()).save(self.folder)

    def give_back(self) -> None:
        """Remove what a refused run has left in the folder that it has claimed.

        Nothing is removed once the run has trained or measured, or if it goes on in the folder of an earlier one.
        """
        folder = self.folder
        if folder is None or (folder / CONFIG).exists() or (folder / "benchmarks").exists():
            return
        if Record.read(folder).begin != self.record.begin:
            return
        checkpoints = folder / "checkpoints"
        for path in (*folder.iterdir(), *checkpoints.glob("*")):
            if path.name.startswith(OF_A_REFUSAL):
                path.unlink()
        for each in (checkpoints, folder):
            with suppress(OSError):  # it is missing, or holds other files
                each.rmdir()


def _now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _age(path: Path) -> int:
    """Return when a file was written: more for a newer one."""
    return path.stat().st_mtime_ns


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


def _arguments_of_loggers(trainer: Any) -> list[dict[str, Any]]:
    """Return the arguments of each logger of a Trainer's configuration; of Lightning's default logger the root."""
    given = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    found: list[dict[str, Any]] = []
    for logger in given:
        arguments = {"save_dir": trainer.default_root_dir}
        if hasattr(logger, "class_path"):
            init_args = logger.get("init_args")
            arguments = init_args.as_dict() if init_args else {}
            arguments |= logger.get("dict_kwargs") or {}
        found.append(arguments)
    return found


def _digest_of_training(config: Any) -> str:
    """Return a digest of a configuration's model, data and seed; the number of loader workers changes no step."""
    content = config.as_dict()
    data = content.get("data")
    if data:
        data.get("init_args", {}).pop("num_workers", None)
    parts = [content.get("model"), data, content.get("seed_everything")]
    return text_digest(json.dumps(parts, sort_keys=True, default=str))


def runs_below(roots: Iterable[str | Path]) -> dict[Path, Record]:
    """Find the runs in some folders and below them; one whose `run.json` is damaged is named and left out.

    Returns:
        Folder → record; the run that began last is last.
    """
    found: dict[Path, Record] = {}
    for root in dict.fromkeys(Path(root).expanduser().resolve() for root in roots):
        for name, below, files in os.walk(root):
            if FILE not in files:
                continue
            below[:] = [each for each in below if each not in OF_A_RUN]
            try:
                if os.stat(Path(name, FILE)).st_size:  # else another process is writing it
                    found[Path(name)] = Record.read(Path(name))
            except (ValueError, OSError) as error:
                log.warning("vidcorr: left out: %s", error)
    return dict(sorted(found.items(), key=lambda item: item[1].begin))


def newest_checkpoint(root: str) -> str:
    """Return the newest `last.ckpt` of the runs below a folder.

    Raises:
        ValueError: if there is none.
    """
    found = [run.last_checkpoint(folder) for folder, run in runs_below([root]).items()]
    newest = max(filter(None, found), key=_age, default=None)
    if newest is None:
        raise ValueError(f"--ckpt_path last: no last.ckpt below {root}")
    return str(newest)
