"""A run of `fit` or `validate`: its `run.json`, the run that it goes on with, its end. No torch, no Lightning."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import MinLen

from ...results.checked import Exact, Items, read_model
from ...results.records import walk_once
from ...videos.digests import text_digest
from ...videos.files import user_path, write_atomically
from ...videos.folders import natural_order
from .config_files import PACKAGE, as_list

log = logging.getLogger(__name__)

ROOT = "runs"
"""Default of `trainer.default_root_dir`."""
FILE = "run.json"
FORMAT = 1
"""Number of the form of `run.json`; another is not read."""
CONFIG = "config.yaml"
"""File in the folder of a run with the configuration of its command, written once the run is not refused."""
FOLDERS_OF_A_RUN = ("benchmarks", "checkpoints", "pictures")
"""Folders within the folder of a run, in which no other run lies."""
ARGUMENTS = """
accumulate_grad_batches deterministic gradient_clip_algorithm gradient_clip_val limit_train_batches overfit_batches
plugins precision reload_dataloaders_every_n_epochs sync_batchnorm use_distributed_sampler
"""
WITH_EFFECT = ARGUMENTS.split()
"""Arguments of the Trainer on which a step of a training depends; `devices` counts by the global batch."""
CALLBACKS = """
BasePredictionWriter Checkpoint DeviceStatsMonitor EarlyStopping LearningRateMonitor ModelCheckpoint
ModelSummary OnExceptionCheckpoint ProgressBar RichModelSummary RichProgressBar SpikeDetection ThroughputMonitor
Timer TQDMProgressBar
"""
OBSERVERS = CALLBACKS.split()
"""Lightning's callbacks that cannot change a step of a training; its other callbacks, and a user's, may."""
LIMITS = ("max_epochs", "max_steps", "max_time")
"""Arguments of the Trainer that say how long a training is."""
SLURM = {"job": "SLURM_JOB_ID", "array_job": "SLURM_ARRAY_JOB_ID", "array_task": "SLURM_ARRAY_TASK_ID"}


class Record(Exact):
    """Content of `run.json`, about the run in its folder.

    Attributes:
        id: the run's own name, drawn at its first start; its checkpoints hold it too.
        words: words of its command after `vidcorr`, with those that later starts added.
        folder: working directory of the command.
        slurm: its job in SLURM: `job`, and for a task of an array `array_job` and `array_task`; else empty.
        version: version of vidcorr.
        commit: commit of vidcorr's checkout; "" for an installed package.
        begin: time of its newest start, ISO 8601 in UTC.
        end: time of its end; None until then, also after a stop or an error.
        training: digest of what its first start asked for, see `digest_of_training`; never computed again.
        branched: checkpoint of another run from which its first start began, or None.
        length: how long its newest start was to be, by `LIMITS`.
        threads: torch's threads in its newest start; 0 until then.
        checkpoints: folder of its `last.ckpt`; a relative path begins in the folder of the run.
        best: its best checkpoint, at its end; a relative path begins in the folder of the run.
        resumed: checkpoint from which its newest start resumed, or None.
        format: `FORMAT`.
    """

    format: int
    id: str
    words: Annotated[Items[str], MinLen(1)]
    folder: str
    slurm: dict[str, str]
    version: str
    commit: str
    begin: str
    end: str | None = None
    training: str = ""
    branched: str | None = None
    length: str = ""
    threads: int = 0
    checkpoints: str = "checkpoints"
    best: str | None = None
    resumed: str | None = None

    @classmethod
    def now(cls, words: Sequence[str]) -> Record:
        """Return the record of a run that begins now, in this process and working directory."""
        return cls(
            format=FORMAT,
            id=uuid.uuid4().hex,
            words=tuple(words),
            folder=os.getcwd(),
            slurm={name: os.environ[key] for name, key in SLURM.items() if key in os.environ},
            version=version("vidcorr"),
            commit=_commit(),
            begin=_now(),
        )

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read the record in a folder."""
        return read_model(cls, folder / FILE, FORMAT, "is not the record of a run, or damaged")

    def changed(self, **fields: object) -> Record:
        """Return the record with other values of some fields."""
        return self.model_copy(update=fields)

    def save(self, folder: Path) -> None:
        """Write `run.json`, also in place of an earlier record of the run."""
        write_atomically(folder / FILE, self.model_dump_json(indent=2) + "\n")

    def repeats(self, other: Record) -> bool:
        """Return True if both runs have the same command, given in the same working directory."""
        return self.words == other.words and self.folder == other.folder


