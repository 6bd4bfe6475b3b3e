"""The flags and the call of `vidcorr resume`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.runs.flags import Flag

if TYPE_CHECKING:  # they import torch, which would delay `--help`
    from ..cli import VidcorrCLI
    from ..experiments.runs.runs import Record

NAMED = "folder of a run, or its name below runs (default: the newest run below runs with a checkpoint); further words "
NAMED += "of vidcorr fit may follow, such as --trainer.max_epochs 200"
ROOT_FLAG = "--trainer.default_root_dir"
"""Flag of the folder of runs."""
FLAGS = (Flag("run", NAMED, nargs="?", metavar="RUN"),)


def run(flags: Namespace) -> None:
    """Go on with the training of a run where it stopped.

    The command consists of the words in the run's record and the user's further words. The training runs in the
    directory in which the run began.

    Raises:
        ValueError, OSError: for a user's mistake, such as an unknown run.
    """
    from ..experiments.runs.runs import RunFolder

    folder, record = RunFolder.named(flags.run)
    further = words_from_here(flags.further)  # relative paths become absolute before the directory changes
    # an earlier `resume` with the same further words has left them at the end of the record: they stay there once
    is_repeated = list(record.words[-len(further) :]) == further
    with _in_folder_of_run(record, ["resume", str(folder), *further]) as command_line:
        command_line(record.words, earlier=folder, more=[] if is_repeated else further)


def validate_run(name: str, words: Sequence[str]) -> None:
    """Validate a checkpoint of a run by the run's configuration: `vidcorr validate RUN`.

    Args:
        name: the run, as `RunFolder.named` takes it, whose best checkpoint is validated; or a run and "best" or "last",
            as `run_named` reads it.
        words: further words of `validate`.

    Raises:
        ValueError: if there is no such run, or it has saved no checkpoint.
    """
    from ..experiments.runs.runs import CONFIG, RunFolder, run_named

    folder, which = run_named(name) or (name, "best")
    run = RunFolder.named(folder)
    further = words_from_here(words)  # relative paths become absolute before the directory changes
    of_run = ["--config", str(run.path / CONFIG), "--ckpt_path", str(run.trusted_checkpoint(which))]
    # a further rank gets RUN/best or RUN/last as its first word, which it reads as `name`
    with _in_folder_of_run(run.record, ["validate", str(run.path / which), *further]) as command_line:
        command_line(["validate", *of_run], more=further)


@contextmanager
def _in_folder_of_run(record: Record, words: Sequence[str]) -> Iterator[type[VidcorrCLI]]:
    """Make the folder in which a run began the working directory, and let Python find the modules in it.

    The working directory is changed back at the end of the `with` block; `sys.argv` and `sys.path` stay changed.

    Args:
        record: the run; if its folder is gone, the working directory stays.
        words: words of the present command. They become `sys.argv`, by which Lightning starts further ranks.

    Yields:
        The class `VidcorrCLI`, which runs words of `fit` and `validate`. It is imported after `sys.argv` is set.
    """
    home = Path(record.folder) if Path(record.folder).is_dir() else Path.cwd()
    sys.argv = [os.path.abspath(sys.argv[0]), *words]
    from ..cli import VidcorrCLI

    with chdir(home):
        sys.path.append(str(home))  # at the end, to hide no other module
        yield VidcorrCLI


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
