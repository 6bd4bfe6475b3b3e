"""Configs: a file found by its name, and its content. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ...errors import UsageError, message_of
from ...near_names import did_you_mean
from ...videos.files import read_text, user_path

PACKAGE = Path(__file__).resolve().parents[2]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""


def find_config(name: str) -> Path:
    """Return the path of a config: a file of the user, else a config of the project."""
    given = user_path(name)
    if given.exists() and not given.is_dir():  # `is_file` would leave out a pipe
        return given
    path = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if path.is_relative_to(CONFIGS) and path.is_file():
        return path
    raise UsageError(f"there is no file {name}, here or in {CONFIGS}{did_you_mean(name, config_names())}")


def config_names() -> list[str]:
    """Return the names of the project's configs for `--config`, such as `data/clips.yaml`."""
    folders = (CONFIGS, CONFIGS / "data", CONFIGS / "trainer")
    return [path.relative_to(CONFIGS).as_posix() for folder in folders for path in sorted(folder.glob("*.yaml"))]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a config."""
    content = yaml_value(read_text(path), str(path))
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no options, such as trainer: {{max_steps: 9}}")
    return content


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and any other value in a list."""
    return value if isinstance(value, list) else [value]


def yaml_value(text: str, place: str) -> Any:
    """Parse YAML as jsonargparse does: 1e-3 is a number."""
    from jsonargparse import get_loader

    try:
        value = get_loader("yaml")(text)
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{place} cannot be read: {message_of(error)}") from error
    return value
