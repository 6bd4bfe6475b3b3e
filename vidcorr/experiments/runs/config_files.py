"""Configs: a file found by its name, and its content. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ...errors import UsageError, message_of
from ...near_names import did_you_mean
from ...videos.files import read_text

PACKAGE = Path(__file__).resolve().parents[2]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""


def find_config(name: str) -> Path:
    """Return the path of a config: a file of the user, else a config of the project.

    Args:
        name: path of a file, or name of a project's config: `data/kinetics.yaml`, or `configs/data/kinetics.yaml`.

    Raises:
        UsageError: if there is neither; the message suggests a similar name.
    """
    if Path(name).exists() and not Path(name).is_dir():  # `is_file` would leave out a pipe
        return Path(name)
    path = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if path.is_relative_to(CONFIGS) and path.is_file():
        return path
    raise UsageError(f"there is no file {name}, here or in {CONFIGS}{did_you_mean(name, config_names())}")


def config_names() -> list[str]:
    """Return the names of the project's configs for `--config`, such as `data/clips.yaml`."""
    folders = (CONFIGS, CONFIGS / "data", CONFIGS / "trainer")
    return [path.relative_to(CONFIGS).as_posix() for folder in folders for path in sorted(folder.glob("*.yaml"))]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a config.

    Raises:
        UsageError: if the file is not YAML with names of options, or holds a key twice.
    """
    content = yaml_value(read_text(path), str(path))
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no options, such as trainer: {{max_steps: 9}}")
    if not isinstance(content.get("trainer", {}), dict | None):
        raise UsageError(f"{path}: trainer is {content['trainer']!s:.80}; write trainer: {{max_steps: 9}}")
    return content


LISTS = ("on", "protocol", "change", "stage", "stride", "allow")
"""Flags with several values, which a config may hold as a list or as one value."""
PAIRS = ("on", "change")
"""Flags of `LISTS` whose values are NAME=VALUE, which a config may hold as a mapping too."""


def with_lists(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a config, with the values of the keys `LISTS` as lists of texts.

    Args:
        content: the content.
        path: the file, for messages.

    Raises:
        UsageError: if a value has another form; the message shows the form to write.

    Example:
        >>> with_lists({"on": {"davis": "/data"}, "stage": "res4", "model": "VFSMoCo"}, Path("a.yaml"))
        {'on': ['davis=/data'], 'stage': ['res4'], 'model': 'VFSMoCo'}
    """
    found = dict(content)
    for name in set(LISTS) & set(content):
        value = content[name]
        values = _pairs(value) if isinstance(value, dict) and name in PAIRS else as_list(value)
        if not all(isinstance(each, str | int | float) for each in values):
            form = f"{name}: [NAME=VALUE, …] or a mapping" if name in PAIRS else f"{name}: [VALUE, …]"
            raise UsageError(f"{path}: {name} is {value!s:.80}; write {form}")
        found[name] = list(map(str, values))
    return found


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and any other value in a list.

    Example:
        >>> as_list("davis"), as_list(["davis", "vip"]), as_list(None)
        (['davis'], ['davis', 'vip'], [None])
    """
    return value if isinstance(value, list) else [value]


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """Return a mapping as texts NAME=VALUE; a list as value becomes `NAME=VALUE,VALUE`, and None `null`.

    Example:
        >>> _pairs({"davis": "/data/DAVIS", "radius": [3, 6], "topk": None})
        ['davis=/data/DAVIS', 'radius=3,6', 'topk=null']
    """
    found = []
    for name, value in values.items():
        parts = ["null" if part is None else str(part) for part in as_list(value)]
        found.append(f"{name}={','.join(parts)}")
    return found


def yaml_value(text: str, place: str) -> Any:
    """Parse YAML as jsonargparse does: 1e-3 is a number.

    Args:
        text: the YAML.
        place: file or flag of the text, the beginning of error messages.

    Raises:
        UsageError: if the text is not YAML, or a mapping holds a key twice: jsonargparse would take the last.

    Example:
        >>> yaml_value("{lr: 1e-3, on: [davis]}", "--config")
        {'lr': 0.001, 'on': ['davis']}
    """
    from jsonargparse import get_loader

    try:
        yaml.load(text, _UniqueKeys)  # only to refuse repeated keys
        value = get_loader("yaml")(text)
    except RecursionError as error:
        raise UsageError(f"{place} cannot be read: its values are nested too deeply") from error
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{place} cannot be read: {message_of(error)}") from error
    if isinstance(value, dict) and any(key is True for key in value):  # 1 equals True
        value["on"] = value.pop(True)  # YAML 1.1 reads the key `on` as true
    return value


class _UniqueKeys(yaml.SafeLoader):
    """A loader of YAML that refuses a mapping with a repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping of YAML as a dictionary.

        Raises:
            ValueError: if a key is repeated; with its line.
        """
        keys: set[Any] = set()
        for key, _ in node.value:
            if key.value in keys:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value} is set twice")
            keys.add(key.value)
        return dict(super().construct_mapping(node, deep))
