"""Configs by name, and a type for flags; imports nothing heavy."""

import argparse
from pathlib import Path
from typing import Any

from .errors import UsageError, near

PACKAGE = Path(__file__).resolve().parent
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""


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
    known = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
    named_so = [config for config in known if Path(config).name == Path(name).name]
    hint = near(name.removeprefix("configs/"), known) or "".join(f"; did you mean {config}?" for config in named_so[:1])
    raise UsageError(f"{flag}: there is no file {name}{hint}")


def read_yaml(name: str, flag: str = "--config") -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a config, see `find_config`.

    Raises:
        UsageError: if the file is missing, or is not YAML with names of options.
    """
    from jsonargparse import get_loader

    path = find_config(name, flag)
    try:
        content = get_loader("yaml")(path.read_text("utf-8")) or {}  # the parser's own, for which 1e-3 is a number
    except Exception as error:  # the type depends on the parser's loader
        raise UsageError(f"{flag}: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {path} holds no options, such as trainer: {{max_steps: 9}}")
    return path, content


def positive(text: str) -> int:
    """Return the positive integer of a flag.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)
