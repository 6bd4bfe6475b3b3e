"""The folder of a run: complete files, one run at a time, and the checkpoint to resume from."""

import csv
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.plugins.io import TorchCheckpointIO

from datamodules.reading.files import csv_text, unfinished, write_atomically
from lightning_modules.checkpoints import read_content

from ..folder_lock import in_use

LAST = "last.ckpt"
RESUME = "resume"
"""Key of a checkpoint for its progress and its run, see `LastCheckpoint`."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's own class writes to the machine's temporary folder; where that is another disk, its move is a copy, and
    a run that is killed or a disk that is full in the middle of it leaves half a file in the place of a whole one.
    """

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; addresses such as `s3://…` are left to Lightning.

        Raises:
            OSError: if it cannot be written, for example because the disk is full; what was there before still is.
        """
        if "://" in str(path):
            return super().save_checkpoint(dict(checkpoint), path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                unfinished(path, path.with_name(f".{path.name}.unfinished")) as temporary,
                temporary.open("wb") as file,
            ):
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch turns some of the first into the second
            reason = _os_error(error)
            if reason is None:
                raise
            before = "; the one before is as it was" if path.exists() else ""
            raise OSError(
                f"{path} could not be written: {reason.strerror}{before}; make room and resume with --ckpt_path last"
            ) from error
        return None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as data: no code that it names runs, and a damaged file is reported in one line.

        Args:
            path: the file, or an address such as `s3://…`, which is read by Lightning.
            map_location: device for what is read from an address; a file is read to the CPU.
            weights_only: not taken; code is never unpickled.

        Raises:
            ValueError: if the file is damaged, or holds other than tensors and plain types.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        return read_content(path, mapped=False)


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the system's error behind another, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def claim_version(logger: Logger) -> None:
    """Claim the next free `version_N` folder for this run, before anything asks the logger for its version.

    Lightning takes the next number and makes the folder later: two runs that start together would share one.
    """
    while getattr(logger, "_version", "") is None and "://" not in str(logger.save_dir):
        try:
            os.makedirs(str(logger.log_dir))
        except FileExistsError:
            logger._version = None  # type: ignore[attr-defined]


class LastCheckpointFile(NamedTuple):
    """A `last.ckpt` with the progress that it records; later tuples are newer.

    Attributes:
        run: number of the run, counted over the runs of a folder in the order in which they began or resumed; −1 where
            the file does not say.
        step: optimiser steps.
        version: number of the folder, −1 where it has none.
        epoch: epoch of the last step.
        path: the file.
    """

    run: int
    step: int
    version: int
    epoch: int
    path: Path


def last_checkpoints(root: str | Path, folders: Iterable[str | Path] = ()) -> list[LastCheckpointFile]:
    """Find the `last.ckpt` of the runs below a folder, or in others, where callbacks write checkpoints.

    Lightning's own `ckpt_path="last"` searches only the folder of the new run, which is empty.
    Runs that are still in progress are left out. Which one is the newest is read from the files: the times that a file
    system gives them are wrong where a clock was, and after copying.

    Returns:
        In order of age, the newest last.

    Raises:
        ValueError: if one of them cannot be read.
    """
    return sorted(_read(path) for path in _paths(root, folders) if not in_use(path.parent))


def continue_in_folder(loggers: Iterable[Logger], path: str | Path) -> None:
    """Make loggers continue in the folder of the run that is resumed.

    What was logged after the checkpoint will be logged again; it is dropped. A logger that does not write below the
    folder of that run, or a checkpoint other than a `last.ckpt`, gets a new folder.
    """
    path = Path(path).resolve()
    if path.name != LAST or path.parent.name != "checkpoints":
        return
    run, content = path.parent.parent, _content(path)
    note = content.get(RESUME, {})
    # the last scores of a run are logged at its last step
    step = int(content["global_step"]) + bool(note.get("place", {}).get("run_ended"))
    local = [logger for logger in loggers if logger.save_dir and "://" not in str(logger.save_dir)]
    versions = note.get("versions", ())
    if not local or Path(getattr(local[0], "root_dir", "")).resolve() != run.parent or len(versions) != len(local):
        return
    for logger, version in zip(local, versions, strict=True):
        logger._version = version  # type: ignore[attr-defined]
        if isinstance(logger, TensorBoardLogger):
            logger._kwargs["purge_step"] = step
        elif isinstance(logger, CSVLogger):
            _keep_rows(logger, step)


def _keep_rows(logger: CSVLogger, step: int) -> None:
    """Begin a CSV logger with the complete rows of its file up to a step; Lightning deletes the file."""
    path = Path(logger.log_dir, ExperimentWriter.NAME_METRICS_FILE)
    if not path.is_file():
        return
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        complete = [row for row in reader if None not in row.values() and row["step"].isdecimal()]
        rows = [row for row in complete if int(row["step"]) < step]
        fields = list(reader.fieldnames or ())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        experiment = logger.experiment
    write_atomically(path, csv_text([fields, *([row[field] for field in fields] for row in rows)]))
    experiment.metrics_keys = fields


def newest_run(root: str | Path, folders: Iterable[str | Path] = ()) -> int:
    """Return the largest number of a run that has left a readable `last.ckpt`; −1 where there is none."""
    numbers = [-1]
    for path in _paths(root, folders):
        with suppress(ValueError):
            numbers.append(_read(path).run)
    return max(numbers)


def _paths(root: str | Path, folders: Iterable[str | Path]) -> set[Path]:
    root = Path(root)
    paths = {*root.glob(f"checkpoints/{LAST}"), *root.glob(f"*/*/checkpoints/{LAST}")}
    return paths | {path for folder in folders if (path := Path(folder, LAST)).is_file()}


def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_content(path, checksums=False)  # the one that is chosen is read in full
    return content


def _read(path: Path) -> LastCheckpointFile:
    try:
        content = _content(path)
        run, version = content.get(RESUME, {}).get("run", -1), path.parent.parent.name.rpartition("version_")[2]
        step, epoch = int(content["global_step"]), int(content["epoch"])
        return LastCheckpointFile(int(run), step, int(version) if version.isdecimal() else -1, epoch, path)
    except Exception as error:
        raise ValueError(f"{path} is damaged ({error}): remove it, or name the checkpoint to resume from") from error
