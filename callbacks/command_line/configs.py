"""Configs by name, and a type of flags, for all tools; imports nothing heavy."""

import argparse
from pathlib import Path

from .endings import UsageError, near

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: in the package of a wheel, else next to `cli.py` in a checkout."""


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


def positive(text: str) -> int:
    """Return the positive integer that a flag gives.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)
