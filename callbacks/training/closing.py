"""End of a run: its scores, paths and next command, and the removal of a failed run's empty folders."""

from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ..benchmarks.base import BenchmarkCallback
from ..loggers import run_folder
from .checkpoint import BestCheckpoint

LEFT_BY_ANY_RUN = ("config.yaml", "hparams.yaml", "events.out.tfevents.*", "metrics.csv")
"""Files that a run has written before its first step."""


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
    lines, fitted = [], trainer.state.fn == "fit"
    if fitted and (scores := "; ".join(filter(None, map(_score, benchmarks)))):
        lines.append(scores)
    elif not benchmarks and (logged := {k: v for k, v in trainer.callback_metrics.items() if k.startswith("val/")}):
        lines.append(", ".join(f"{name} {float(value):.4f}" for name, value in logged.items()))
    if pages := list(_pages(trainer, benchmarks)):
        lines.append(f"report: {max(pages, key=lambda page: page.stat().st_mtime_ns)}")
    if fitted and (checkpoint := _checkpoint(callbacks)):
        suited = getattr(trainer.lightning_module, "suited_benchmark", "davis")
        names = [benchmarks[-1].name, type(benchmarks[-1]).name] if benchmarks else [suited]
        config = next((name for each in names if (configs / (name := f"benchmarks/{each}.yaml")).is_file()), None)
        command = f"; next: vidcorr validate --ckpt_path {checkpoint} --config {config}" if config else ""
        lines.append(f"checkpoint: {checkpoint}{command}")
    return lines


def _score(benchmark: BenchmarkCallback) -> str:
    """Return the first score of the last run, and of the first run of a training for comparison."""
    if len(benchmark.history) < 2:
        return ""  # the table of the one run stands right above, as it does in `validate`
    first, last = min(benchmark.history), max(benchmark.history)
    key = next((key for key in benchmark.history[last] if key in benchmark.history[first]), None)
    if key is None:
        return ""
    before, after = (100 * benchmark.history[step][key] for step in (first, last))
    return f"{key} {before:.1f} % at step {first}, {after:.1f} % at step {last}"


def _pages(trainer: Trainer, benchmarks: Iterable[BenchmarkCallback]) -> Iterator[Path]:
    run = run_folder(trainer)
    for benchmark in benchmarks:
        if benchmark.output_dir is None:
            yield from run.glob(f"benchmarks/{benchmark.name}/*/report.html")
        elif (page := Path(benchmark.output_dir) / "report.html").is_file():
            yield page


def _checkpoint(callbacks: Iterable[Any]) -> str:
    """Return the path of the best checkpoint, else of the last one; empty where there is none."""
    kept = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
    kept.sort(key=lambda callback: not isinstance(callback, BestCheckpoint))
    paths = [callback.best_model_path or callback.last_model_path for callback in kept]
    return next((str(path) for path in paths if path), "")


def earlier_folders(trainer: Trainer) -> set[Path]:
    """Return the folders of loggers that are there before a run, because the user has named them."""
    named = (logger for logger in trainer.loggers if getattr(logger, "_version", None) is not None)
    return {folder for logger in named if logger.log_dir and (folder := Path(logger.log_dir)).is_dir()}


def remove_empty_folders(trainer: Trainer, earlier: Set[Path] = frozenset()) -> None:
    """Remove what a run created that failed before its first step: its folder, and empty folders for results.

    Args:
        trainer: after the failure.
        earlier: folders whose files are kept, see `earlier_folders`.
    """
    if not trainer.is_global_zero:
        return
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for folder in (getattr(callback, "output_dir", None) for callback in callbacks):
        if folder is not None:
            _remove_if_empty(Path(folder))
    for run in {Path(logger.log_dir) for logger in trainer.loggers if logger.log_dir is not None}:
        files = [path for path in run.rglob("*") if path.is_file()]
        own = run not in earlier and trainer.global_step == 0
        if own and all(any(path.match(known) for known in LEFT_BY_ANY_RUN) for path in files):
            for path in files:
                path.unlink(missing_ok=True)
        _remove_if_empty(run)
        for parent in (run.parent, run.parent.parent):  # lightning_logs, runs
            if parent != Path.cwd() and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder's empty subfolders, and the folder itself if nothing is left in it."""
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            _remove_if_empty(child)
    if not any(folder.iterdir()):
        folder.rmdir()
