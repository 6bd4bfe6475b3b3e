"""Configs by name, and a type of flags, for all tools; imports nothing heavy."""

import argparse
import math
from pathlib import Path
from typing import Any

from datamodules.reading.guards import read_text

from .endings import UsageError, near

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: in the package of a wheel, else next to `cli.py` in a checkout."""
MOST_VALUES = 100_000
"""Largest number of values in a config."""


def find_config(name: str) -> Path:
    """Find a config: a file of the user's from the working directory, else one of the project's own.

    Args:
        name: a path, or a name such as `benchmarks/davis.yaml` (`configs/benchmarks/davis.yaml` means the same).

    Raises:
        UsageError: if there is neither; the line names the nearest config that exists.
    """
    if Path(name).exists():
        return Path(name)
    own = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if own.is_relative_to(CONFIGS) and own.is_file():
        return own
    known = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
    named_so = [config for config in known if Path(config).name == Path(name).name]
    hint = near(name.removeprefix("configs/"), known) or "".join(f"; did you mean {config}?" for config in named_so[:1])
    raise UsageError(f"--config: there is no file {name}{hint}")


def read_yaml(name: str) -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a config, see `find_config`.

    Raises:
        UsageError: if there is no such file, or it is not YAML with the names of options.
    """
    from jsonargparse import get_loader

    path = find_config(name)
    try:
        content = get_loader("yaml")(read_text(path))  # the parser's own, for which 1e-3 is a number
        if _size(content, {}) > MOST_VALUES:
            raise ValueError("its aliases repeat each other endlessly")
    except Exception as error:
        raise UsageError(f"--config: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict | None):
        raise UsageError(f"--config: {path} holds no options, such as trainer: {{max_steps: 9}}")
    return path, content or {}


def _size(content: Any, known: dict[int, float]) -> float:
    """Return the number of values in a nested content, infinite where it holds itself; shared parts are read once."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        known[id(content)] = math.inf  # until the parts are counted
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(content)]


def positive(text: str) -> int:
    """Return the positive integer that a flag gives.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)
