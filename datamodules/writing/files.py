"""Atomic writing of files and folders."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    except OSError as error:
        if error.filename == str(temporary) and path.is_dir():
            raise OSError(error.errno, error.strerror, str(path)) from error
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # Python names no file when a write fails
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
