"""The defaults of public classes and functions, and the flags of the commands, as texts."""

import functools
import importlib
import inspect
import json
import pkgutil
from argparse import Action, ArgumentParser
from pathlib import Path
from unittest.mock import patch

from vidcorr.commands import RUNS, tools
from vidcorr.experiments.benchmark_choice import add_run_flags

FILE = Path(__file__).with_name("defaults.json")
SHELL = ("lightning_modules", "datamodules", "callbacks")
"""Packages whose every public class counts: a config may name it."""
LIBRARY = (
    "vidcorr",
    "vidcorr.protocols",
    "vidcorr.functional",
    "vidcorr.functional.points.matching",
    "vidcorr.metrics",
    "vidcorr.backbones",
)


def modules_below(package: str) -> list[str]:
    """Return the names of all modules of a package."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    return [package, *(module.name for module in found)]


def defaults() -> dict[str, dict[str, str]]:
    """Return `module.name` → argument → default, of what has any default but None."""
    known = {}
    for module in [*(name for package in SHELL for name in modules_below(package)), *LIBRARY]:
        content = importlib.import_module(module)
        for name in getattr(content, "__all__", vars(content)):
            value = getattr(content, name)
            is_public = not name.startswith("_") and getattr(value, "__module__", module) == module
            if callable(value) and (is_public or module in LIBRARY) and not inspect.ismodule(value):
                known[f"{value.__module__}.{name}"] = arguments_of(value)
    return {name: known[name] for name in sorted(known) if known[name]}


def arguments_of(value: object) -> dict[str, str]:
    """Return the arguments of a class or function that have a default other than None, with it; of our own code."""
    if inspect.isclass(value) and getattr(value.__init__, "__module__", "").partition(".")[0] not in (
        *SHELL,
        "vidcorr",
    ):
        return {}
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return {}
    given = {each.name: each.default for each in parameters if each.default not in (None, inspect.Parameter.empty)}
    return {name: default.__name__ if inspect.isroutine(default) else repr(default) for name, default in given.items()}


class Reached(Exception):
    """The parser of a command, which is about to read its words."""


@functools.cache
def parsers() -> dict[str, ArgumentParser]:
    """Return command → its parser."""
    found = {}
    for command in RUNS:
        found[command] = ArgumentParser(prog=f"vidcorr {command}", description=RUNS[command])
        add_run_flags(found[command])
    for command, file in tools().items():
        with patch.object(ArgumentParser, "parse_args", autospec=True, side_effect=Reached) as parse:
            try:
                importlib.import_module(f"vidcorr.commands.{file.stem}").command([])
            except Reached:
                found[command] = parse.call_args.args[0]
    return found


def flags(parser: ArgumentParser) -> dict[str, str]:
    """Return argument → all that its parser knows of it, but for the help's text."""
    known = {"usage": str(parser.usage), "allow_abbrev": str(parser.allow_abbrev)}
    for action in parser._actions[1:]:  # but --help
        known[" ".join(action.option_strings) or action.dest] = described(action)
    for group in parser._mutually_exclusive_groups:
        names = " | ".join(action.dest for action in group._group_actions)
        known[names] = f"required={group.required}"
    return known


def described(action: Action) -> str:
    """Return class and fields of a flag, and "no help" if its text is missing."""
    words = [type(action).__name__.strip("_")]
    for name in ("dest", "nargs", "const", "default", "choices", "metavar", "required"):
        value = getattr(action, name)
        if value is not None:
            words.append(f"{name}={value!r}")
    words.append(getattr(action.type, "__name__", "str"))
    return ", ".join(words if action.help else [*words, "no help"])


def commands() -> dict[str, dict[str, str]]:
    """Return `vidcorr COMMAND` → `flags` of its parser."""
    return {parser.prog: flags(parser) for parser in parsers().values()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(defaults() | commands(), indent=1) + "\n")
