"""Files in a store that fsspec knows, by address: https://HOST/clip.mp4, s3://BUCKET/clip.mp4.

Only what a user names is opened by address: a source of data, and the lines of a list.
"""

import io
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import unquote

from .files import DecodingError, errors_at, user_path

# bytes of a film that are asked for in one request; one with more is read by ranges
WHOLE = 2**24
RANGE = 2**20
TRIES = 3
PAUSE = 0.5  # seconds between two tries
# films that this process reads by ranges
_long: set[str] = set()


def is_address(path: object) -> TypeGuard[str]:
    """Return whether a path is the text of an address; a `Path` never is."""
    return isinstance(path, str) and "://" in path and re.match("[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def user_place(path: str | os.PathLike[str]) -> str:
    """Return a path as a user gives it (`user_path`) as text; an address stays as it is."""
    return str(path if is_address(path) else user_path(path))


def file_name(path: str) -> str:
    """Return the last part of a path or an address, without the query of an address.

    Example:
        >>> file_name("clips/a.mp4"), file_name("https://host/my%20clip.mp4?signature=a/b.c")
        ('a.mp4', 'my clip.mp4')
    """
    return os.path.basename(unquote(path.partition("?")[0]) if is_address(path) else path)


def store_of(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and its path there.

    fsspec keeps one for each process and thread, so no two of them share a connection.

    Raises:
        DataError: for an unknown scheme, or one whose package, which is named, is not installed.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    with errors_at(address, Exception):
        return url_to_fs(address)


def read_address(address: str, timeout: float = 60.0, start: int | None = None, end: int | None = None) -> bytes:
    """Read a file, or bytes `start` to `end`, in one request, which is sent again if it fails.

    Args:
        timeout: seconds allowed for all tries together, in the stores that fsspec reads asynchronously (http, s3, gs).

    Raises:
        DecodingError: if it cannot be read.
    """
    store, path = store_of(address)
    limit = {"timeout": timeout / TRIES} if store.async_impl else {}
    tries = TRIES
    while True:
        try:
            return store.cat_file(path, start=start, end=end, **limit)
        except Exception as error:
            tries -= 1
            is_refusal = isinstance(error, FileNotFoundError | PermissionError)
            if is_refusal or 400 <= getattr(error, "status", 0) < 429 or not tries:
                reason = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__} {error}"
                raise DecodingError(address, f"cannot be read ({reason.strip()})") from error
            time.sleep(PAUSE)


def names_below(address: str) -> list[str]:
    """Return the paths of all files below an address, from there.

    Raises:
        DataError: if they cannot be listed.
    """
    store, root = store_of(address)
    with errors_at(f"{address} cannot be listed, give a list (.txt) of addresses", Exception):
        names = [path[len(root.rstrip("/")) + 1 :] for path in store.find(root)]
    # pages hold quoted names, which must stay so for "%", "#" and "?"
    keeps = re.compile("%(25|23|3F)" if address.startswith("http") else "")
    return [name if keeps.search(name) else unquote(name) for name in names]


class StoredFile(NamedTuple):
    """A film that is not a file on a disk; `content` is None for one that is read by ranges."""

    address: str
    content: bytes | None

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """Name of the file, by which FFmpeg knows formats."""
        return file_name(self.address)

    def open(self) -> Any:
        """Return the film as a new file object, at its start."""
        from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped]

        file: Any = io.BytesIO(self.content or b"")
        if self.content is None:
            store, path = store_of(self.address)
            file = AbstractBufferedFile(store, path, block_size=RANGE, cache_type="blockcache", size=store.size(path))
            file.cache.fetcher = lambda start, end: read_address(self.address, 60.0, start, end)
        file.name = self.name
        return file


def film_of(path: str | os.PathLike[str] | bytes, timeout: float) -> Path | StoredFile:
    """Return what `VideoFile` opens for a path, an address or bytes; a film at an address is read unless it is long."""
    if isinstance(path, bytes):
        return StoredFile("bytes", path)
    if not is_address(path):
        return Path(path)
    if path not in _long:
        content = read_address(path, timeout, 0, WHOLE)
        if len(content) != WHOLE:
            return StoredFile(path, content)
        _long.add(path)
    return StoredFile(path, None)
