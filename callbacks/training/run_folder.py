"""The folder of a run: its number, the checkpoint to resume from, and what is said at its end."""

import csv
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from lightning_modules.checkpoints import read_content

from ..benchmarks.callback import BenchmarkCallback
from ..process.loggers import run_folder
from .checkpoint_files import read_state

LAST = "last.ckpt"


def checkpoint_folder(trainer: Trainer, dirpath: str | Path | None) -> str:
    """Return the folder of a callback's checkpoints: the one that it names, else `checkpoints/` in that of the run."""
    if dirpath is None:
        return str(run_folder(trainer).absolute() / "checkpoints")
    return str(dirpath) if "://" in str(dirpath) else str(Path(dirpath).expanduser().resolve())


def numbered_loggers(
    loggers: Sequence[tuple[Logger, Mapping[str, Any]]], path: str | Path | None = None
) -> list[Logger]:
    """Make the loggers of a run again, with the number of its `version_N` folder.

    The number is the next one that is free for all of them. The folders are made here: Lightning makes them later, and
    two runs that start together would share one. A run that resumes from a `last.ckpt` in a folder of these loggers
    continues there: what was logged after the checkpoint will be logged again, so it is dropped.

    Args:
        loggers: loggers with the arguments that they were made with; others than TensorBoard's and CSV's, those with a
            version of their own, and those that write to an address are returned as they are.
        path: checkpoint to resume from.
    """
    numbered = [
        isinstance(logger, CSVLogger | TensorBoardLogger) and "://" not in str(logger.save_dir) for logger, _ in loggers
    ]
    local = [(type(logger), dict(arguments)) for (logger, arguments), own in zip(loggers, numbered, strict=True) if own]
    if not local:
        return [logger for logger, _ in loggers]
    last = last_run_in(path, next(logger for (logger, _), own in zip(loggers, numbered, strict=True) if own))
    if last is None:
        new = _claimed(local)
    else:
        version, step = last
        for kind, arguments in local:
            arguments["version"] = version if arguments.get("version") is None else arguments["version"]
            if issubclass(kind, TensorBoardLogger):
                arguments["purge_step"] = step
        new = [kind(**arguments) for kind, arguments in local]
        for logger in new:
            if isinstance(logger, CSVLogger):
                _keep_rows(logger, step)
    made = iter(new)
    return [next(made) if own else logger for (logger, _), own in zip(loggers, numbered, strict=True)]


def _claimed(loggers: list[tuple[type[Any], dict[str, Any]]]) -> list[Any]:
    """Make loggers, those without a version in the next folder that is free for all of them."""
    free = [number for number, (_, arguments) in enumerate(loggers) if arguments.get("version") is None]
    made = [kind(**arguments) for kind, arguments in loggers]
    for version in itertools.count(max(made[number].version for number in free)) if free else ():
        for number in free:
            kind, arguments = loggers[number]
            made[number] = kind(**arguments | {"version": version})
        try:
            for folder in {str(made[number].log_dir) for number in free}:
                os.makedirs(folder)
            break
        except FileExistsError:
            continue
    return made


def last_run_in(path: str | Path | None, logger: Any) -> tuple[int | str, int] | None:
    """Return version and last step of the run of a `last.ckpt`; None unless it lies in a folder of a logger."""
    if path is None:
        return None
    checkpoint = Path(path).resolve()
    run = checkpoint.parent.parent
    if checkpoint.name != LAST or checkpoint.parent.name != "checkpoints":
        return None
    if Path(logger.root_dir).resolve() != run.parent:
        return None
    number = run.name.removeprefix("version_")
    state = read_state(read_content(checkpoint, checksums=False), checkpoint)
    # the last scores of a run are logged at its last step
    return int(number) if number.isdecimal() else run.name, state.global_step + state.resume.run_ended


class LastCheckpointFile(NamedTuple):
    """A `last.ckpt` with the progress that it records; later tuples are newer.

    Attributes:
        run: number of the run, counted over the runs of a folder in the order in which they began or resumed; −1 where
            the file does not say.
        step: optimiser steps.
        epoch: epoch of the last step.
        path: the file.
    """

    run: int
    step: int
    epoch: int
    path: Path