class RunFolder(NamedTuple):
    """A folder with a run.

    Attributes:
        path: the folder.
        record: what its `run.json` says.
    """

    path: Path
    record: Record

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Read the record in a folder; ValueError or OSError if its `run.json` cannot be read."""
        return cls(path, Record.read(path))

    @classmethod
    def below(cls, root: str | Path) -> list[RunFolder]:
        """Find the runs in a folder and below it; a warning names each `run.json` that cannot be read."""
        found: list[RunFolder] = []
        for place, below, files in walk_once(user_path(root).resolve()):
            if FILE not in files:
                continue
            # the walk enters the folders that this list holds: no run lies in the checkpoints or results of a run
            below[:] = [name for name in below if name not in FOLDERS_OF_A_RUN]
            try:
                found.append(cls.read(place))
            except (ValueError, OSError) as error:
                log.warning("vidcorr: left out: %s", error)
        return sorted(found, key=lambda run: (run.record.begin, natural_order(str(run.path))))  # starts may coincide

    @classmethod
    def named(cls, name: str | Path | None) -> RunFolder:
        """Find the folder of a training.

        Args:
            name: the folder of a run, a path from here or from `runs`, such as `version_41`; or a folder above runs,
                which names the newest training below it that has a checkpoint; None: the folder `runs`.

        Raises:
            ValueError: if the name is a file, or there is no such training.
        """
        path = user_path(ROOT if name is None else name)
        folder = folder_of_run(path)
        if folder is not None:
            return cls.read(folder)
        for run in reversed(cls.below(path)):
            if run.record.words[0] == "fit" and run.last is not None:
                return run
        raise ValueError(f"{path}: no run, and no folder of a training with a checkpoint; a file is --ckpt_path FILE")

    @property
    def last(self) -> Path | None:
        """The newest last checkpoint of the run, or None; a later start may have written `last-v1.ckpt`.

        If the run's folder of checkpoints holds none, it is the checkpoint from which the run resumed.
        """
        files = list((self.path / self.record.checkpoints).glob("last*.ckpt"))
        resumed = self.record.resumed
        if not files and resumed is not None and Path(resumed).is_file():
            files = [Path(resumed)]
        return max(files, key=_time_written, default=None)

    @property
    def best(self) -> Path | None:
        """The best checkpoint: the file that the record names; without it, the `best-*.ckpt`; without these, `last`.

        Of several `best-*.ckpt` it is the file that the newest file names as the best of its callback.
        """
        best = self.record.best
        if best is not None and (self.path / best).is_file():
            return self.path / best
        saved = sorted((self.path / self.record.checkpoints).glob("best-*.ckpt"), key=_time_written)
        if len(saved) < 2:
            return saved[0] if saved else self.last
        from ...backbones.files.saved_models import read_content

        states = read_content(saved[-1], whole=False)["callbacks"].values()  # without reading the tensors
        names = {Path(state.get("best_model_path") or "").name for state in states if isinstance(state, dict)}
        return next((path for path in saved if path.name in names), saved[-1])

    def words(self, which: str) -> list[str]:
        """Return the words that go on with the run, or measure it: its configuration, its best or last checkpoint."""
        return [f"--config={self.path / CONFIG}", f"--ckpt_path={self.trusted_checkpoint(which)}"]

    def trusted_checkpoint(self, which: str) -> Path:
        """Return the path of a checkpoint of the run, and allow to import the modules that loading it needs.

        These are the modules that the run's command and configuration name. The run's working directory is added to
        Python's path, so that Python finds them.
        """
        from ...backbones.files.trust import know

        checkpoint = self.best if which == "best" else self.last
        if checkpoint is None:
            command = shlex.join(["vidcorr", *self.record.words])
            raise ValueError(f"{self.path}: the run has saved no checkpoint: begin it again by its command, {command}")
        config = self.path / CONFIG
        know(*self.record.words, config.read_text("utf-8") if config.is_file() else "")
        sys.path.append(self.record.folder)  # at the end, to hide no other module
        return checkpoint


class Run:
    """A run of `fit`, `validate` or `test`, from its words to its end.

    Three commands go on in the folder of an earlier run: `vidcorr resume`, a requeued job of SLURM, and
    `fit --ckpt_path last`, which takes the newest run of this training. Every other run has a new folder, also if it
    begins from a checkpoint of another run. All ranks call `choose_checkpoint`; only the first rank calls
    `make_folder` before the Trainer, `begin` once the run is not refused, and `end`.

    Args:
        words: words of its command after `vidcorr`, which `run.json` keeps.
        earlier: the run that this run goes on with, or None.
        say: prints a line for the user.

    Attributes:
        record: what its `run.json` says.
        goes_on_in: folder of the earlier run that this run goes on with, or None.
        folder: folder of this run, on the first rank; None in a trial, Lightning's `fast_dev_run`, which writes
            nothing.
        is_begun: True after `begin`.

    Raises:
        SystemExit: with status 0, if the run to go on with has already ended by these words.
    """

    def __init__(
        self, words: Sequence[str], earlier: RunFolder | None = None, say: Callable[[str], object] = print
    ) -> None:
        self.record = Record.now(words)
        self.goes_on_in: Path | None = None
        self.say = say
        self.folder: Path | None = None
        self.is_begun = False
        if earlier is not None:
            self._go_on_in(earlier)

    def choose_checkpoint(self, config: Any) -> str | None:
        """Return the checkpoint that the run loads, or None; note in `record` the training, its length and its origin.

        Raises:
            SystemExit: with status 0, if the training of `--ckpt_path last` has already ended at this length.
        """
        checkpoint: str | None = config.ckpt_path
        length = ", ".join(f"{limit}={config.trainer.get(limit)}" for limit in LIMITS)
        self.record = self.record.changed(length=length)
        is_training = self.record.words[0] == "fit"
        if self.goes_on_in is None:
            self.record = self.record.changed(training=digest_of_training(config))
            if is_training and checkpoint == "last":
                checkpoint = self._go_on_with_newest(user_path(config.trainer.default_root_dir))
        if self.goes_on_in is not None:  # given, or set just now
            self.record = self.record.changed(resumed=checkpoint)
        elif is_training and checkpoint is not None:  # a new run that begins with the weights of another run
            self.record = self.record.changed(branched=checkpoint)
            self.say(f"a run of its own, which begins from {checkpoint}")
        return checkpoint

    def go_on_if_requeued(self, root: Path) -> RunFolder | None:
        """Go on with this SLURM job's newest training below `root`, if SLURM has requeued the job; return the run.

        None if it has not, or no training of the job and the same command has saved a checkpoint there.
        """
        if self.goes_on_in is not None or not self.record.slurm or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
            return None
        for run in reversed(RunFolder.below(root)):  # sorted by start
            if run.record.slurm == self.record.slurm and run.record.repeats(self.record) and run.last is not None:
                self._go_on_in(run)
                return run
        return None

    def _go_on_with_newest(self, root: Path) -> str | None:
        """Go on with the run of this training whose last checkpoint is the newest; return this checkpoint.

        Runs of this training have the digest `record.training`. If none of them below `root` has a checkpoint, return
        None: a new run begins.
        """
        runs = [run for run in RunFolder.below(root) if run.record.training == self.record.training]
        run_of_checkpoint = {run.last: run for run in runs if run.last is not None}
        if not run_of_checkpoint:
            self.say(f"--ckpt_path last: no checkpoint of this training below {root}: starting a new run")
            return None
        newest = max(run_of_checkpoint, key=_time_written)
        run = run_of_checkpoint[newest]
        if run.record.end and run.record.length == self.record.length:
            self.say(f"--ckpt_path last: {run.path} has ended at this length, {run.record.end}")
            raise SystemExit(0)
        self._take_over(run)
        self.say(f"--ckpt_path last: {newest}")
        return str(newest)

    def _take_over(self, run: RunFolder) -> None:
        """Take the folder, id, training and origin of an earlier run, which this run goes on with; print nothing."""
        self.goes_on_in = run.path
        of_run = run.record
        self.record = self.record.changed(id=of_run.id, training=of_run.training, branched=of_run.branched)

    def _go_on_in(self, run: RunFolder) -> None:
        """Take over an earlier run, and tell the user."""
        command = shlex.join(["vidcorr", *self.record.words])
        if run.record.end and run.record.words == self.record.words:
            self.say(f"{run.path} has ended, {run.record.end}; further words make it longer: --trainer.max_epochs N")
            raise SystemExit(0)
        self._take_over(run)
        self.say(f"{run.path} goes on: {command}")

    def make_folder(self, root: Path) -> Path:
        """Return the folder of the run: the earlier run's, or a new `version_N` in a root, made with its `run.json`.

        Two runs that start at the same time get different folders.
        """
        if self.goes_on_in is not None:
            self.folder = self.goes_on_in
            return self.folder
        root.mkdir(parents=True, exist_ok=True)
        while self.folder is None:
            folder = root / f"version_{_next_version(root)}"
            with suppress(FileExistsError):  # another run has just made it
                folder.mkdir()
                self.folder = folder.resolve()
        self.record.save(self.folder)
        return self.folder

    def begin(self, checkpoints: Path | None, threads: int) -> None:
        """Write `run.json` when the run begins, in place of the record of an earlier start."""
        folder = self.folder
        if folder is None:  # a trial, which writes nothing
            return
        self.is_begun = True
        self.record = self.record.changed(threads=threads)
        if checkpoints is not None:
            self.record = self.record.changed(checkpoints=_place_in(folder, checkpoints))
        before = Record.read(folder).threads
        if before not in (0, threads):  # 0: not recorded
            self.say(f"torch has {threads} thread(s): OMP_NUM_THREADS={before}, as before, repeats the run bit by bit")
        self.record.save(folder)

    def end(self, best: str = "") -> None:
        """Note the end of the run in `run.json`, if the run has begun."""
        if self.folder is not None and self.is_begun:
            record = Record.read(self.folder)
            if record.begin == self.record.begin:  # else another process has gone on in the folder
                place = _place_in(self.folder, Path(best)) if best else None
                record.changed(end=_now(), best=place).save(self.folder)

    def remove_refused(self) -> None:
        """Remove the new folder of a run that was refused before it began; one with scores or checkpoints stays."""
        if self.folder is None or self.goes_on_in is not None or self.is_begun:
            return
        if not ((self.folder / "benchmarks").exists() or any(self.folder.rglob("*.ckpt"))):
            shutil.rmtree(self.folder, ignore_errors=True)  # NFS does not remove a lock file that is open
            self.folder = None


def _place_in(folder: Path, path: Path) -> str:
    """Return a path within a folder relative to the folder, which may then be moved; another path as it is."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _next_version(root: Path) -> int:
    texts = [path.name.removeprefix("version_") for path in root.glob("version_*")]
    return max(map(int, filter(str.isdecimal, texts)), default=-1) + 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _time_written(path: Path) -> int:
    return path.stat().st_mtime_ns


