"""Configs by name, and a type of flags, for all tools; imports nothing heavy."""

import argparse
from difflib import get_close_matches
from pathlib import Path

from .endings import UsageError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped_configs() -> Path:
    """Return the folder of the project's configs: in the package of a wheel, else next to `cli.py` in a checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def find_config(name: str) -> Path:
    """Find a config: a file of the user's from the working directory, else one of the project's own.

    Args:
        name: a path, or a name such as `benchmarks/davis.yaml` (`configs/benchmarks/davis.yaml` means the same).

    Raises:
        UsageError: if there is neither; the line names the nearest config that exists.
    """
    if Path(name).exists():
        return Path(name)
    folder = shipped_configs()
    own = folder / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if own.is_relative_to(folder) and own.is_file():
        return own
    known = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    near = get_close_matches(name.removeprefix("configs/"), known, 1) or [
        config for config in known if Path(config).name == Path(name).name
    ]
    raise UsageError(f"--config: there is no file {name}" + (f"; did you mean {near[0]}?" if near else ""))


def positive(text: str) -> int:
    """Return the positive integer that a flag gives.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)
