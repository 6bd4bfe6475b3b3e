"""Resume a stopped training from its last checkpoint, by the words of its command and further words."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

USAGE = "vidcorr resume [RUN] [further words of vidcorr fit, such as --trainer.max_epochs 200]"
SHORT_CONFIG = re.compile("^-c=?")
"""Beginning of `-cFILE`."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr resume` with its arguments.

    Raises:
        ValueError, OSError: for a user's mistake, or a run whose words name code that the user has not allowed.
    """
    parser = argparse.ArgumentParser(prog="vidcorr resume", usage=USAGE, description=__doc__)
    named = "folder of a run, or its name below runs (default: the newest run below runs)"
    parser.add_argument("run", nargs="?", metavar="RUN", help=named)
    first = list(args[:1])
    has_name = bool(first) and (first[0] in ("-h", "--help") or not first[0].startswith("-"))
    name = parser.parse_args(first if has_name else []).run
    more = list(args[has_name:])

    from ..backbones.trust import allow_named, refuse_names
    from ..experiments.runs import FILE, Run, find_run

    folder = find_run(name)
    run = Run.read(folder)
    home = Path(run.folder) if Path(run.folder).is_dir() else Path.cwd()  # the project may have moved
    sys.path.append(str(home))  # finds the run's own modules; at the end, to hide no other module
    allow_named(more)
    with chdir(home):
        texts = list(texts_of(run.words))
    refuse_names(texts, folder / FILE)  # in the user's folder: the run's is not trusted for what the file says
    if list(run.words[-len(more) :]) == more:
        more = []  # given again
    sys.argv = [os.path.abspath(sys.argv[0]), "resume", str(folder), *args[has_name:]]  # Lightning starts ranks by it
    with chdir(home):
        from cli import VidcorrCLI

        VidcorrCLI(run.words, folder, more)


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts in words or in a config: values of flags, values in YAML, and those of configs that they name."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)
    elif isinstance(value, str):
        text = SHORT_CONFIG.sub("", value)
        if text.startswith("--"):
            text = text.partition("=")[2]
        yield text
        yield from texts_of(_structure(text))
        yield from texts_of(_structure(_content_of(text)))


def _content_of(name: str) -> str:
    """Return the text of a file that a config may be in; "" if there is none."""
    from ..errors import UsageError
    from ..experiments.config_files import find_config

    try:
        path = find_config(name)
        with path.open("rb") as file:
            is_text = b"\0" not in file.read(1000)
        return path.read_text("utf-8") if is_text else ""
    except (UsageError, OSError, ValueError):
        return ""


def _structure(text: str) -> Any:
    """Return the mapping or list that a text holds in YAML; None for any other text."""
    from jsonargparse import get_loader
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        content = get_loader("yaml")(text)
    except (YAMLError, ValueError):  # the parser of the command line refuses it too
        return None
    return content if isinstance(content, dict | list) else None
