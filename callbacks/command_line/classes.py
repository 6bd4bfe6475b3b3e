"""The classes that a command line names by files and flags, the arguments it gives them, and those that they take."""

import inspect
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from .arguments import SECTIONS, Argument


@dataclass
class ClassChoice:
    """A class that a file or a flag names, with the arguments that files and flags give it.

    Attributes:
        section: one of `SECTIONS`.
        name: name of the class, as it was given.
        arguments: name → value; a string where a flag gave it.
        index: position of the argument that names it.
        sources: name of an argument → "FILE: " where a file gave it, else empty.
    """

    section: str
    name: str
    index: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def named_classes(arguments: Sequence[Argument], model: str | None = None) -> list[ClassChoice]:
    """Collect the classes that files and flags name, in their order, each with its arguments.

    Args:
        arguments: of the command line.
        model: the model where none is named.
    """
    choices = [ClassChoice("trainer", "pytorch_lightning.Trainer")]
    choices += [ClassChoice("model", model)] if model is not None else []
    for index, argument in enumerate(arguments):
        for section, name, given, source in _given_by(argument):
            if name is not None:
                kept = [choice for choice in choices if choice.section != section or section == "trainer.callbacks"]
                choices = [*kept, ClassChoice(section, name, index)]
            for choice in [choice for choice in choices if choice.section == section][-1:]:
                choice.arguments |= given
                choice.sources |= dict.fromkeys(given, source)
    return choices


def _given_by(argument: Argument) -> Iterator[tuple[str, str | None, dict[str, Any], str]]:
    """Yield what a file or a flag gives: section, class (None: the one named before), arguments, and the source."""
    flag = argument.flag.removeprefix("--").removesuffix("+")
    if argument.content:
        content, source = argument.content, f"{argument.value}: " if flag == "config" else ""
        trainer = content.get("trainer")
        trainer = trainer if isinstance(trainer, dict) else {}
        entries = [(section, content.get(section)) for section in ("model", "data")]
        for key in ("callbacks", "callbacks+"):
            listed = trainer.get(key) or []
            entries += [("trainer.callbacks", entry) for entry in (listed if isinstance(listed, list) else [listed])]
        for section, entry in entries:
            if isinstance(entry, dict):
                yield section, entry.get("class_path"), dict(entry.get("init_args") or {}), source
        yield "trainer", None, {key: trainer[key] for key in trainer if not key.startswith("callbacks")}, source
    elif argument.value is not None and flag in SECTIONS:
        yield flag, argument.value, {}, ""
    elif argument.value is not None:
        section = max((each for each in SECTIONS if flag.startswith(f"{each}.")), key=len, default="")
        name = flag.removeprefix(f"{section}.").removeprefix("init_args.")
        if section and "." not in name and name not in ("class_path", "help"):
            yield section, None, {name: argument.value}, ""


def with_callback_flags_in_place(arguments: Sequence[Argument]) -> list[Argument]:
    """Return the arguments with each `--trainer.callbacks.NAME` right behind a callback that has such an argument.

    The parser gives such a flag to the callback named last, whichever that is, so that a file of callbacks behind a
    benchmark's would take the benchmark's flags away. Here it goes to the last callback before the flag that has the
    argument, else to the first one after it; of a file, to the last callback that the file names. A flag that no
    callback takes stays where it is, and is refused by the parser.
    """
    last_at = {choice.index: choice for choice in named_classes(arguments) if choice.section == "trainer.callbacks"}
    taken = {
        index: parameters_of(kind)
        for index, choice in last_at.items()
        if (kind := class_named(choice.name, choice.section)) is not None
    }

    def position(index: int) -> float:
        before, _, name = arguments[index].flag.rpartition("--trainer.callbacks.")
        argument = name.removesuffix("+").removeprefix("init_args.").partition(".")[0]
        takers = [taker for taker in taken if argument in taken[taker]]
        if before or not name or not takers:
            return index
        return max((taker for taker in takers if taker < index), default=min(takers)) + 0.5

    return [arguments[index] for index in sorted(range(len(arguments)), key=position)]


def known_classes(section: str) -> list[type]:
    """Return the classes that a section may name, those of Lightning and of this project included."""
    from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

    if section == "trainer":
        return [Trainer]
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
