"""The flags and the call of `vidcorr resume`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.runs.flags import Flag

if TYPE_CHECKING:
    from ..experiments.runs.runs import RunFolder

NAMED = "folder of a run, or its name below runs (default: the newest run below runs with a checkpoint); further words "
NAMED += "of vidcorr fit may follow, such as --trainer.max_epochs 200"
ROOT_FLAG = "--trainer.default_root_dir"
"""Flag of the folder of runs."""
FLAGS = (Flag("run", NAMED, nargs="?", metavar="RUN"),)


def run(flags: Namespace) -> None:
    """Go on with the training of a run where it stopped: `vidcorr resume RUN`.

    Raises:
        ValueError, OSError: for a user's mistake, such as an unknown run.
    """
    from ..experiments.runs.runs import RunFolder

    run = RunFolder.named(flags.run)
    # without a checkpoint of its own it begins again, from that of its first start if there was one
    repeat(run, "fit", run.last or run.record.branched, ["resume", str(run.path)], flags.further)


def validate_run(name: str, words: Sequence[str]) -> None:
    """Validate a checkpoint of a run: `vidcorr validate RUN`.

    Args:
        name: the run, as `RunFolder.named` takes it, whose best checkpoint is validated; or a run and "best" or "last",
            as `run_named` reads it.
        words: further words of `validate`.

    Raises:
        ValueError: if there is no such run, or it has saved no checkpoint.
    """
    from ..experiments.runs.runs import RunFolder, run_named

    folder, which = run_named(name) or (name, "best")
    run = RunFolder.named(folder)
    # a further rank gets RUN/best or RUN/last as its first word, which it reads as `name`
    repeat(run, "validate", run.trusted_checkpoint(which), ["validate", str(run.path / which)], words)


def repeat(
    run: RunFolder, command: str, checkpoint: Path | str | None, command_line: Sequence[str], words: Sequence[str]
) -> None:
    """Run `fit` or `validate` by the configuration of a run, in the directory in which the run began.

    Args:
        run: the run; if its directory is gone, the working directory stays.
        command: "fit", which goes on in the folder of the run, or "validate".
        checkpoint: the checkpoint to load, or None.
        command_line: the present command, by which Lightning starts further ranks: it becomes `sys.argv`.
        words: further words, which win over the configuration.
    """
    of_run = ["--config", str(run.configuration), *([f"--ckpt_path={checkpoint}"] if checkpoint else [])]
    further = words_from_here(words)  # relative paths become absolute before the directory changes
    sys.argv = [os.path.abspath(sys.argv[0]), *command_line, *further]
    from ..cli import VidcorrCLI

    home = run.record.folder
    with chdir(home if os.path.isdir(home) else "."):
        VidcorrCLI([command, *of_run], run if command == "fit" else None, further)


def words_from_here(words: Sequence[str]) -> list[str]:
    """Return words of `fit` in which relative paths are absolute.

    The words are parsed later, in another working directory: the directory of the run. A benchmark of `--on` gets the
    absolute folder of its data, even if only its config names a folder.

    Raises:
        UsageError: for an unknown benchmark, or a config that cannot be read.

    Example:
        >>> words_from_here(["--trainer.max_epochs=200", "--trainer.default_root_dir", "/runs/../new"])
        ['--trainer.max_epochs=200', '--trainer.default_root_dir', '/new']
    """
    absolute = []
    flag = ""
    for word in words:
        before_value, value = "", word
        if word.startswith("-"):  # else the word is a value of the last flag
            flag, equals, value = word.partition("=")
            before_value = flag + equals
        if flag == "--on" and value:
            absolute.append(before_value + benchmark_from_here(value))
        elif flag == ROOT_FLAG and value:  # `from_here` would leave a folder as it is that does not exist yet
            absolute.append(before_value + os.path.abspath(os.path.expanduser(value)))
        else:
            absolute.append(from_here(word))
    return absolute


def benchmark_from_here(text: str) -> str:
    """Return a value of `--on`, `NAME=FOLDER`, with absolute paths of a config's file and of the data.

    Raises:
        UsageError: for an unknown benchmark, or a config that cannot be read.
    """
    from ..experiments.runs.benchmark_choice import read_on

    (choice,) = read_on([text])
    name = choice.config
    if name.endswith((".yaml", ".yml")):
        name = from_here(name)
    root = choice.arguments.get("root", "")
    return f"{name}={os.path.abspath(os.path.expanduser(root))}" if root else name


def from_here(word: str) -> str:
    """Return a word with an absolute path, if it is a path that exists here, alone or behind `=`; else as it is.

    A number is no path, even if a file has its name.
    """
    start, equals, path = word.rpartition("=")
    is_number = path.replace(".", "").isdecimal()
    if path and not is_number and not path.startswith("-") and os.path.exists(path):
        return f"{start}{equals}{os.path.abspath(path)}"
    return word
