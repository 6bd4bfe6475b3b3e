"""Files of users and of runs: checks before reading, errors that name the file, atomic writing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as a user gives it: `~` at its beginning is the home folder, all else is as it is written."""
    return Path(os.path.expanduser(path))


class DataError(ValueError):
    """Error for invalid user data; the message is a single line with path and problem."""


class DecodingError(DataError):
    """Error for a video or image that cannot be decoded.

    Args:
        path: the file.
        reason: problem, without the path. Empty if `path` is already the full message: a DataLoader makes the error of
            a worker again from one text.

    Example:
        >>> print(DecodingError("a.mp4", "no frame could be decoded"))
        a.mp4: no frame could be decoded
    """

    def __init__(self, path: object, reason: str = "") -> None:
        super().__init__(f"{path}: {reason}" if reason else str(path))


class FullDisk(OSError):
    """Error for a disk without room; the message names the disk by the folder at which it is mounted.

    Args:
        path: file or folder that could not be written.
    """

    def __init__(self, path: Path) -> None:
        disk = path.absolute()
        while not os.path.ismount(disk):
            disk = disk.parent
        super().__init__(f"{path} could not be written: the disk at {disk} is full")


@contextmanager
def full_disk_at(path: Path) -> Iterator[None]:
    """Turn an error of the block for a full disk or a full quota of the user into a `FullDisk` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullDisk(path) from error
        raise


WRONG_JSON = (AttributeError, TypeError, RecursionError)
"""Errors of a block that reads JSON of another form: a list in place of a mapping, for example, or nested too deep."""


@contextmanager
def errors_at(place: object, *kinds: type[Exception]) -> Iterator[None]:
    """Turn an error of the block into a DataError that begins with a file or folder; a DataError stays as it is.

    Args:
        kinds: errors that a faulty file raises in this block, besides ValueError, KeyError and IndexError.
    """
    of_data: tuple[type[Exception], ...] = (ValueError, KeyError, IndexError, *kinds)
    try:
        yield
    except DataError:
        raise
    except of_data as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if isinstance(error, KeyError):
            reason = f"has no {error}"
        raise DataError(f"{place}: {reason}") from error


def mistakes_of(error: ValidationError) -> str:
    """Return the fields and messages of an error's first three mistakes, in a single line."""
    mistakes = ((".".join(map(str, mistake["loc"])), mistake["msg"]) for mistake in error.errors()[:3])
    return "; ".join(": ".join(filter(None, mistake)) for mistake in mistakes)


def require_one_of(choices: Collection[object], **arguments: object) -> None:
    """Check arguments against their permitted values.

    Raises:
        ValueError: naming the first wrong argument.
    """
    for name, value in arguments.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def require_at_least(least: int, owner: str = "", /, **numbers: float) -> None:
    """Check arguments against their smallest value.

    Args:
        owner: class that takes the arguments, for the message.

    Raises:
        ValueError: naming the first smaller argument.
    """
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{owner}{': ' * bool(owner)}{name} must be at least {least}, got {number}")


def require_fractions(**numbers: float) -> None:
    """Check arguments that are fractions, not per cent.

    Raises:
        ValueError: naming the first argument outside [0, 1].
    """
    for name, number in numbers.items():
        if not 0 <= number <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {number}")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file.

    Raises:
        DecodingError: if it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DecodingError(path, f"cannot be read ({error.strerror or error})") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text in UTF-8.

    Raises:
        DataError: if the file cannot be read or has another encoding.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason})") from error


def list_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a list file with their numbers from 1, without blank lines.

    Raises:
        DataError: if the file cannot be read or is no text in UTF-8.
    """
    lines = enumerate(map(str.strip, read_text(path).splitlines()), start=1)
    return [(number, line) for number, line in lines if line]


@contextmanager
def unfinished(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary path, and move it to `path` if the context ends without error; make the folder above `path`.

    An earlier file at `path` stays until then, and after an error. A folder at `path` is replaced only by a folder, and
    only if it is empty. A killed process leaves the hidden temporary file.

    Args:
        temporary: temporary path in the same folder; by default one of this process, since several may write.

    Yields:
        A path that does not exist yet, on the same file system.

    Raises:
        FullDisk: if the disk has no room.
        OSError: if the path cannot be written or moved.
    """
    temporary = temporary or path.with_name(f".{path.name}.partial-{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(temporary)
    try:
        with full_disk_at(path):
            yield temporary
            temporary.replace(path)
    finally:
        remove(temporary)


def require_writable(folder: Path) -> None:
    """Make a folder and check that it can be written.

    Raises:
        OSError: if the folder cannot be made or written; the error names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in the same folder, and rename it when it is complete; make the folder.

    Args:
        path: the file. An earlier file stays until the end.
        content: bytes, or text, encoded as UTF-8 with its line ends; surrogates of file names become their bytes.

    Raises:
        OSError: if the file cannot be written.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with unfinished(path) as temporary:
        temporary.write_bytes(data)


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def slug(name: str) -> str:
    """Return a folder name for a name: small letters, digits, dots, dashes, underscores; an empty name becomes "row".

    "+" becomes "plus", and all else a dash.

    Example:
        >>> slug("VFS + res4"), slug("日本")
        ('vfs-plus-res4', 'row')
    """
    return re.sub(r"[^\w.]+", "-", name.replace("+", "plus "), flags=re.ASCII).strip("-.").lower() or "row"
