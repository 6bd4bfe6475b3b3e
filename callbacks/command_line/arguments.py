"""The arguments of a command line, read once: each flag with its value, each config with its content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.backbones.short_names import SHORT_NAMES

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
    content: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.flag if self.value is None else f"{self.flag}={self.value}"


def read_arguments(args: Sequence[str]) -> list[Argument]:
    """Read a command line; an argument behind a flag is its value unless it begins with two dashes.

    A config is named by its path, a short name of a model becomes `FrozenEncoder` and its arguments: flags behind it
    override these, so that `--model dino-b8 --model.stage block9` takes another stage.

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
    if flag == "--model" and (network := SHORT_NAMES.get(value or "")):
        given = {"": "FrozenEncoder", ".spec": network.spec, ".pretrained": "true", ".stage": network.stage}
        return [Argument(flag + name, text) for name, text in given.items()]
    return [Argument(flag, value)]


def _is_yaml(value: str) -> bool:
    """Return whether a value is YAML itself, and not the name of a file or a class."""
    return "\n" in value or ": " in value or value.startswith(("{", "["))


def _content(value: str) -> Any:
    """Return the content of YAML or of a file; None where it cannot be read."""
    try:
        return yaml.safe_load(value if _is_yaml(value) else Path(value).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None


def option_of(arguments: Sequence[Argument], name: str) -> Any:
    """Return the value of an option of the run such as `ckpt_path`, as the last flag or file that sets it says.

    Args:
        arguments: of the command line.
        name: name of the option, without dashes.

    Returns:
        None where nothing sets it, or where it is set to null.
    """
    found = None
    for argument in arguments:
        if argument.flag == f"--{name}" and argument.value is not None:
            found = None if argument.value == "null" else argument.value
        found = argument.content.get(name, found)
    return found
