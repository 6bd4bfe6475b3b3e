"""The defaults of public classes and functions, as texts."""

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

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


if __name__ == "__main__":
    FILE.write_text(json.dumps(defaults(), indent=1) + "\n")
