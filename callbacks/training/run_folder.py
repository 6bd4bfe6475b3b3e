"""The folder of a run: its number, the checkpoint to resume from, and what is said at its end."""

import csv
import itertools
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from lightning_modules.checkpoints import read_content

from ..benchmarks.base import BenchmarkCallback
from ..loggers import run_folder
from .checkpoint_files import read_state

LAST = "last.ckpt"


def checkpoint_folder(trainer: Trainer, dirpath: str | Path | None) -> str:
    """Return the folder of a callback's checkpoints: the one that it names, else `checkpoints/` in that of the run."""
    if dirpath is None:
        return str(run_folder(trainer).absolute() / "checkpoints")
    return str(dirpath) if "://" in str(dirpath) else str(Path(dirpath).expanduser().resolve())


def claim_version(loggers: Iterable[Logger]) -> None:
    """Claim the next `version_N` folder that is free for all loggers of a run, before anything asks them for it.

    Lightning takes the next number and makes the folder later: two runs that start together would share one.
    """
    own = [logger for logger in _numbered(loggers) if logger._version is None]
    for number in itertools.count(max(logger.version for logger in own)) if own else ():
        for logger in own:
            logger._version = number
        try:
            for folder in {str(logger.log_dir) for logger in own}:
                os.makedirs(folder)
            return
        except FileExistsError:
            continue


def _numbered(loggers: Iterable[Logger]) -> list[Any]:
    """Return the loggers that write to folders `version_N` of this machine."""
    own = [logger for logger in loggers if isinstance(logger, CSVLogger | TensorBoardLogger)]
    return [logger for logger in own if "://" not in str(logger.save_dir)]


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


def continue_in_folder(loggers: Iterable[Logger], path: str | Path) -> None:
    """Make loggers continue in the folder of the run that is resumed, which is where its `last.ckpt` lies.

    What was logged after the checkpoint will be logged again; it is dropped. A logger that does not write below the
    folder of that run, or a checkpoint other than a `last.ckpt`, gets a new folder.
    """
    path, own = Path(path).resolve(), _numbered(loggers)
    if path.name != LAST or path.parent.name != "checkpoints" or not own:
        return
    run = path.parent.parent
    if Path(own[0].root_dir).resolve() != run.parent:
        return
    number = run.name.removeprefix("version_")
    state = read_state(read_content(path, checksums=False), path)
    # the last scores of a run are logged at its last step
    step = state.global_step + state.resume.run_ended
    for logger in own:
        if logger._version is None:
            logger._version = int(number) if number.isdecimal() else run.name
        if isinstance(logger, TensorBoardLogger):
            logger._kwargs["purge_step"] = step
        else:
            _keep_rows(logger, step)


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


def closing_lines(trainer: Trainer, configs: Path) -> list[str]:
    """Return at most three lines: scores, the path of the report, the checkpoint and the next command.

    Scores of benchmarks are in per cent; without a benchmark they are whatever the method has logged as `val/…`.

    Args:
        trainer: after its run.
        configs: folder of the project's configs; the next command names one of its benchmarks: that of the run, else
            the one that suits the method. It is left out after a user's own benchmark, and where no benchmark suits.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    benchmarks = [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
    run, fitted = run_folder(trainer), trainer.state.fn == "fit"
    if benchmarks:  # in `validate` the table of the one run stands right above
        lines = []
        for history in [benchmark.history for benchmark in benchmarks if fitted and len(benchmark.history) > 1]:
            first, last = min(history), max(history)
            key, score = next(iter(history[last].items()))
            lines.append(f"{key} {100 * history[first][key]:.1f} % at step {first}, {100 * score:.1f} % at step {last}")
    else:
        logged = [
            f"{key} {float(value):.4f}" for key, value in trainer.callback_metrics.items() if key.startswith("val/")
        ]
        lines = [", ".join(logged)] if logged else []
    pages = [*run.glob("benchmarks/*/*/report.html")]
    pages += [Path(each.output_dir, "report.html") for each in benchmarks if each.output_dir is not None]
    if written := [page for page in pages if benchmarks and page.is_file()]:
        lines.append(f"report: {max(written, key=lambda page: page.stat().st_mtime_ns)}")
    # one with a monitor, which keeps the best, comes before those that keep the last
    kept = sorted(trainer.checkpoint_callbacks, key=lambda callback: not getattr(callback, "monitor", None))
    paths = [getattr(callback, name, "") for callback in kept for name in ("best_model_path", "last_model_path")]
    if fitted and (checkpoint := next(filter(None, paths), None)):
        suited = getattr(trainer.lightning_module, "suited_benchmark", "davis")
        names = [benchmarks[-1].name, type(benchmarks[-1]).name] if benchmarks else [suited]
        config = next((name for each in names if (configs / (name := f"benchmarks/{each}.yaml")).is_file()), None)
        command = f"; next: vidcorr validate --ckpt_path {checkpoint} --config {config}" if config else ""
        lines.append(f"checkpoint: {checkpoint}{command}")
    return lines
