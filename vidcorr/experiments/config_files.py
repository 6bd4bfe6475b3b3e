"""Configs: a file found by its name, and its content. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""


def find_config(name: str, flag: str = "--config") -> Path:
    """Find a config: a file in the working directory, else a config of the project.

    Args:
        name: a path, or a name as `data/kinetics.yaml` (`configs/data/kinetics.yaml` means the same).
        flag: flag that names the config, for messages.

    Raises:
        UsageError: if neither exists.
    """
    if Path(name).exists():
        return Path(name)
    path = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if path.is_relative_to(CONFIGS) and path.is_file():
        return path
    raise UsageError(f"{flag}: there is no file {name}, here or in {CONFIGS}")


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
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {path} holds no options, such as trainer: {{max_steps: 9}}")
    return content


def yaml_value(text: str) -> Any:
    """Return the value of a text in YAML, read as the parser reads it: 1e-3 is a number.

    Raises:
        ValueError: if a mapping holds a key twice, of which the parser would take the last value.
    """
    from jsonargparse import get_loader

    refuse_repeated_keys(text)
    return get_loader("yaml")(text)


def refuse_repeated_keys(text: str) -> None:
    """Check that no mapping of a YAML text has a key twice, of which a parser takes the last value.

    Raises:
        ValueError: with the line and the key.
    """
    import yaml  # type: ignore[import-untyped]

    nodes = [yaml.compose(text, yaml.SafeLoader)]
    checked = set()  # an alias is the same node again
    for node in nodes:  # the list grows by the values of mappings and lists
        if id(node) in checked:
            continue
        checked.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: list[Any] = []
            for key, value in node.value:
                if key.value in keys:
                    raise ValueError(f"line {key.start_mark.line + 1}: {key.value} is set twice")
                keys.append(key.value)
                nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