def last_checkpoints(
    root: str | Path, folders: Iterable[str | Path] = (), skip_damaged: bool = False
) -> list[LastCheckpointFile]:
    """Find the `last.ckpt` of the runs below a folder, or in others, where callbacks write checkpoints.

    Lightning's own `ckpt_path="last"` searches only the folder of the new run, which is empty.
    Which one is the newest is read from the files: the times that a file system gives them are wrong where a clock
    was, and after copying.

    Returns:
        In order of age, the newest last.

    Raises:
        ValueError: if one of them cannot be read, unless `skip_damaged`.
    """
    root = Path(root)
    paths = {*root.glob(f"checkpoints/{LAST}"), *root.glob(f"*/*/checkpoints/{LAST}")}
    found = []
    for path in paths | {path for folder in folders if (path := Path(folder, LAST)).is_file()}:
        try:
            state = read_state(read_content(path, checksums=False), path)  # the one that is chosen is read in full
        except ValueError as error:
            if not skip_damaged:
                advice = "remove it, or name the checkpoint to resume from"
                raise ValueError(f"{path} is damaged ({error}): {advice}") from error
        else:
            found.append(LastCheckpointFile(state.resume.run, state.global_step, state.epoch, path))
    return sorted(found)


def _keep_rows(logger: CSVLogger, step: int) -> None:
    """Begin a CSV logger with the complete rows of its file up to a step; Lightning deletes the file."""
    path = Path(logger.log_dir, ExperimentWriter.NAME_METRICS_FILE)
    if not path.is_file():
        return
    with path.open(newline="") as file:
        complete = [row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdecimal()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        experiment = logger.experiment
    experiment.metrics = [row for row in complete if int(row["step"]) < step]
    experiment.save()


def closing_lines(trainer: Trainer, next_command: Callable[[str], str | None], began: float = 0) -> list[str]:
    """Return at most three lines: scores, the path of the report, the checkpoint and the next command.

    Scores of benchmarks are in per cent; without a benchmark they are whatever the method has logged as `val/…`.

    Args:
        trainer: after its run.
        next_command: from the path of a checkpoint to the command that evaluates it, or None.
        began: time at which the run began, seconds since 1970; reports from before are not of this run.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    benchmarks = [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
    run, fitted = run_folder(trainer), trainer.state.fn == "fit"
    if benchmarks:  # in `validate` the table of the one run stands right above
        lines = []
        for history in [benchmark.history for benchmark in benchmarks if fitted and len(benchmark.history) > 1]:
            first, last = min(history), max(history)
            # a run that resumed may have other stages, so other keys
            if key := next((key for key in history[last] if key in history[first]), None):
                was, is_now = (f"{100 * history[step][key]:.1f} % at step {step}" for step in (first, last))
                lines.append(f"{key} {was}, {is_now}")
    else:
        logged = [
            f"{key} {float(value):.4f}" for key, value in trainer.callback_metrics.items() if key.startswith("val/")
        ]
        lines = [", ".join(logged)] if logged else []
    pages = [*run.glob("benchmarks/*/*/report.html")]
    pages += [Path(each.output_dir, "report.html") for each in benchmarks if each.output_dir is not None]
    times = {page: page.stat().st_mtime for page in pages if benchmarks and page.is_file()}
    if written := [page for page, changed in times.items() if changed >= began]:
        lines.append(f"report: {max(written, key=lambda page: times[page])}")
    # one with a monitor, which keeps the best, comes before those that keep the last
    kept = sorted(trainer.checkpoint_callbacks, key=lambda callback: not getattr(callback, "monitor", None))
    paths = [getattr(callback, name, "") for callback in kept for name in ("best_model_path", "last_model_path")]
    if fitted and (checkpoint := next(filter(None, paths), None)):
        command = next_command(checkpoint)
        lines.append(f"checkpoint: {checkpoint}" + (f"; next: {command}" if command else ""))
    return lines
