"""The lines that end a run of the command line: scores, page, checkpoint, and the next command."""

import shlex
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from lightning_modules.base import CorrespondenceModule
from lightning_modules.parts.saving import SavedModule
from vidcorr.backbones.trust import import_path, outside_code
from vidcorr.experiments.command_line import CommandLine
from vidcorr.experiments.configured import FLAGS, flags_of

from .benchmark import BenchmarkCallback


def benchmarks_among(callbacks: Sequence[pl.Callback]) -> list[BenchmarkCallback]:
    """Return the benchmarks of a run, in order."""
    return [callback for callback in callbacks if isinstance(callback, BenchmarkCallback)]


def summary(trainer: pl.Trainer, line: CommandLine) -> list[str]:
    """Return the closing lines: scores, page of the last result, checkpoint and next command.

    Scores of benchmarks are in per cent; without a benchmark the lines have the method's `val/…` values.

    Args:
        trainer: trainer of the run that has ended.
        line: command line of the run.
    """
    lines: list[str] = []
    benchmarks = benchmarks_among(trainer.callbacks)  # type: ignore[attr-defined]
    if line.command == "fit":
        for benchmark in benchmarks:
            lines += _change_of(benchmark)
    if not benchmarks:
        scores = []
        for key, value in trainer.callback_metrics.items():
            if key.startswith("val/"):
                scores.append(f"{key} {float(value):.4f}")
        if scores:
            lines.append(", ".join(scores))
    folders = [benchmark.folder for benchmark in benchmarks if benchmark.folder is not None]
    if folders:
        lines.append(f"report: {folders[-1] / 'report.html'}")
    if line.command == "fit":
        lines += _line_of_checkpoint(trainer, line)
    return lines


def _line_of_checkpoint(trainer: pl.Trainer, line: CommandLine) -> list[str]:
    """Return the line with the checkpoint of a fit and the next command; empty if nothing was saved."""
    for callback in trainer.checkpoint_callbacks:  # `LastCheckpoint` comes after those that keep the best
        path = getattr(callback, "best_model_path", "")
        if path:
            command = next_command(trainer, line, path)
            if command is None:
                return [f"checkpoint: {path}"]
            return [f"checkpoint: {path}; next: {command}"]
    return []


def _change_of(benchmark: BenchmarkCallback) -> list[str]:
    """Return a line with the first and the last score of a training; empty after a single run."""
    history = benchmark.history
    if len(history) < 2:
        return []
    first = min(history)
    last = max(history)
    for key in history[last]:
        if key in history[first]:  # a run that resumed may have other stages
            before = f"{100 * history[first][key]:.1f} % at step {first}"
            after = f"{100 * history[last][key]:.1f} % at step {last}"
            return [f"{key} {before}, {after}"]
    return []  # a benchmark without annotations has no scores


def resume_command(args: Sequence[str], checkpoint: str) -> str:
    """Return a run's command line, with a checkpoint to resume from."""
    words = ["vidcorr"]
    before = ""
    for word in args:
        flag, _, _ = word.partition("=")
        if "--ckpt_path" not in (before, flag):
            words.append(word)
        before = word
    return shlex.join([*words, "--ckpt_path", checkpoint])


def next_command(trainer: pl.Trainer, line: CommandLine, checkpoint: str) -> str | None:
    """Return the command that repeats the run's last benchmark with a checkpoint.

    A run without a benchmark gets the benchmark that suits the method. None if no command does: no benchmark suits the
    method, no config describes the benchmark, or the checkpoint of a foreign module names no class.
    """
    model = trainer.lightning_module
    if not isinstance(model, SavedModule):
        return None
    flags = _flags_of_benchmark(trainer, line)
    if not flags.get("on"):
        return None
    words = ["vidcorr", "validate", "--ckpt_path", checkpoint]
    for name, value in flags.items():
        if value:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name}", *map(str, values)]
    for name in outside_code({"class_path": import_path(type(model)), "init_args": dict(model.hparams)}):
        words += ["--allow", name]
    return shlex.join(words)


def _flags_of_benchmark(trainer: pl.Trainer, line: CommandLine) -> dict[str, Any]:
    """Return the flags for `next_command`; FOLDER stands for the data of a run without a benchmark."""
    if line.given.on:
        return {name: getattr(line.given, name) for name in (*FLAGS, "limit")}
    benchmarks = benchmarks_among(trainer.callbacks)  # type: ignore[attr-defined]
    if benchmarks:
        return flags_of(benchmarks[-1].benchmark)
    model = trainer.lightning_module
    if isinstance(model, CorrespondenceModule) and model.suited_benchmark:
        return {"on": f"{model.suited_benchmark}=FOLDER"}
    return {}
