"""One line for a command line that cannot be understood, from the signatures of the classes that it names."""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union

PLAIN = (bool, int, float, str, NoneType)
SECTIONS = ("model", "data", "trainer", "trainer.callbacks")


class UsageError(Exception):
    """A command line that cannot be understood."""


@dataclass
class Choice:
    """A class that a file or a flag names, with the arguments that files and flags give it.

    Attributes:
        section: one of `SECTIONS`.
        name: of the class, as it was given.
        arguments: name → value; a string where a flag gave it.
        sources: name of an argument → "FILE: " where a file gave it, else empty.
    """

    section: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def explain(words: Sequence[str], message: str, options: Sequence[str], model: str | None = None) -> str:
    """Say in one line why a command line was refused.

    The classes that the words name are looked up; the first unknown class, unknown or missing argument, or value that
    does not fit its argument's type is named with what was expected. Everything else stays as the parser said it.

    Args:
        words: of the command line; a `--config` is followed by an existing file.
        message: of the parser.
        options: that the parser knows, such as `--trainer.max_epochs`.
        model: class of the checkpoint that `--ckpt_path` names, for flags that change its arguments.
    """
    choices = list(named_classes(words, model))
    for choice in choices:
        if mistake := _mistake_in(choice):
            return mistake
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    for flag in flags:
        if flag.rstrip("+") not in options and not any(flag.startswith(f"--{section}.") for section in SECTIONS):
            return f"there is no option {flag}" + _near(flag, options)
    if not any(choice.section == "model" for choice in choices) and "--ckpt_path" not in flags:
        return "give --model, a --config with a model, or --ckpt_path FILE"
    return " ".join(message.split())


def named_classes(words: Sequence[str], model: str | None = None) -> Iterator[Choice]:
    """Collect the classes that files and flags name, in their order, each with its arguments."""
    current = {"trainer": Choice("trainer", "pytorch_lightning.Trainer")}
    if model is not None:
        current["model"] = Choice("model", model)
    done: list[Choice] = []

    def choose(section: str, name: str) -> None:
        if section == "trainer.callbacks" and section in current:
            done.append(current[section])
        current[section] = Choice(section, name)

    def give(section: str, arguments: Mapping[str, Any], source: str = "") -> None:
        if section in current:
            current[section].arguments |= arguments
            current[section].sources |= dict.fromkeys(arguments, source)

    for flag, value in _flags(words):
        if flag == "config":
            for section, name, arguments in _classes_of(value):
                if name is not None:
                    choose(section, name)
                give(section, arguments, f"{value}: ")
        elif flag in SECTIONS:
            choose(flag, value)
        else:
            section = max((each for each in SECTIONS if flag.startswith(f"{each}.")), key=len, default="")
            name = flag.removeprefix(f"{section}.").removeprefix("init_args.")
            if section and "." not in name and name not in ("class_path", "help"):
                give(section, {name: value})
    yield from (*done, *current.values())


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each flag that has a value; `+` of an appended list is left out."""
    for number, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, given, value = word.removeprefix("--").partition("=")
        if not given:
            following = words[number + 1] if number + 1 < len(words) else "--"
            if following.startswith("--"):
                continue
            value = following
        yield name.removesuffix("+"), value


def _classes_of(config: str) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield (section, class, arguments) of a config; nothing where it is no YAML of that form."""
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


def _mistake_in(choice: Choice) -> str | None:
    kind = _class_named(choice.name, choice.section)
    if kind is None:
        known = [each.__name__ for each in _known_classes(choice.section)]
        return f"{choice.section}: there is no class {choice.name!r}" + _near(choice.name.rpartition(".")[2], known)
    parameters = _parameters(kind)
    for name, value in choice.arguments.items():
        source = choice.sources[name]
        if name.removesuffix("+") not in parameters:
            near = _near(name, list(parameters))
            return f"{source}{choice.section}: {kind.__name__} has no argument {name!r}{near}"
        expected = parameters[name.removesuffix("+")]
        if _is_plain(expected.annotation) and not _fits(value, expected.annotation):
            return f"{source}{choice.section}.{name}: expected {_described(expected.annotation)}, got {value!r}"
    missing = [
        name
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty and name not in choice.arguments
    ]
    if missing and choice.section != "trainer":
        return f"{choice.section}: {kind.__name__} needs {' and '.join(missing)}"
    return None


def _known_classes(section: str) -> list[type]:
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


def _class_named(name: str, section: str) -> type | None:
    module, _, last = name.rpartition(".")
    if not module:
        return next((kind for kind in _known_classes(section) if kind.__name__ == last), None)
    try:
        found = getattr(import_module(module), last, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
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


def _is_plain(annotation: Any) -> bool:
    """Tell whether a type consists of numbers, texts, choices and paths only, so that a value can be judged by it."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return True
    if origin in (Union, UnionType, list, tuple, dict):
        return all(part is ... or _is_plain(part) for part in typing.get_args(annotation))
    return annotation in (*PLAIN, Path)


def _fits(value: Any, annotation: Any) -> bool:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        if isinstance(value, str):
            parser.parse_args([f"--value={value}"])
        else:
            parser.parse_object({"value": value})
    except Exception:  # whatever the parser finds wrong with it
        return False
    return True


def _described(annotation: Any) -> str:
    """Describe a type in words: `bool or 'whole'`, `int or null`."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin in (Union, UnionType):
        return " or ".join(map(_described, parts))
    if origin is not None:
        return f"{origin.__name__} of {', '.join('…' if part is ... else _described(part) for part in parts)}"
    return {NoneType: "null", Path: "path"}.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""
