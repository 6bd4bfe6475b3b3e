"""Read the arrays of pickles, .npz and MATLAB files so that a hostile or damaged file neither runs code nor crashes.

Arrays of a pickle are views of the mapped file: only pages that are used come into memory. MATLAB's files of version 5
are read without scipy, whose reader ends the process at some damaged files.
"""

import pickle
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .guards import DataError, require_regular

MOST_STEPS = 1_000_000
"""Limit on the reads of a pickle; a shard of TAP-Vid-Kinetics with frames as lists needs some 200,000."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Data type in a MATLAB file → numpy's dtype."""
MATRIX, COMPRESSED = 14, 15
"""MATLAB's data types of an array and of a compressed element."""
HEADER = 128
"""Bytes before the first element of a MATLAB file."""
MOST_UNPACKED = 2**26
"""Limit on the bytes of an unpacked element of a MATLAB file."""

_KEPT = 256  # bytes; a longer string stays in the file
_DTYPE = re.compile(r"[fiubS]\d{1,9}")  # numbers, bool and byte strings


def read_pickle(path: Path) -> Any:
    """Read the dictionaries, lists, tuples, text, numbers, bytes and numpy arrays of a pickle without executing it.

    Protocols 2 to 5 of numpy 1 and 2 are known.

    Args:
        path: the file.

    Returns:
        The content; a long byte string is a memoryview of the file, an array a `PickledArray`.

    Raises:
        DataError: if the file is cut off or damaged, asks for other names, or holds arrays of objects or arrays larger
            than their bytes.
    """
    require_regular(path)
    try:
        return _PlainUnpickler(_Reader(np.memmap(path, np.uint8, "r").data)).load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnpicklingError as error:
        raise DataError(f"{path}: refused: {error}") from error
    except EOFError as error:
        raise DataError(f"{path}: the pickle ends too early; copy or download it again") from error
    except Exception as error:  # a damaged file makes the instructions fail in every way
        raise DataError(f"{path}: not a pickle of plain data, or damaged ({type(error).__name__})") from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an uncompressed .npz, so that the file's size bounds the arrays'.

    Args:
        path: file from `numpy.savez`.

    Returns:
        Name → array.

    Raises:
        DataError: if the file is damaged, compressed, or holds arrays of objects.
    """
    require_regular(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if any(entry.compress_type for entry in archive.zip.infolist()):
                raise ValueError("it is compressed")
            return dict(archive)
    except Exception as error:  # as above
        raise DataError(f"{path}: not an .npz file of numpy.savez, or damaged ({error})") from error


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


class _Reader:
    """A mapped file for the unpickler; long strings are views."""

    def __init__(self, content: memoryview) -> None:
        self.content, self.position, self.steps = content, 0, 0

    def read(self, count: int) -> bytes | memoryview:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise UnpicklingError(f"more than {MOST_STEPS} instructions")
        part = self.content[self.position : self.position + max(count, 0)]
        if len(part) != count:
            raise EOFError
        self.position += count
        return bytes(part) if count <= _KEPT else part

    def readline(self) -> bytes:
        line = bytes(self.content[self.position : self.position + _KEPT]).partition(b"\n")[0] + b"\n"
        return bytes(self.read(len(line)))


class PickledArray:
    """A numpy array under construction: an instruction creates it, a later instruction gives the content.

    Attributes:
        array: the array.
    """

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] = np.empty(0)  # whatever numpy's pickles say of an empty array

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.array = np.frombuffer(content, dtype.value).reshape(shape, order="F" if is_fortran else "C")


class _Dtype:
    """A dtype under construction: an instruction creates it, a later instruction states the byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not _DTYPE.fullmatch(code):
            raise UnpicklingError(f"an array of type {code!r:.40}; arrays hold numbers, bool or byte strings here")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        self.value = self.value.newbyteorder(state[1])


def _filled(content: Any, dtype: Any, shape: Any = (), order: str = "C") -> PickledArray:
    made = PickledArray()
    made.__setstate__((1, shape, dtype, order == "F", content))
    return made


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin-1"),  # bytes of protocol 2
}
for _numpy in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _NAMES[f"{_numpy}.multiarray", "_reconstruct"] = PickledArray
    _NAMES[f"{_numpy}.multiarray", "scalar"] = lambda dtype, content: _filled(content, dtype)
    _NAMES[f"{_numpy}.numeric", "_frombuffer"] = _filled


_Unpickler: Any = pickle._Unpickler  # Python's version, as the C version cannot read views


class _PlainUnpickler(_Unpickler):
    """Python's unpickler, restricted to the instructions of plain data."""

    dispatch: ClassVar[dict[int, Any]] = {
        code: _Unpickler.dispatch[code]
        for code in b"\x80.(N\x88\x89}])\x85\x86\x87tKMJG\x8a\x8cX\x8d\x43B\x8ec\x93\x94qrhjaesuR"
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise UnpicklingError(f"it asks for {module!s:.60}.{name!s:.60}, which loading a pickle would run")
        return _NAMES[module, name]

    def _build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], PickledArray | _Dtype):
            raise UnpicklingError("a state for something that is not an array")
        self.stack[-1].__setstate__(state)

    def _skip_frame(self) -> None:  # which only says how much to read at once
        self.read(8)

    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.FRAME[0]] = _skip_frame
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]  # a view, instead of a copy that it may only claim
