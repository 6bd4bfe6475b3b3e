"""Progress of long work on stderr."""

import sys
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


def progress_bar(name: str, total: int | None, unit: str = "items", silent: bool = False) -> Any:
    """Return tqdm's bar, a context, which shows the progress of long work on stderr."""
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    times = {"mininterval": seconds, "miniters": 1, "delay": 5.0}
    return tqdm(desc=name, total=total, unit=f" {unit}", disable=silent, leave=False, **times)
