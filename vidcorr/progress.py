"""Progress of long work on stderr."""

import sys
import time
from contextlib import AbstractContextManager
from datetime import timedelta

_CLEAR = "\r\x1b[K"
_FIRST = 5.0  # seconds until the first line without a terminal


class ProgressReport(AbstractContextManager["ProgressReport"]):
    """Report the progress of long work, its rate and the remaining time: a line on a terminal, else lines.

    Args:
        name: name of the work.
        total: number of items.
        unit: unit of the items, plural.
        silent: report nothing, as on ranks other than the first.
    """

    def __init__(self, name: str, total: int, unit: str = "items", silent: bool = False) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.silent = silent
        self.done = 0
        self._redraws = sys.stderr.isatty()
        self._every = 0.5 if self._redraws else 30.0  # seconds
        self._began = time.monotonic()
        self._due = self._began + min(self._every, _FIRST)

    def __exit__(self, *_: object) -> None:
        """Clear the line on the terminal before other output."""
        if self._redraws and not self.silent:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def advance(self, items: int = 1, note: str = "") -> None:
        """Count items; `note` ends the line, for example the name of the last item."""
        self.done += items
        now = time.monotonic()
        if self.silent or now < self._due:
            return
        self._due = now + self._every
        rate = self.done / max(now - self._began, 1e-9)
        left = timedelta(seconds=round((self.total - self.done) / rate))
        line = f"{self.name}: {self.done}/{self.total} {self.unit}, {rate:.2f} {self.unit}/s, {left} left"
        if note:
            line += f", {note}"
        if self._redraws:
            print(_CLEAR + line, end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
