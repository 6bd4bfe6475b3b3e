"""The flags and the call of `vidcorr resume`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.flags import Flag

if TYPE_CHECKING:  # they import torch, which would delay `--help`
    from ..cli import VidcorrCLI
    from ..experiments.runs import Record

NAMED = "folder of a run, or its name below runs (default: the newest run below runs with a checkpoint); further words "
NAMED += "of vidcorr fit may follow, such as --trainer.max_epochs 200"
ROOT_FLAG = "--trainer.default_root_dir"
"""Flag of the folder of runs."""
FLAGS = (Flag("run", NAMED, nargs="?", metavar="RUN"),)


def run(flags: Namespace) -> None:
    """Run the command.

    Raises:
        ValueError, OSError: for a user's mistake, such as a run that has no folder.
    """
    from ..experiments.runs import Record

    folder = find_run(flags.run)
    record = Record.read(folder)
    further = words_from_here(flags.further)
    last_words = list(record.words[-len(further) :])
    is_repeated = last_words == further  # the same command again: the run's words end with them
    with _at_home(record, ["resume", str(folder), *further]) as command_line:
        command_line(record.words, folder, [] if is_repeated else further)


def validate_run(name: str, words: Sequence[str]) -> None:
    """Validate a run by its configuration and its best checkpoint: `vidcorr validate RUN`.

    Args:
        name: the run, as `find_run` takes it.
        words: further words of `validate`.

    Raises:
        ValueError: if there is no such run, or it has saved no checkpoint.
    """
    from ..experiments.runs import CONFIG, Record

    folder = find_run(name)
    record = Record.read(folder)
    checkpoint = record.best_checkpoint(folder)
    if checkpoint is None:
        raise ValueError(f"{folder}: the run has saved no checkpoint")
    further = words_from_here(words)
    of_run = ["--config", str(folder / CONFIG), "--ckpt_path", str(checkpoint)]
    with _at_home(record, ["validate", str(folder), *further]) as command_line:
        command_line(["validate", *of_run, *further])


@contextmanager
def _at_home(record: Record, words: Sequence[str]) -> Iterator[type[VidcorrCLI]]:
    """Give the command line in the folder in which a run began, whose modules Python finds.

    Args:
        record: the run; its project may have moved.
        words: words of the present command, by which Lightning starts ranks.
    """
    home = Path(record.folder) if Path(record.folder).is_dir() else Path.cwd()
    sys.argv = [os.path.abspath(sys.argv[0]), *words]
    from ..cli import VidcorrCLI

    with chdir(home):
        sys.path.append(str(home))  # at the end, to hide no other module
        yield VidcorrCLI


def words_from_here(words: Sequence[str]) -> list[str]:
    """Return words of `fit` with absolute paths, because they are parsed in the folder in which the run began.

    A benchmark of `--on` gets the folder of its data, which its config may name by a path from here.

    Raises:
        UsageError: for an unknown benchmark, or a config that cannot be read.
    """
    found = []
    flag = ""
    for word in words:
        before_value, value = "", word
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            before_value = flag + equals
        if flag == "--on" and value:
            found.append(before_value + benchmark_from_here(value))
        elif flag == ROOT_FLAG and value:  # a folder that may not exist yet
            found.append(before_value + os.path.abspath(os.path.expanduser(value)))
        else:
            found.append(from_here(word))
    return found


def benchmark_from_here(text: str) -> str:
    """Return a value of `--on` with absolute paths of its config and its data.

    Raises:
        UsageError: for an unknown benchmark, or a config that cannot be read.
    """
    from ..experiments.benchmark_choice import read_on

    (choice,) = read_on([text])
    name = choice.config
    if name.endswith((".yaml", ".yml")):
        name = from_here(name)
    root = choice.arguments.get("root", "")
    return f"{name}={os.path.abspath(os.path.expanduser(root))}" if root else name


def from_here(word: str) -> str:
    """Return a word with an absolute path, if its path, alone or after `=`, exists here; any other word as it is.

    A word of digits alone is a number.
    """
    start, equals, path = word.rpartition("=")
    is_number = path.replace(".", "").isdecimal()
    if path and not is_number and not path.startswith("-") and os.path.exists(path):
        return f"{start}{equals}{os.path.abspath(path)}"
    return word


def find_run(name: str | None) -> Path:
    """Find the folder of a training.

    Args:
        name: a folder of a run; a folder, for the newest run below it that has a checkpoint; the name of a run below
            `runs`, such as `version_41`; None, for the newest below `runs` that has one.

    Raises:
        ValueError: if there is none, or several have the name.
    """
    from ..experiments.runs import FILE, ROOT, runs_below

    path = Path(ROOT if name is None else name).expanduser()
    if (path / FILE).is_file() and name is not None:
        return path.resolve()
    root = path if path.is_dir() else ROOT
    trainings = {folder: run for folder, run in runs_below(root).items() if run.words[0] == "fit"}
    if path.is_dir():
        for folder, run in reversed(trainings.items()):
            if run.last_checkpoint(folder) is not None:
                return folder
        begun = f" ({', '.join(map(str, trainings))} begin again by name)" if trainings else ""
        raise ValueError(f"{path}: holds no training with a checkpoint{begun}: name the folder of a run")
    return training_of_name(path, trainings)


def training_of_name(name: Path, trainings: Iterable[Path]) -> Path:
    """Return the training whose folder ends with a name.

    Raises:
        ValueError: if there is none, or several.
    """
    from ..experiments.runs import ROOT

    named = [folder for folder in trainings if folder.parts[-len(name.parts) :] == name.parts]
    if len(named) != 1:
        others = f"; there are {', '.join(map(str, named))}" if named else ""
        raise ValueError(f"{name}: is neither the folder of a run nor the name of one run below {ROOT}{others}")
    return named[0]
