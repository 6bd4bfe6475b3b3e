"""Print the commands of a study, a table of trainings that differ by a few flags; or run those without a result."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiments.configured import find_config

if TYPE_CHECKING:  # pydantic, which a mistake need not wait for
    from ..experiments.study import Command

CLI = Path(__file__).resolve().parents[2] / "cli.py"
STOPPED = (130, -2, 143, -15)
"""Statuses of a process after Ctrl-C or SIGTERM."""
RESUME = "run the same command again to resume"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a command failed.
    """
    flags = _parser().parse_args(list(args))
    path = find_config(flags.study, "study")

    from ..experiments.study import read_study

    study = read_study(path, small=flags.small)
    study.seed_flags += tuple(flags.train_flags)
    study.evaluations = {name: (*words, *flags.evaluate_flags) for name, words in study.evaluations.items()}
    output = flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem)
    lines = study.lines(output, flags.only, flags.seeds)
    if not flags.run:
        for line in lines:
            print(" && ".join(shlex.join(("vidcorr", *step.words)) for step in line))
        return
    failed = [step for line in lines if (step := run_line(line)) is not None]
    if failed:
        commands = "; ".join(shlex.join(("vidcorr", *step.words)) for step in failed)
        raise ValueError(f"{len(failed)} of {len(lines)} lines failed: {commands}")


def run_line(line: Sequence[Command]) -> Command | None:
    """Run the commands of a line that have no result, up to the first that fails.

    Returns:
        The command that failed, or None.

    Raises:
        KeyboardInterrupt: if a command, or this process, was stopped; the next run resumes.
    """
    missing = [step for step in line if not step.is_done]
    if not any(step.done for step in missing):  # a training without missing evaluations is done
        return None
    return next((step for step in missing if _run(step.words)), None)


def _run(words: Sequence[str]) -> int:
    """Run a command of vidcorr as a process; return its status."""
    print(shlex.join(("vidcorr", *words)), flush=True)
    process = subprocess.Popen([sys.executable, str(CLI), *words])
    try:
        status = process.wait()
    except KeyboardInterrupt as stopped:
        process.terminate()  # a training finishes its step and saves; after Ctrl-C it already does
        process.wait()
        stopped.args = (RESUME,)
        raise
    if status in STOPPED:
        raise KeyboardInterrupt(RESUME)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr study", description=__doc__)
    parser.add_argument("study", help="YAML file, or a study of vidcorr (studies/…)")
    parser.add_argument("--output", type=Path, default=None, help="folder of the runs (default: studies/NAME[-small])")
    parser.add_argument("--small", action="store_true", help="use the small scale: minutes per row on a CPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="seeds (default: the study's)")
    parser.add_argument("--run", action="store_true", help="run the commands that have no result, one after the other")
    words: dict[str, Any] = {"type": shlex.split, "default": [], "metavar": "FLAGS"}
    parser.add_argument("--train-flags", **words, help="flags added to every training, as a quoted string")
    parser.add_argument("--evaluate-flags", **words, help="flags added to every evaluation, as a quoted string")
    return parser
