"""The defaults of public classes and functions, what classes of values allow, and flags of commands, as texts."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader

from vidcorr.commands import COMMANDS, RUNS

FILE = Path(__file__).with_name("defaults.json")
SHELL = ("vidcorr.lightning_modules", "vidcorr.datamodules", "vidcorr.callbacks")
"""Packages whose every public class counts: a config may name it."""
LIBRARY = (
    "vidcorr",
    "vidcorr.protocols",
    "vidcorr.functional",
    "vidcorr.functional.points.matching",
    "vidcorr.metrics",
    "vidcorr.backbones",
)
FOREIGN = (BaseException, DataLoader, Tensor)
"""Classes of others; those below them take their arguments."""


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


def arguments_of(value: Any) -> dict[str, str]:
    """Return the arguments of a class or function that have a default other than None, with it."""
    if inspect.isclass(value) and issubclass(value, FOREIGN):
        return {}
    parameters = inspect.signature(value).parameters.values()
    given = {each.name: each.default for each in parameters if each.default not in (None, inspect.Parameter.empty)}
    return {name: default.__name__ if inspect.isroutine(default) else repr(default) for name, default in given.items()}


def values() -> dict[str, dict[str, str]]:
    """Return `class module.name` → settings, of the classes of values that are not frozen or not compared by fields."""
    known = {}
    for module in [name for package in (*SHELL, "vidcorr") for name in modules_below(package)]:
        for name, kind in vars(importlib.import_module(module)).items():
            if not inspect.isclass(kind) or kind.__module__ != module:
                continue
            if dataclasses.is_dataclass(kind):
                settings = kind.__dataclass_params__
                known[f"class {module}.{name}"] = {"frozen": str(settings.frozen), "eq": str(settings.eq)}
            elif issubclass(kind, BaseModel):
                frozen = str(kind.model_config.get("frozen", False))
                known[f"class {module}.{name}"] = {"frozen": frozen, "eq": "True"}
    return {name: known[name] for name in sorted(known) if "False" in known[name].values()}


def parsers() -> dict[str, ArgumentParser]:
    """Return command → its parser."""
    in_order = sorted(COMMANDS, key=lambda command: (command.name not in RUNS, command.name))
    return {command.name: command.parser() for command in in_order}


def flags(parser: ArgumentParser) -> dict[str, str]:
    """Return argument → number of values, default, choices, whether it is required."""
    known = {}
    for action in parser._actions[1:]:  # but --help
        name = " ".join(action.option_strings) or action.dest
        known[name] = f"{action.nargs}, {action.default!r}, {action.choices}, {action.required}"
    return known


def commands() -> dict[str, dict[str, str]]:
    """Return `vidcorr COMMAND` → `flags` of its parser."""
    return {parser.prog: flags(parser) for parser in parsers().values()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(defaults() | values() | commands(), indent=1) + "\n")
