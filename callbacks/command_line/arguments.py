"""The arguments of a command line, read once: each flag with its value, each config with its content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.backbones.short_names import SHORT_NAMES

from .configs import find_config


@dataclass(frozen=True)
class Argument:
    """One argument of a command line.

    Attributes:
        flag: with its dashes; an argument that is no flag, such as the command, stands here alone.
        value: as text; None: the flag has none.
        content: of a `--config`; empty where it cannot be read, which the parser reports.
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
    left = list(reversed(args))
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
    if flag == "--config" and value:
        is_yaml = "\n" in value or ": " in value or value.startswith("{")  # YAML itself, not the name of a file
        path = value if is_yaml else str(find_config(value))
        try:
            content = yaml.safe_load(value if is_yaml else Path(path).read_text())
        except (OSError, ValueError, yaml.YAMLError):
            content = None
        return [Argument(flag, path, content if isinstance(content, dict) else {})]
    if flag == "--model" and (network := SHORT_NAMES.get(value or "")):
        given = {"": "FrozenEncoder", ".spec": network.spec, ".pretrained": "true", ".stage": network.stage}
        return [Argument(flag + name, text) for name, text in given.items()]
    return [Argument(flag, value)]


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
