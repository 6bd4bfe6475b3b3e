"""Print the commands of a study, a table of trainings that differ by a few flags; or run those without a result."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import signals
from ..near_names import CommandParser

if TYPE_CHECKING:  # pydantic, which a mistake need not wait for
    from ..experiments.study import Command

COMMAND = (sys.executable, "-m", "vidcorr")
"""Words that start vidcorr as a process."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        UsageError, ValueError: for a user's mistake, or if a command failed.
    """
    parser = CommandParser(prog="vidcorr study", description=__doc__)
    parser.add_argument("study", help="YAML file, or a study of vidcorr (studies/…)")
    parser.add_argument("--output", type=Path, help="folder of the runs (default: studies/NAME)")
    parser.add_argument("--run", action="store_true", help="run the commands that have no result, one after the other")
    flags = parser.parse_args(list(args))

    from ..experiments.study import read_study

    study = read_study(flags.study)
    lines = study.lines(flags.output or Path("studies") / Path(flags.study).stem)
    if not flags.run:
        for line in lines:
            print(" && ".join(map(_shell_line, line)))
        return
    failed = list(filter(None, map(run_line, lines)))
    if failed:
        commands = "; ".join(map(_shell_line, failed))
        raise ValueError(f"{len(failed)} of {len(lines)} lines failed: {commands}")


def _shell_line(step: Command) -> str:
    """Return a command as a line for a shell."""
    return shlex.join(("vidcorr", *step.words))


def run_line(line: Sequence[Command]) -> Command | None:
    """Run the evaluations of a line that have no result, and the trainings that these need, up to the first failure.

    A line is a training or a frozen network, and all commands that build on it (`Study.lines`).

    Returns:
        The command that failed, or None.
    """
    missing = [step for step in line if step.evaluation and not step.is_done]
    needed: set[Path] = set()  # folders of trainings
    for step in missing:
        needed.update(step.needs)
    for step in line:
        is_needed = step in missing if step.evaluation else step.output in needed
        if is_needed and _run(step.words) != 0:
            return step
    return None


def _run(words: Sequence[str]) -> int:
    """Run a command of vidcorr as a process; return its status."""
    print(shlex.join(("vidcorr", *words)), flush=True)
    process = subprocess.Popen([*COMMAND, *words])
    try:
        return process.wait()
    except signals.Stopped:
        process.terminate()  # a training finishes its step and saves; after Ctrl-C it already does
        process.wait()
        raise
