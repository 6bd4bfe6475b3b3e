"""The classes that a command line names by files and flags, the arguments it gives them, and those that they take."""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

SECTIONS = ("model", "data", "trainer", "trainer.callbacks")


@dataclass
class ClassChoice:
    """A class that a file or a flag names, with the arguments that files and flags give it.

    Attributes:
        section: one of `SECTIONS`.
        name: of the class, as it was given.
        arguments: name → value; a string where a flag gave it.
        end: number of words up to and with the one that names it.
        sources: name of an argument → "FILE: " where a file gave it, else empty.
    """

    section: str
    name: str
    end: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def named_classes(words: Sequence[str], model: str | None = None) -> Iterator[ClassChoice]:
    """Collect the classes that files and flags name, in their order, each with its arguments."""
    current = {"trainer": ClassChoice("trainer", "pytorch_lightning.Trainer")}
    if model is not None:
        current["model"] = ClassChoice("model", model)
    done: list[ClassChoice] = []

    def choose(section: str, name: str, end: int) -> None:
        if section == "trainer.callbacks" and section in current:
            done.append(current[section])
        current[section] = ClassChoice(section, name, end)

    def give(section: str, arguments: Mapping[str, Any], source: str = "") -> None:
        if section in current:
            current[section].arguments |= arguments
            current[section].sources |= dict.fromkeys(arguments, source)

    for flag, value, end in _flags(words):
        if flag == "config":
            for section, name, arguments in _classes_of(value):
                if name is not None:
                    choose(section, name, end)
                give(section, arguments, f"{value}: ")
        elif flag in SECTIONS:
            choose(flag, value, end)
        else:
            section = max((each for each in SECTIONS if flag.startswith(f"{each}.")), key=len, default="")
            name = flag.removeprefix(f"{section}.").removeprefix("init_args.")
            if section and "." not in name and name not in ("class_path", "help"):
                give(section, {name: value})
    yield from (*done, *current.values())


def with_callback_flags_in_place(words: Sequence[str]) -> list[str]:
    """Return the words with each `--trainer.callbacks.NAME` right behind a callback that has such an argument.

    The parser gives such a flag to the callback named last, whichever that is, so that a file of callbacks behind a
    benchmark's would take the benchmark's flags away. Here it goes to the last callback before the flag that has the
    argument, else to the first one after it; of a file, to the last callback that the file names. A flag that no
    callback takes stays where it is, and is refused by the parser.
    """
    last_at = {choice.end: choice for choice in named_classes(words) if choice.section == "trainer.callbacks"}
    taken = {
        end: parameters_of(kind)
        for end, choice in last_at.items()
        if (kind := class_named(choice.name, choice.section)) is not None
    }
    moved: dict[int, list[str]] = {}
    left_out: set[int] = set()
    for name, _, end in _flags(words):
        argument = name.removeprefix("trainer.callbacks.").removeprefix("init_args.").partition(".")[0]
        places = [place for place in taken if argument in taken[place]]
        if name.startswith("trainer.callbacks.") and places:
            start = end - 1 if words[end - 1].startswith("--") else end - 2
            place = max((place for place in places if place < end), default=min(places))
            moved.setdefault(place, []).extend(words[start:end])
            left_out |= set(range(start, end))
    return [
        word
        for place in range(len(words) + 1)
        for word in (*moved.get(place, ()), *(words[place : place + 1] if place not in left_out else ()))
    ]


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


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Yield name, value and number of words up to the value of each flag that has one; `+` (append) is left out."""
    for number, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, given, value = word.removeprefix("--").partition("=")
        if not given:
            following = words[number + 1] if number + 1 < len(words) else "--"
            if following.startswith("--"):
                continue
            value = following
        yield name.removesuffix("+"), value, number + (1 if given else 2)


def _classes_of(config: str) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield (section, class, arguments) of a config; nothing where it has another form."""
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(Path(config).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return
    content = content if isinstance(content, dict) else {}
    trainer = content.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    entries = [(section, content.get(section)) for section in ("model", "data")]
    for key in ("callbacks", "callbacks+"):
        listed = trainer.get(key) or []
        entries += [("trainer.callbacks", entry) for entry in (listed if isinstance(listed, list) else [listed])]
    for section, entry in entries:
        if isinstance(entry, dict):
            yield section, entry.get("class_path"), dict(entry.get("init_args") or {})
    yield "trainer", None, {key: value for key, value in trainer.items() if not key.startswith("callbacks")}
