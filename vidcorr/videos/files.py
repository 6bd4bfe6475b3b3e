"""Atomic writing of files and folders, masks as PNGs, figures, and CSV tables."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@contextmanager
def unfinished(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary path, and move it to `path` if the context ends without error.

    An earlier file at `path` stays until then, and after an error. A folder at `path` is replaced only by a folder, and
    only if it is empty. A killed process leaves the hidden temporary file.

    Args:
        path: file or folder to make; its parent exists.
        temporary: temporary path; default: `partial_path(path, os.getpid())`.

    Yields:
        A path that does not exist yet, on the same file system.

    Raises:
        OSError: if the path cannot be written or moved; it names `path`, also if the disk is full.
    """
    temporary = temporary or partial_path(path, os.getpid())
    remove(temporary)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:  # which names the temporary path, or no file if a write fails
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        remove(temporary)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in the same folder, and rename it when it is complete.

    Args:
        path: the file; its folder exists. An earlier file stays until the end.
        content: bytes, or text, encoded as UTF-8 with its line ends; surrogates of file names become their bytes.

    Raises:
        OSError: if it cannot be written.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with unfinished(path) as temporary:
        temporary.write_bytes(data)


def partial_path(path: Path, process: int | None = None) -> Path:
    """Return the temporary path of `path`: `.NAME.partial`, with the process if several may write.

    A digest replaces a name that would exceed 255 bytes, the limit of file systems.
    """
    ending = ".partial" if process is None else f".partial-{process}"
    name = path.name
    if len(os.fsencode(name)) + len(ending) + 1 > 255:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return path.with_name(f".{name}{ending}")


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically.

    Args:
        path: the file; its folder exists.
        ids: palette index per pixel.
        palette: `(256, 3)` RGB.
    """
    from PIL import Image

    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    with unfinished(path) as temporary:
        image.save(temporary, "PNG", compress_level=1)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure of matplotlib atomically, in the format of its suffix (png by default).

    Raises:
        OSError: if the file cannot be written; the error names it.
        ValueError: for an unknown format.
    """
    with unfinished(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.removeprefix(".") or "png")


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, with a heading of all columns in the order of their first appearance.

    Args:
        records: column → value; a column that a record lacks is empty.
    """
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])
