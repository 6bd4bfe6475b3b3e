"""The flags and the call of `vidcorr resume`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import chdir
from typing import TYPE_CHECKING

from ..experiments.runs.flags import Flag

if TYPE_CHECKING:
    from ..experiments.runs.runs import RunFolder

NAMED = "folder of a run, or its name below runs (default: the newest run below runs with a checkpoint); further words "
NAMED += "of vidcorr fit may follow, such as --trainer.max_epochs 200"
FLAGS = (Flag("run", NAMED, nargs="?", metavar="RUN"),)


def run(flags: Namespace) -> None:
    """Go on with the training of a run where it stopped: `vidcorr resume RUN`."""
    from ..experiments.runs.runs import RunFolder

    run = RunFolder.named(flags.run)
    repeat(run, ["fit", *run.words("last")], ["resume", str(run.path)], flags.further)


def measure_run(command: str, name: str, words: Sequence[str]) -> None:
    """Measure a checkpoint of a run: `vidcorr validate RUN`, or `test`; the new run stands beside it."""
    from ..experiments.runs.runs import RunFolder, run_named

    folder, which = run_named(name) or (name, "best")
    run = RunFolder.named(folder)
    of_run = [command, *run.words(which), f"--trainer.default_root_dir={run.path.parent}"]
    # a further rank gets RUN/best or RUN/last as its first word, which it reads as `name`
    repeat(run, of_run, [command, str(run.path / which)], words)


def repeat(run: RunFolder, of_run: Sequence[str], command_line: Sequence[str], words: Sequence[str]) -> None:
    """Run `fit`, `validate` or `test` by the configuration of a run, in the directory in which the run began."""
    further = list(map(from_here, words))  # relative paths become absolute before the directory changes
    sys.argv = [os.path.abspath(sys.argv[0]), *command_line, *further]
    from ..cli import VidcorrCLI

    home = run.record.folder
    with chdir(home if os.path.isdir(home) else "."):
        VidcorrCLI(of_run, run if of_run[0] == "fit" else None, further)


def from_here(word: str) -> str:
    """Return a word with an absolute path, if it is a path that exists here, alone or behind `=`; else as it is."""
    start, equals, path = word.rpartition("=")
    is_number = path.replace(".", "").isdecimal()
    is_path = start == "--trainer.default_root_dir" or os.path.exists(path)
    if path and is_path and not is_number and not path.startswith("-"):
        return f"{start}{equals}{os.path.abspath(path)}"
    return word
