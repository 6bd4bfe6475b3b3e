"""The folder of a run: its number, the checkpoint to resume from, and its closing lines."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from vidcorr.backbones.checkpoints import read_content
from vidcorr.videos.files import LOCK

from .benchmark import BenchmarkCallback
from .loggers import run_folder

LAST = "last.ckpt"


def checkpoint_folder(trainer: Trainer, dirpath: str | Path | None) -> str:
    """Return the folder of a callback's checkpoints: `dirpath`, else `checkpoints/` in the folder of the run."""
    if dirpath is None:
        return str(run_folder(trainer).absolute() / "checkpoints")
    return str(dirpath) if "://" in str(dirpath) else str(Path(dirpath).expanduser().resolve())


def continued_logger(root: str | Path, path: str | Path) -> TensorBoardLogger | None:
    """Return Lightning's default logger for a run that resumes: it continues in the folder of the `last.ckpt`.

    `BestCheckpoint` compares only files in its folder.

    Args:
        root: `default_root_dir` of the new run.
        path: checkpoint to resume from; for another file than the `last.ckpt` of a run in `root` there is no logger.
    """
    run, logger = Path(path).resolve().parent.parent, TensorBoardLogger(root)
    if Path(path).name != LAST or Path(logger.root_dir).resolve() != run.parent:
        return None
    return TensorBoardLogger(root, version=run.name)


def hide_logs(trainer: Trainer, step: int) -> None:
    """Hide from TensorBoard what earlier runs in the folder logged from a step on, as its own `purge_step` does."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        if isinstance(logger, TensorBoardLogger):
            start = SessionLog(status=SessionLog.START)
            logger.experiment.file_writer.add_event(Event(step=step, session_log=start))


class LastCheckpointFile(NamedTuple):
    """A `last.ckpt` with its progress; larger tuples are newer.

    Attributes:
        run: number of the run, counted over the runs of a folder in the order in which they began or resumed; −1 if
            unknown.
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
    """Find the `last.ckpt` of the runs below a folder, and in further folders of checkpoints.

    Lightning's `ckpt_path="last"` searches only the folder of the new run, which is empty. The age comes from the
    content of the files: the time stamps of a file system change by copying, and may be wrong.

    Returns:
        The files in order of age, the newest last.

    Raises:
        ValueError: if a file cannot be read, unless `skip_damaged`.
    """
    root = Path(root)
    paths = {*root.glob(f"checkpoints/{LAST}"), *root.glob(f"*/*/checkpoints/{LAST}")}
    found = []
    for path in paths | {path for folder in folders if (path := Path(folder, LAST)).is_file()}:
        try:
            state = read_content(path, whole=False)
            run = state.get("resume", {}).get("run", -1)
            found.append(LastCheckpointFile(run, state["global_step"], state["epoch"], path))
        except (ValueError, KeyError, AttributeError) as error:
            if not skip_damaged:
                advice = "remove it, or name the checkpoint to resume from"
                raise ValueError(f"{path} is damaged ({error}): {advice}") from error
    return sorted(found)


def remove_unused(trainer: Trainer, began: float) -> None:
    """Remove the folder of a run that was refused: it holds no more than the files that begin a run.

    Args:
        trainer: the trainer after the error.
        began: start of the run, seconds since 1970; a folder with an older file is of another run.
    """
    # not `run_folder`: after an error the ranks no longer talk to each other
    if not (log_dir := getattr(trainer.logger, "log_dir", None)):
        return
    folder = Path(log_dir)
    files = [path for path in folder.rglob("*") if path.is_file()]
    beginning = all(path.name.startswith(("config.yaml", "hparams.yaml", "events.out", LOCK)) for path in files)
    if trainer.global_step == 0 and files and beginning and min(path.stat().st_mtime for path in files) >= began:
        with suppress(OSError):  # a link, no permission, or a parent with other runs: the first error counts
            rmtree(folder)
            folder.parent.rmdir()


def run_summary(trainer: Trainer, next_command: Callable[[str], str | None], began: float = 0) -> list[str]:
    """Return the closing lines: scores, path of the report, checkpoint and next command.

    Scores of benchmarks are in per cent; without a benchmark the lines have the method's `val/…` values.

    Args:
        trainer: the trainer after its run.
        next_command: path of a checkpoint → command that evaluates it, or None.
        began: start of the run, seconds since 1970; older reports are not of this run.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    benchmarks = [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]
    run, fitted, lines = run_folder(trainer), trainer.state.fn == "fit", []
    if fitted:  # `validate` has just printed the table of its run
        lines = _score_changes(benchmarks)
    if not benchmarks:
        scores = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
        lines = [", ".join(f"{key} {score:.4f}" for key, score in scores.items())] if scores else []
    if report := _newest_report(run, benchmarks, began):
        lines.append(f"report: {report}")
    if fitted and (checkpoint := _kept_checkpoint(trainer)):
        command = next_command(checkpoint)
        lines.append(f"checkpoint: {checkpoint}" + (f"; next: {command}" if command else ""))
    return lines


def _score_changes(benchmarks: Sequence[BenchmarkCallback]) -> list[str]:
    """Return a line for each benchmark that ran several times: its first and its last score."""
    lines = []
    for history in [benchmark.history for benchmark in benchmarks if len(benchmark.history) > 1]:
        first, last = min(history), max(history)
        # a run that resumed may have other stages, so other keys
        if key := next((key for key in history[last] if key in history[first]), None):
            was, is_now = (f"{100 * history[step][key]:.1f} % at step {step}" for step in (first, last))
            lines.append(f"{key} {was}, {is_now}")
    return lines


def _newest_report(run: Path, benchmarks: Sequence[BenchmarkCallback], began: float) -> Path | None:
    """Return the page that a benchmark has written last, since the run began."""
    if not benchmarks:
        return None
    pages = [*run.glob("benchmarks/*/*/report.html")]
    pages += [Path(found.output_dir, "report.html") for found in benchmarks if found.output_dir is not None]
    times = {page: page.stat().st_mtime for page in pages if page.is_file()}
    return max((page for page, changed in times.items() if changed >= began), key=times.__getitem__, default=None)


def _kept_checkpoint(trainer: Trainer) -> str | None:
    """Return the best checkpoint, by the last callback with a monitor, else the last checkpoint."""
    last_first = reversed(trainer.checkpoint_callbacks)
    kept = sorted(last_first, key=lambda callback: not getattr(callback, "monitor", None))
    paths = [getattr(callback, name, "") for callback in kept for name in ("best_model_path", "last_model_path")]
    return next(filter(None, paths), None)
