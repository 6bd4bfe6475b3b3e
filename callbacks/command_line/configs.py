"""Configs by name: the project's are found from any folder; a user's own file at that path takes precedence."""

from difflib import get_close_matches
from pathlib import Path

from .endings import UsageError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped_configs() -> Path:
    """Return the folder of the project's configs: in the package of a wheel, else next to `cli.py` in a checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def find_config(name: str) -> Path:
    """Find a config: a file from the working directory, else one of the project's own.

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
