"""The classes that a command line may name, and the arguments that they take."""

import inspect
from importlib import import_module

HOMES = ("lightning_modules", "datamodules", "callbacks", "pytorch_lightning.callbacks")
"""Packages whose public classes a command line may name without their path."""


def class_named(name: str) -> type | None:
    """Return the class of a path or, for one of `HOMES`, of its bare name; None if there is none."""
    path, _, last = name.rpartition(".")
    for home in [path] if path else HOMES:
        try:
            found = getattr(import_module(home), last, None)
        except ImportError:
            continue
        if isinstance(found, type):
            return found
    return None


def parameters_of(kind: type | None) -> set[str]:
    """Return the names of a class's arguments, those that its `**kwargs` hand to its bases included."""
    found: set[str] = set()
    for base in kind.__mro__ if kind else ():
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        found |= {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found
