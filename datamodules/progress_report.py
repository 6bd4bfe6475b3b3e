"""Progress of long work: one line, redrawn on a terminal, and repeated every so often where there is none."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_REFRESH = 0.5  # seconds from one picture of the line to the next
_CELLS = 20  # of the bar
_CLEAR = "\r\x1b[K"


class ProgressReport:
    """Report the progress of long work, its rate and the remaining time; a context manager.

    Rate and remaining time are over the work since it began, pauses such as a benchmark within a training included.

    Args:
        name: name of the work.
        total: number of items; None where it is not known.
        unit: unit of the items, plural.
        done: items that an earlier run has done.
        every: seconds from one line to the next where there is no terminal.
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
        self.name, self.total, self.unit, self.every = name, total, unit, every
        self.done = self._first = done
        self._began = self._printed = time.monotonic()
        self._silent = silent
        self._redraws = sys.stderr.isatty()
        self._end = "" if self._redraws else "\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line off the terminal, before something else is printed; the next `advance` draws it again."""
        if self._redraws and not self._silent:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def advance(self, note: Callable[[], str] = str, to: int | None = None) -> None:
        """Count one more item, or set the number of items done.

        Args:
            note: makes what is shown behind, for example the loss or the item's name; called only when it is shown.
            to: items done so far.
        """
        self.done = self.done + 1 if to is None else to
        if self._silent or time.monotonic() - self._printed < (_REFRESH if self._redraws else self.every):
            return
        self._printed = time.monotonic()
        line = self.line(note())
        print(f"{_CLEAR}{self._bar()}{line}" if self._redraws else line, file=sys.stderr, flush=True, end=self._end)

    def rate(self) -> float:
        """Return items per second since the work began."""
        return (self.done - self._first) / max(time.monotonic() - self._began, 1e-9)

    def _bar(self) -> str:
        full = round(_CELLS * self.done / self.total) if self.total else 0
        return f"{'━' * full}{'·' * (_CELLS - full)} " if self.total else ""

    def line(self, note: str = "") -> str:
        """Return one line: items done, rate, remaining time, note."""
        parts = [f"{self.name}: {self.done}" + (f"/{self.total}" if self.total else "") + f" {self.unit}"]
        if rate := self.rate():
            parts.append(f"{rate:.2f} {self.unit}/s" if rate >= 0.1 else f"{1 / rate:.0f} s each")
            if self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join([*parts, *([note] if note else [])])


def duration(seconds: float) -> str:
    """Return a duration in words of its two largest units.

    Example:
        >>> duration(95), duration(7200), duration(12)
        ('2 min', '2 h 00 min', '12 s')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
