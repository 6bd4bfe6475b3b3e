"""Progress of long work on stderr."""

import sys
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


def progress_bar(name: str, total: int | None, unit: str = "items", silent: bool = False) -> Any:
    """Return tqdm's bar of long work, a context; without a terminal it prints twice a minute.

    Args:
        name: name of the work.
        total: number of items; None: unknown.
        unit: unit of the items, plural.
        silent: show nothing, as on ranks other than the first.
    """
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    times = {"mininterval": seconds, "miniters": 1, "delay": 5.0}  # nothing is shown of work that takes 5 s
    return tqdm(desc=name, total=total, unit=f" {unit}", disable=silent, leave=False, **times)
