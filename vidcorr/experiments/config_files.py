"""Configs: a file found by its name, and its content. No torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, near

if TYPE_CHECKING:
    from yaml import Node  # type: ignore[import-untyped]

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""
MOST_VALUES = 100_000
"""Most values in a config, with its aliases written out."""


def find_config(name: str, flag: str = "--config") -> Path:
    """Find a config: a file in the working directory, else a config of the project.

    Args:
        name: a path, or a name as `data/kinetics.yaml` (`configs/data/kinetics.yaml` means the same).
        flag: flag that names the config, for messages.

    Raises:
        UsageError: if neither exists; the message suggests a config with a similar name.
    """
    if Path(name).exists():
        return Path(name)
    path = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if path.is_relative_to(CONFIGS) and path.is_file():
        return path
    known = [path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")]
    raise UsageError(f"{flag}: there is no file {name}{near(name, known)}")


def read_yaml(path: Path, flag: str = "--config") -> dict[str, Any]:
    """Return the content of a config.

    Args:
        path: the file, as `find_config` returns it.
        flag: flag that names the config, for messages.

    Raises:
        UsageError: if the file is not YAML with names of options.
    """
    try:
        content = yaml_value(path.read_text("utf-8"))
    except Exception as error:  # the type depends on the parser's loader
        raise UsageError(f"{flag}: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{flag}: {path} holds no options, such as trainer: {{max_steps: 9}}")
    for key in content:
        if not isinstance(key, str):
            raise UsageError(f"{flag}: {path}: {key!r} is no name of an option")
    return content


def yaml_value(text: str) -> Any:
    """Return the value of a text in YAML, read as the parser reads it: 1e-3 is a number.

    Raises:
        ValueError: if aliases make it too large, or a mapping holds a key twice.
        Exception: of the parser's loader, for a text that is not YAML.
    """
    import yaml
    from jsonargparse import get_loader

    root = yaml.compose(text, yaml.SafeLoader)
    if _count_values(root, {}) > MOST_VALUES:
        raise ValueError(f"its aliases (*name) stand for over {MOST_VALUES} values; write them out")
    _refuse_repeated_keys(root, set())
    return get_loader("yaml")(text)


def _refuse_repeated_keys(node: Node | None, seen: set[int]) -> None:
    """Refuse a mapping that holds a key twice, of which the parser would take the last value.

    Args:
        node: a node of a YAML text.
        seen: identities of the nodes that were checked; an alias is the same node again.

    Raises:
        ValueError: with key and line.
    """
    if node is None or isinstance(node.value, str) or id(node) in seen:
        return
    seen.add(id(node))
    keys: set[str] = set()
    for part in node.value:
        value = part
        if node.id == "mapping":
            key, value = part
            if str(key.value) in keys:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value} is set twice; keep one of them")
            keys.add(str(key.value))
        _refuse_repeated_keys(value, seen)


def _count_values(node: Node | None, counted: dict[int, float]) -> float:
    """Count the values below a node of a YAML text, as often as its aliases repeat them.

    Args:
        node: the node; aliases of a node are the same object.
        counted: identity of a list or mapping → its number of values, or infinity while it is counted: a node that
            holds itself has no end.
    """
    if node is None or isinstance(node.value, str):
        return 1
    if id(node) not in counted:
        counted[id(node)] = math.inf
        total = 1.0
        for part in node.value:
            value = part[1] if node.id == "mapping" else part
            total += _count_values(value, counted)
        counted[id(node)] = total
    return counted[id(node)]
