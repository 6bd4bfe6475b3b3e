"""Plain helpers that readers, tools and callbacks share: whole-or-nothing writing, CSV, progress, reading ahead."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, cast

ItemT = TypeVar("ItemT")

_REFRESH = 0.5  # seconds from one drawing of the line to the next
_CELLS = 20  # of the bar
_CLEAR = "\r\x1b[K"


_FORMULA = re.compile(r"(?![+-]([\d.]+(e[+-]?\d+)?|inf|nan)$)[=+@'-]", re.IGNORECASE)
"""Start of what a spreadsheet takes for a formula, numbers apart, and of text that `csv_text` has marked."""


@contextmanager
def unfinished(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary path, and move what is written there to `path` if the context ends without error.

    What was at `path` stays until then; a folder there is replaced by what was written. After an error nothing but
    `path` as it was is left; a killed process leaves the hidden file.

    Args:
        path: file or folder to make; its folder exists.
        temporary: where to write; by default one of this process's own, `partial_path(path, os.getpid())`.

    Yields:
        A path that does not exist yet, on the same file system.

    Raises:
        OSError: if it cannot be written or moved; it names the file, also where the disk is full.
    """
    temporary = temporary or partial_path(path, os.getpid())
    remove(temporary)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # Python names no file when a write fails
    finally:
        remove(temporary)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in the same folder, and rename it when it is complete.

    Args:
        path: the file; its folder exists. What was there before stays until then.
        content: bytes, or text that becomes UTF-8 with its line ends as they are; file names that are not UTF-8 keep
            their bytes.

    Raises:
        OSError: if it cannot be written.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with unfinished(path) as temporary:
        temporary.write_bytes(data)


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty.

    Text that a spreadsheet would run as a formula has an apostrophe in front, and so has text that begins with one:
    who reads the file removes the first.
    """
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(
        [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, below the names of all their columns, in the order in which they first appear.

    Args:
        records: column → value; a column that a record lacks is empty.
    """
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])


def partial_path(path: Path, process: int | None = None) -> Path:
    """Return where an unfinished `path` is written: `.NAME.partial`, with the process where several may write it.

    A name that would not fit into the 255 bytes that file systems take is replaced by its digest.
    """
    ending = ".partial" if process is None else f".partial-{process}"
    name = path.name
    if len(os.fsencode(name)) + len(ending) + 1 > 255:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return path.with_name(f".{name}{ending}")


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; harmless where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_ahead(items: Iterable[ItemT], ahead: int = 4) -> Generator[ItemT]:
    """Iterate over items that one thread makes, up to `ahead` before they are asked for.

    An error in the thread is raised where its item would have come. Closing waits until the thread has left `items`.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = deque(pool.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(pool.submit(next, source, end))
                yield cast("ItemT", item)
        finally:
            pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Return the number of processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ProgressReport(AbstractContextManager["ProgressReport"]):
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
        self.name, self.total, self.unit = name, total, unit
        self.done = self._first = done
        self._began = self._printed = time.monotonic()
        self._redraws = sys.stderr.isatty() and not silent
        self._every = math.inf if silent else _REFRESH if self._redraws else every

    def clear(self, *_: object) -> None:
        """Take the line off the terminal, before something else is printed; the next `advance` draws it again."""
        if self._redraws:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    __exit__ = clear

    def advance(self, note: Callable[[], str] = str, to: int | None = None) -> None:
        """Count one more item, or set the number of items done.

        Args:
            note: makes what is shown behind, for example the loss or the item's name; called only when it is shown.
            to: items done so far.
        """
        self.done = self.done + 1 if to is None else to
        now = time.monotonic()
        if now - self._printed < self._every:
            return
        self._printed = now
        rate = (self.done - self._first) / max(now - self._began, 1e-9)
        parts = [f"{self.name}: {self.done}{f'/{self.total}' if self.total else ''} {self.unit}"]
        if rate:
            parts.append(f"{rate:.2f} {self.unit}/s" if rate >= 0.1 else f"{1 / rate:.0f} s each")
        if rate and self.total:
            parts.append(f"{timedelta(seconds=round((self.total - self.done) / rate))} left")
        line = ", ".join(filter(None, [*parts, note()]))
        full = round(_CELLS * self.done / self.total) if self.total else 0
        bar = f"{_CLEAR}{'━' * full}{'·' * (_CELLS - full)} " if self.total else _CLEAR
        print(f"{bar}{line}" if self._redraws else line, file=sys.stderr, flush=True, end="" if self._redraws else "\n")
