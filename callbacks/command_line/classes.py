"""The classes that a command line may name, and the arguments that they take."""

import inspect
import typing
from importlib import import_module
from typing import Any


def known_classes(section: str) -> list[type]:
    """Return the classes that a section may name, those of Lightning and of this project included."""
    from pytorch_lightning import Callback, LightningDataModule, LightningModule

    waiting: list[type] = [{"model": LightningModule, "data": LightningDataModule}.get(section, Callback)]
    found = []
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def class_named(name: str, section: str) -> type | None:
    """Return the class that a section of the command line names, by its path or its own name; None if there is none."""
    module, _, last = name.rpartition(".")
    if not module:
        return next((kind for kind in known_classes(section) if kind.__name__ == last), None)
    try:
        found = getattr(import_module(module), last, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None


def parameters_of(kind: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class, those that its `**kwargs` hand to its bases included."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        constructor = inspect.unwrap(base.__init__)  # type: ignore[misc]
        try:
            hints = typing.get_type_hints(constructor)
        except (NameError, TypeError):
            hints = {}
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        for each in named:
            found.setdefault(each.name, each.replace(annotation=hints.get(each.name, Any)))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found
