"""Resume a stopped training from its last checkpoint, by the words of its command and further words."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

USAGE = "vidcorr resume [RUN] [further words of vidcorr fit, such as --trainer.max_epochs 200]"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr resume` with its arguments.

    Raises:
        ValueError, OSError: for a user's mistake, such as a run that has no folder.
    """
    parser = argparse.ArgumentParser(prog="vidcorr resume", usage=USAGE, description=__doc__)
    named = "folder of a run, or its name below runs (default: the newest run below runs)"
    parser.add_argument("run", nargs="?", metavar="RUN", help=named)
    first = list(args[:1])
    asks_for_help = first in (["-h"], ["--help"])
    names_run = bool(first) and not first[0].startswith("-")
    own_words = first if names_run or asks_for_help else []
    words_of_fit = args[len(own_words) :]
    name = parser.parse_args(own_words).run

    from ..experiments.runs import Record

    folder = find_run(name)
    run = Record.read(folder)
    home = Path(run.folder) if Path(run.folder).is_dir() else Path.cwd()  # the project may have moved
    further = words_from_here(words_of_fit)
    is_repeated = list(run.words[-len(further) :]) == further  # the same command again: the run's words end with them
    sys.argv = [os.path.abspath(sys.argv[0]), "resume", str(folder), *further]  # Lightning starts ranks by it
    from ..cli import VidcorrCLI

    with chdir(home):
        sys.path.append(str(home))  # finds the run's own modules; at the end, to hide no other module
        VidcorrCLI(run.words, folder, [] if is_repeated else further)


def words_from_here(words: Sequence[str]) -> list[str]:
    """Return words of `fit` with absolute paths, because they are parsed in the folder in which the run began.

    A benchmark of `--on` gets the folder of its data, which its config may name by a path from here.

    Raises:
        UsageError: for an unknown benchmark, or a config that cannot be read.
    """
    from ..experiments.benchmark_choice import read_on

    found = []
    flag = ""
    for word in words:
        start, value = "", word
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            start = flag + equals
        if flag == "--on" and value:
            (choice,) = read_on([value])
            name = choice.config
            if name.endswith((".yaml", ".yml")):
                name = from_here(name)
            root = choice.arguments.get("root", "")
            folder = f"={os.path.abspath(os.path.expanduser(root))}" if root else ""
            found.append(f"{start}{name}{folder}")
        else:
            found.append(from_here(word))
    return found


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
        name: a folder of a run; a folder, for the newest run below it; the name of a run below `runs`, such as
            `version_41`; None, for the newest run below `runs`.

    Raises:
        ValueError: if there is none, or several have the name.
    """
    from ..experiments.runs import FILE, ROOT, runs_below

    path = Path(ROOT if name is None else name).expanduser()
    if (path / FILE).is_file() and name is not None:
        return path.resolve()
    root = path if path.is_dir() else ROOT
    trainings = [folder for folder, run in runs_below([root]).items() if run.words[0] == "fit"]
    if path.is_dir():
        if not trainings:
            raise ValueError(f"{path}: holds no training with a {FILE}: name the folder of a run")
        return trainings[-1]  # the newest
    named = [folder for folder in trainings if folder.parts[-len(path.parts) :] == path.parts]
    if len(named) != 1:
        others = f"; there are {', '.join(map(str, named))}" if named else ""
        raise ValueError(f"{path}: is neither the folder of a run nor the name of one run below {ROOT}{others}")
    return named[0]