@cache
def _commit() -> str:
    """Return the commit of vidcorr's checkout; "" for an installed package, even if it lies in a user's repository."""
    home = PACKAGE.parent
    if not (home / ".git").exists():
        return ""
    try:
        asked = subprocess.run(["git", "-C", home, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return ""
    return asked.stdout.strip()


def digest_of_training(config: Any) -> str:
    """Return a digest of all that a step of a training depends on; runs with equal digests are one training.

    It covers model, data, seed, a checkpoint to begin from, the global batch in place of batch size and devices, the
    Trainer's arguments `WITH_EFFECT`, and callbacks that may change a step. Length, loggers, folders and workers are
    left out.

    Args:
        config: parsed configuration of the first start.

    Example:
        >>> from jsonargparse import Namespace
        >>> def digest(batch, **trainer):
        ...     data = Namespace(init_args=Namespace(batch_size=batch, num_workers=8))
        ...     return digest_of_training(Namespace(ckpt_path="last", trainer=Namespace(**trainer), data=data))
        >>> digest(32, devices=2) == digest(64, devices=1, max_epochs=3), digest(32, devices=1) == digest(64, devices=1)
        (True, False)
    """
    begin = None if config.ckpt_path == "last" else config.ckpt_path  # "last" is of this training itself
    return text_digest(_text_of_training(config, config.get("seed_everything"), begin))


def recipe_of_training(config: Any) -> str:
    """Return a digest of all that made a training's weights but its seed.

    It covers what `digest_of_training` covers, without seeds and the checkpoint to begin from, and the length too.
    """
    text = _text_of_training(config, *(config.trainer.get(limit) for limit in LIMITS))
    return text_digest(re.sub(r'"seed": -?\w+', "", text))


def _text_of_training(config: Any, *more: Any) -> str:
    """Return what a step of a training depends on, and further values, as JSON."""
    content = config.as_dict()
    trainer = content["trainer"]
    of_data = (content.get("data") or {}).get("init_args") or {}  # a part of `content`, so `pop` shortens `content`
    of_data.pop("num_workers", None)
    batch = _global_batch(of_data.pop("batch_size", None), trainer)
    parts = [content.get(name) for name in ("model", "data", "optimizer", "lr_scheduler")]
    parts.append({name: value for name, value in trainer.items() if name in WITH_EFFECT})
    parts += [_callbacks_that_act(trainer.get("callbacks")), batch, *more]
    return json.dumps(parts, sort_keys=True, default=str)


def _global_batch(batch: Any, trainer: Mapping[str, Any]) -> Any:
    """Return the samples per step on all devices, as far as they are known here, for the digest of a training.

    It is the product with the number of devices; the batch of a device alone for automatic devices, and with the
    devices in a list if their number is not known here, as for "0,1".
    """
    devices = trainer.get("devices", "auto")
    number = len(devices) if isinstance(devices, list) else devices
    if str(number).isdecimal() and isinstance(batch, int):
        return batch * int(number) * int(trainer.get("num_nodes") or 1)
    return batch if number in ("auto", -1, "-1") else [batch, devices]


def _callbacks_that_act(configured: object) -> list[Any]:
    """Return the callbacks that may change a step of a training: all but vidcorr's and Lightning's `OBSERVERS`."""
    acting = []
    for callback in as_list(configured):
        class_path = callback.get("class_path") if isinstance(callback, dict) else callback
        package, _, name = str(class_path).partition(".")
        is_observer = package in ("pytorch_lightning", "lightning") and name.rpartition(".")[2] in OBSERVERS
        if class_path and package != "vidcorr" and not is_observer:
            acting.append(callback)
    return acting


def folder_of_run(path: Path) -> Path | None:
    """Return the folder of a run, named by a path from here or from `runs`; None if neither is a run's folder."""
    places = (path, Path(ROOT, path))
    return next((place.resolve() for place in places if (place / FILE).is_file()), None)


def run_named(word: str, which: str = "best") -> tuple[Path, str] | None:
    """Read a word that may name a run.

    Args:
        word: `RUN`, the folder of a run, a path from here or from `runs`; `RUN/best` or `RUN/last` names a checkpoint
            of it.
        which: the checkpoint of `RUN` alone: "best" or "last".

    Returns:
        Folder of the run, and "best" or "last"; None if the word names no run.
    """
    path = user_path(word)
    folder = folder_of_run(path)
    if folder is None and path.name in ("best", "last"):
        folder, which = folder_of_run(path.parent), path.name
    return None if folder is None else (folder, which)


def checkpoint_named(word: str, which: str = "best") -> str:
    """Return a network's name, in which the path of a checkpoint replaces the name of a run; other names unchanged.

    Of a run, the modules that its command and configuration name may be imported: whoever names a run trusts it.
    """
    from ...backbones.networks import split_view

    name, view = split_view(word)
    named = run_named(name, which)
    if named is None:
        return word
    path, which = named
    checkpoint = RunFolder.read(path).trusted_checkpoint(which)
    return f"{checkpoint}@{view}" if view else str(checkpoint)
