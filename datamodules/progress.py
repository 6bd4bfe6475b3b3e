"""Progress of long work: a bar on a terminal, and elsewhere a line every so often, so that a log file shows it too."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_REFRESH = 0.5  # seconds from one picture of the bar to the next


class ProgressReport:
    """Report how far some work is, its rate and the time that remains; a context manager.

    Rate and remaining time are over the work since it began, pauses such as a benchmark within a training included.

    Args:
        name: of the work.
        total: number of items; None where it is not known.
        unit: of the items, plural.
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
        self._began = self._told = time.monotonic()
        self._silent = silent
        self._bar: Progress | None = None
        if not silent and sys.stderr.isatty():
            rate = TextColumn("{task.fields[note]}")
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), rate)
            self._bar = Progress(*columns, transient=True)
            self._task = self._bar.add_task(name, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
            self._bar.stop()

    def advance(self, note: Callable[[], str] = str, to: int | None = None) -> None:
        """Count one more item, or say how many are done.

        Args:
            note: makes what is shown behind, for example the loss or the item's name; called only when it is shown.
            to: items done so far.
        """
        self.done = self.done + 1 if to is None else to
        if self._silent or time.monotonic() - self._told < (self.every if self._bar is None else _REFRESH):
            return
        self._told = time.monotonic()
        if self._bar is None:
            print(self.line(note()), file=sys.stderr, flush=True)
        else:
            shown = f"{self.rate():.2f} {self.unit}/s  {note()}"
            self._bar.update(self._task, completed=self.done, note=shown)

    def rate(self) -> float:
        """Return items per second since the work began."""
        return (self.done - self._first) / max(time.monotonic() - self._began, 1e-9)

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
