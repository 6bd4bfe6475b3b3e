"""Progress of long work on stderr: a redrawn line on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

_REFRESH = 0.5  # seconds between drawings of the line
_CELLS = 20  # of the bar
_CLEAR = "\r\x1b[K"


class ProgressReport(AbstractContextManager["ProgressReport"]):
    """Report the progress of long work, its rate and the remaining time; a context manager.

    The rate is the average since the start, including pauses, for example a benchmark within a training.

    Args:
        name: name of the work.
        total: number of items; None if unknown.
        unit: unit of the items, plural.
        done: items that an earlier run has done.
        every: seconds between lines without a terminal.
        silent: report nothing, as on ranks other than the first.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        unit: str = "items",
        done: int = 0,
        every: float = 30.0,
        silent: bool = False,
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self._first = done
        self._began = self._printed = time.monotonic()
        self._redraws = sys.stderr.isatty() and not silent
        self._every = math.inf if silent else _REFRESH if self._redraws else every

    def clear(self, *_: object) -> None:
        """Clear the line on the terminal before other output; the next `advance` draws it again."""
        if self._redraws:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    __exit__ = clear

    def advance(self, note: Callable[[], str] = str, to: int | None = None) -> None:
        """Count an item, or set the number of items done.

        Args:
            note: returns text for the end of the line, for example the loss; called only when the line is drawn.
            to: items done so far.
        """
        self.done = self.done + 1 if to is None else to
        now = time.monotonic()
        if now - self._printed < self._every:
            return
        self._printed = now
        rate = (self.done - self._first) / max(now - self._began, 1e-9)
        count = f"{self.done}/{self.total}" if self.total else f"{self.done}"
        parts = [f"{self.name}: {count} {self.unit}"]
        if rate:
            parts.append(f"{rate:.2f} {self.unit}/s" if rate >= 0.1 else f"{1 / rate:.0f} s per item")
        if rate and self.total:
            parts.append(f"{timedelta(seconds=round((self.total - self.done) / rate))} left")
        line = ", ".join(filter(None, [*parts, note()]))
        if not self._redraws:
            print(line, file=sys.stderr, flush=True)
            return
        full = round(_CELLS * self.done / self.total) if self.total else 0
        bar = f"{'━' * full}{'·' * (_CELLS - full)} " if self.total else ""
        print(f"{_CLEAR}{bar}{line}", file=sys.stderr, flush=True, end="")
