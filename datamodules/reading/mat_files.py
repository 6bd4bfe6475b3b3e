"""Read real arrays of MATLAB files of version 5 without scipy, since a damaged file can crash scipy's reader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number of a data type in the file → numpy's dtype."""
MATRIX, COMPRESSED = 14, 15
"""Data types of an array and of a compressed element."""
HEADER = 128
"""Bytes before the first element."""
MOST_UNPACKED = 2**26
"""Limit on the bytes of an unpacked element."""


def read_mat(content: bytes, name: str) -> NDArray[Any]:
    """Return a real array of numbers by its name.

    Source: MathWorks, MAT-File Format, the chapter on level 5.

    Args:
        content: bytes of the file.
        name: name of the array.

    Raises:
        KeyError: if no array has the name.
        ValueError, struct.error, zlib.error: if the file is not of version 5 or is damaged, or the array does not hold
            real numbers.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it is not of MATLAB's version 5")
    for kind, element in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            kind, element = next(_elements(unpacker.decompress(element, MOST_UNPACKED), order), (0, b""))
            if not unpacker.eof:  # only its end has the checksum
                raise ValueError("a compressed element is cut off or too large")
        if kind != MATRIX:
            continue
        (_, flags), (_, shape), (_, label), *parts = _elements(element, order)
        if label.decode("latin-1") != name:
            continue
        is_complex = struct.unpack(f"{order}I", flags[:4])[0] >> 11 & 1
        if is_complex or len(parts) != 1 or parts[0][0] not in NUMBERS:
            raise ValueError(f"{name} does not hold real numbers")
        values = np.frombuffer(parts[0][1], f"{order}{NUMBERS[parts[0][0]]}")
        sides = np.frombuffer(shape, f"{order}i4")
        if len(sides) < 2 or (sides < 0).any():
            raise ValueError(f"{name} has no shape")
        return values.reshape(tuple(map(int, sides)), order="F")
    raise KeyError(f"it has no {name}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (data type, bytes) per element.

    Raises:
        ValueError: if an element claims more bytes than the file has.
    """
    start = 0
    while start + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}2I", content, start)
        if kind >> 16:  # small element: the size in the upper half, the data in the place of the size
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
            start += 8
        else:
            begin = start + 8
            start = begin + size + (0 if kind == COMPRESSED else -size % 8)
        if begin + size > len(content) or start > len(content) + 7:
            raise ValueError("an element is longer than the file")
        yield kind, content[begin : begin + size]
