"""Atomic writing of files and folders."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any


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
        OSError: if it cannot be written or moved.
    """
    temporary = temporary or partial_path(path, os.getpid())
    remove(temporary)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
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
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(rows)
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
