"""The arguments of a command line: each flag with its value, each config with its content, in an order that parses."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.backbones.short_names import SHORT_NAMES, read_spec

from .classes import class_named, parameters_of
from .configs import find_config

SECTIONS = ("model", "data", "trainer", "trainer.callbacks")
"""Parts of the configuration in which classes are named."""


@dataclass(frozen=True)
class Argument:
    """One argument of a command line.

    Attributes:
        flag: with its dashes; an argument that is no flag, such as the command, stands here alone.
        value: as text; None: the flag has none.
        content: configuration of a `--config`, or of a section that is given as YAML or by a file, such as
            `--trainer.callbacks+ '{class_path: …}'`; empty where it cannot be read, which the parser reports.
    """

    flag: str
    value: str | None = None
    content: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.flag if self.value is None else f"{self.flag}={self.value}"


@dataclass
class Choice:
    """A class that a command line names, with the arguments that files and flags give it.

    Attributes:
        section: one of `SECTIONS`; empty for the options of the command itself, such as `ckpt_path`.
        name: name of the class, as it was given.
        arguments: name → value; a string where a flag gave it.
    """

    section: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


def read_arguments(args: Sequence[str]) -> list[Argument]:
    """Read a command line; an argument behind a flag is its value unless it begins with two dashes.

    A config is named by its path. What `compare` takes as a backbone (`dino-b8`, `torchvision:resnet18`, a checkpoint,
    each with `@STAGE/STRIDE`) becomes `FrozenEncoder` and its arguments: flags behind it override these.

    Raises:
        UsageError: for a config that does not exist.
    """
    found: list[Argument] = []
    left = ["--config" if arg == "-c" else arg for arg in reversed(args)]
    while left:
        arg = left.pop()
        flag, given, value = arg.partition("=")
        if not arg.startswith("--"):
            found.append(Argument(arg))
        elif given:
            found += _arguments(flag, value)
        else:
            found += _arguments(flag, left.pop() if left and not left[-1].startswith("--") else None)
    return found


def _arguments(flag: str, value: str | None) -> list[Argument]:
    section = flag.removeprefix("--").removesuffix("+")
    if flag == "--config" and value:
        path = value if _is_yaml(value) else str(find_config(value))
        content = _content(path)
        return [Argument(flag, path, content if isinstance(content, dict) else {})]
    if section in SECTIONS and value and (_is_yaml(value) or value.endswith((".yaml", ".yml", ".json"))):
        content = _content(value)
        for key in reversed(section.split(".")):
            content = {key: content}
        return [Argument(flag, value, content)]
    if flag == "--model" and value and _is_spec(value.partition("@")[0]):
        return [Argument("--model", "FrozenEncoder")] + [
            Argument(f"--model.{name}", str(given)) for name, given in read_spec(value).items() if given is not None
        ]
    return [Argument(flag, value)]


def _is_spec(name: str) -> bool:
    """Return whether a name is a backbone's, and not a class's."""
    is_file = "." in name and Path(name).is_file()
    return name in SHORT_NAMES or name == "raw_colour" or ":" in name or is_file


def _is_yaml(value: str) -> bool:
    """Return whether a value is YAML itself, and not the name of a file or a class."""
    return "\n" in value or ": " in value or value.startswith(("{", "["))


def _content(value: str) -> Any:
    """Return the content of YAML or of a file; None where it cannot be read."""
    try:
        return yaml.safe_load(value if _is_yaml(value) else Path(value).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _given_by(argument: Argument) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield what a file or a flag gives: section, class (None: the one named before) and arguments."""
    flag, content = argument.flag.removeprefix("--").removesuffix("+"), argument.content
    if content:
        trainer = content.get("trainer")
        trainer = trainer if isinstance(trainer, dict) else {}
        entries = [(section, content.get(section)) for section in ("model", "data")]
        for key in ("callbacks", "callbacks+"):
            listed = trainer.get(key) or []
            entries += [("trainer.callbacks", entry) for entry in (listed if isinstance(listed, list) else [listed])]
        for section, entry in entries:
            if isinstance(entry, dict):
                yield section, entry.get("class_path"), dict(entry.get("init_args") or {})
        yield "trainer", None, {key: trainer[key] for key in trainer if not key.startswith("callbacks")}
        yield "", None, {key: content[key] for key in content if key not in SECTIONS}
    elif argument.value is not None and flag in SECTIONS:
        yield flag, argument.value, {}
    elif argument.value is not None:
        section, name = _section_and_name(argument)
        if name and "." not in name and name not in ("class_path", "help"):
            yield section, None, {name: None if argument.value == "null" else argument.value}


def _section_and_name(argument: Argument) -> tuple[str, str]:
    """Return the section that a flag belongs to, and the name of the argument in it."""
    flag = argument.flag.removeprefix("--").removesuffix("+")
    section = max((each for each in SECTIONS if flag.startswith(f"{each}.")), key=len, default="")
    return section, flag.removeprefix(f"{section}.").removeprefix("init_args.")


def choices_of(arguments: Sequence[Argument], model: str | None = None) -> list[Choice]:
    """Collect the classes that files and flags name, each with its arguments.

    Args:
        arguments: of the command line.
        model: class of the model where none is named.

    Returns:
        The options of the command itself, the Trainer, and then the classes in the order in which they are named.
    """
    choices = [Choice("", ""), Choice("trainer", "callbacks.command_line.trainer.Trainer")]
    choices += [Choice("model", model)] if model is not None else []
    for argument in arguments:
        for section, name, given in _given_by(argument):
            if name is not None:
                choices = [each for each in choices if each.section != section or section == "trainer.callbacks"]
                choices.append(Choice(section, name))
            for choice in [choice for choice in choices if choice.section == section][-1:]:
                choice.arguments |= given
    return choices


def with_flags_in_place(arguments: Sequence[Argument]) -> list[Argument]:
    """Return the arguments with each flag of a class behind the file or flag that names the class.

    The parser refuses `--data.frames 4` before the class is named, and gives `--trainer.callbacks.NAME` to the callback
    named last, whichever that is. Here it goes to the last callback before the flag that has such an argument, else to
    the first one after it; of a file, to the last callback that the file names. A flag that no class takes stays.
    """
    named: dict[str, dict[int, Collection[str]]] = defaultdict(dict)
    for index, argument in enumerate(arguments):
        for section, name, _ in _given_by(argument):
            if name is not None:
                kind = class_named(name, section)
                named[section][index] = parameters_of(kind) if kind is not None else ()

    def position(index: int) -> float:
        section, name = _section_and_name(arguments[index])
        callbacks = section == "trainer.callbacks"
        parameter = name.partition(".")[0]
        takers = [at for at, parameters in named[section].items() if not callbacks or parameter in parameters]
        before = [taker for taker in takers if taker < index]
        if not section or not takers or (before and not callbacks):
            return index
        return (max(before) if before else min(takers)) + 0.5

    return [arguments[index] for index in sorted(range(len(arguments)), key=position)]


def with_one_seed(arguments: Sequence[Argument]) -> list[Argument]:
    """Return the arguments with `--seed_everything N` given to the data and the model too, unless they set a seed."""
    options, *choices = choices_of(arguments)
    seed = str(options.arguments.get("seed_everything"))
    added = [
        Argument(f"--{choice.section}.seed", seed)
        for choice in choices
        if choice.section in ("model", "data")
        and "seed" not in choice.arguments
        and (kind := class_named(choice.name, choice.section)) is not None
        and "seed" in parameters_of(kind)
    ]
    return [*arguments, *(added if seed.isdecimal() else ())]
