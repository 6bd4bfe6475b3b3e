"""Checks of what files claim, made before anything is opened by that name, decoded or allocated."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

from .errors import DataError, DecodingError

LIMIT_VARIABLE = "VIDCORR_MAX_MEGAPIXELS"
"""Environment variable that holds the limit on pixels, so that worker processes know it too."""
DEFAULT_MEGAPIXELS = 89.0
"""Default limit on pixels: more than twice an 8K frame (33 megapixels), just below the size at which Pillow warns."""
BYTES_PER_PIXEL = 4
"""Bytes per permitted pixel, as in RGBA, that a file or the data unpacked from it may have."""

_FIRST_CHUNK = 2**20
_JPEG_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # markers that open a frame and hold its size
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


def plain_name(name: str, listed_in: object) -> str:
    """Return a name that a data set's file gives, if it can only be an entry of one folder.

    Names become parts of paths, also of the files that a benchmark writes, so a list must not lead out of its folder.

    Args:
        name: name of a sequence, video, clip, action or shard.
        listed_in: the file (or folder) that gives it, for the message.

    Raises:
        DataError: if the name is empty, is `.` or `..`, holds a separator, a control character or a drive, or is
            longer than 200 bytes.
    """
    odd = (
        not name.strip()
        or name in (".", "..")
        or re.search(r"[/\\\x00-\x1f\x7f]", name)
        or re.match(r"[A-Za-z]:", name)
        or len(os.fsencode(name)) > 200
    )
    if odd:
        shown = ascii(name if len(name) <= 80 else f"{name[:77]}...")
        raise DataError(
            f"{listed_in}: {shown} is not the plain name of a file or folder (no separators, '..', control characters "
            "or absolute paths); correct the entry or get the file again"
        )
    return name


def raise_limit(megapixels: float | None) -> None:
    """Set the largest picture that is decoded, in this process and in those it starts; None leaves it as it is.

    Raises:
        ValueError: if the number is not above 0.
    """
    if megapixels is None:
        return
    if not 0 < megapixels <= 1e6:
        raise ValueError(f"max_megapixels must be above 0 and at most 1,000,000, got {megapixels:g}")
    os.environ[LIMIT_VARIABLE] = f"{megapixels:g}"


def max_pixels() -> int:
    """Return the number of pixels that a picture or frame may have.

    Raises:
        DataError: if the environment variable does not hold a number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return int(DEFAULT_MEGAPIXELS * 1e6)
    try:
        limit = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise DataError(f"{LIMIT_VARIABLE}={text}: expected a number of megapixels above 0")
    return limit


def max_bytes() -> int:
    """Return the number of bytes that a picture, mask or annotation file may have, packed and unpacked."""
    return max_pixels() * BYTES_PER_PIXEL


def check_pixels(path: object, width: int, height: int) -> None:
    """Refuse a picture or video whose header claims more pixels than are decoded.

    Raises:
        DecodingError: naming the file, its claim and how to raise the limit.
    """
    if width * height > max_pixels():
        raise DecodingError(
            path,
            f"its header claims {width} × {height} px, more than the {max_pixels() / 1e6:g} megapixels that are "
            f"decoded; if that is right, raise the limit (--max-megapixels, data.max_megapixels or {LIMIT_VARIABLE})",
        )


def require_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the state of a regular file (links are followed).

    Raises:
        DecodingError: if there is none, or it is a named pipe, a device or a socket, which may never end.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise DecodingError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
    _check_regular(path, status)
    return status


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file of at most `max_bytes()`.

    Raises:
        DecodingError: if it cannot be read, is not a regular file or is too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would block
    except (OSError, ValueError) as error:
        raise DecodingError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        _check_regular(path, status)
        if status.st_size > max_bytes():
            raise DecodingError(
                path,
                f"has {status.st_size / 1e6:.0f} MB, more than the {max_bytes() / 1e6:.0f} MB that are read; raise the "
                f"limit with {LIMIT_VARIABLE}",
            )
        try:
            return file.read()
        except OSError as error:
            raise DecodingError(path, f"cannot be read ({error.strerror or error})") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a regular UTF-8 file, with or without a byte order mark, of at most `max_bytes()`.

    Raises:
        DataError: if it cannot be read or is not in UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason}); save it as UTF-8") from error


def read_json(path: str | os.PathLike[str], remedy: str = "get the file again") -> Any:
    """Read a JSON file, as `read_text`.

    Args:
        path: the file.
        remedy: what to do where it is not JSON.

    Raises:
        DataError: if it cannot be read or is not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}); {remedy}") from error


def header_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) that the header of a JPEG or PNG claims; None for anything else.

    Example:
        >>> header_size(b"GIF89a")
    """
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    return _jpeg_size(content) if content[:2] == b"\xff\xd8" else None


def check_unpacked(path: Path, content: bytes) -> None:
    """Refuse a MATLAB 5 file whose compressed elements unpack to more than `max_bytes()`.

    Raises:
        DecodingError: if they do.
    """
    offset, unpacked = 128, 0
    while offset + 8 <= len(content):
        kind, length = struct.unpack("<II", content[offset : offset + 8])
        if kind == 15:  # miCOMPRESSED
            unpacked += _unpacked_bytes(content[offset + 8 : offset + 8 + length], max_bytes() - unpacked)
        if unpacked > max_bytes():
            raise DecodingError(
                path,
                f"its {len(content) / 1e6:.1f} MB unpack to more than {max_bytes() / 1e6:.0f} MB; get it again, or "
                f"raise the limit with {LIMIT_VARIABLE}",
            )
        offset += 8 + length


def _unpacked_bytes(packed: bytes, limit: int) -> int:
    """Count what a zlib stream unpacks to, and stop beyond the limit; damage ends the count."""
    stream, count = zlib.decompressobj(), 0
    try:
        while packed and not stream.eof and count <= limit:
            count += len(stream.decompress(packed, _FIRST_CHUNK))
            packed = stream.unconsumed_tail
    except zlib.error:
        pass
    return count


def _check_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
    raise DecodingError(path, f"is {kind}, not a regular file; give a file")


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    offset = 2
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF or marker in _JPEG_BARE:  # fill byte, or a marker that stands alone
            offset += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAME and offset + 9 <= len(content):
            height, width = struct.unpack(">HH", content[offset + 5 : offset + 9])
            return width, height
        offset += 2 + int.from_bytes(content[offset + 2 : offset + 4], "big")
    return None
