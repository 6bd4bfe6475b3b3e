"""Pickles of arrays, lists and dictionaries, read without running anything and without loading the arrays.

The pickle module is not used: an interpreter of the few instructions that arrays, text and numbers need walks through
the file. The only names that a file may ask for are those that numpy uses to write arrays; each stands for a function
of this module, and nothing is imported. Large byte strings stay in the file and are read when they are wanted, so a
file of several GB costs no more memory than its list of contents.
"""

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_STEPS = 500_000
"""Instructions of one file; a shard of TAP-Vid-Kinetics with frames as lists needs some 90,000."""

_KEPT = 256  # bytes; a longer string stays in the file
_MARK = object()


class _Refused(Exception):
    """Error for a file that asks for something that this reader does not do."""


@dataclass(frozen=True)
class StoredBytes:
    """A byte string that lies in a file.

    Args:
        path: the file.
        offset: offset of its first byte.
        length: bytes in the file.
        is_text: stored as UTF-8 text of Latin-1 characters, as protocol 2 does.
    """

    path: Path
    offset: int
    length: int
    is_text: bool = False

    def read(self, start: int = 0, count: int | None = None) -> bytes:
        """Read some of the bytes, by default all from `start` on.

        Raises:
            DataError: if the file has changed since it was opened.
        """
        try:
            with self.path.open("rb") as file:
                if self.is_text:
                    file.seek(self.offset)
                    content = file.read(self.length).decode("utf-8", "surrogatepass").encode("latin-1")
                    return content[start:] if count is None else content[start : start + count]
                file.seek(self.offset + start)
                wanted = self.length - start if count is None else min(count, self.length - start)
                content = file.read(wanted)
        except (OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: cannot be read ({error}); copy it again") from error
        if len(content) < wanted:
            raise DataError(f"{self.path}: has become shorter while it was read; copy it again")
        return content


@dataclass
class StoredArray:
    """A numpy array that lies in a file.

    Attributes:
        dtype: type of numbers, bool or byte strings.
        shape: as the file claims.
        is_fortran: the first axis is the fastest.
        content: its bytes.
    """

    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    shape: tuple[int, ...] = ()
    is_fortran: bool = False
    content: StoredBytes | bytes = b""

    def read(self) -> "NDArray[Any]":
        """Read the array.

        Raises:
            DataError: if the file does not hold as many bytes as the shape says.
        """
        content = self.content if isinstance(self.content, bytes) else self.content.read()
        if len(content) != math.prod(self.shape) * self.dtype.itemsize:
            where = "" if isinstance(self.content, bytes) else f"{self.content.path}: "
            raise DataError(f"{where}an array of {self.shape} {self.dtype} has {len(content)} bytes; copy it again")
        array = np.frombuffer(content, self.dtype)
        return array.reshape(self.shape, order="F" if self.is_fortran else "C")

    def read_item(self, number: int) -> "NDArray[Any]":
        """Read one entry along the first axis, and no more of the file where that is possible."""
        if self.is_fortran or isinstance(self.content, bytes) or self.content.is_text:
            if _latest.get("array") is not self:
                _latest.update(array=self, values=self.read())
            return _latest["values"][number]
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        content = self.content.read(number * size, size)
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


_latest: dict[str, Any] = {}
"""The last array that had to be read as one piece for the sake of an entry, and its values."""


def read_pickle(path: Path) -> Any:
    """Read what a pickle holds: dictionaries, lists, tuples, text, numbers, bytes and numpy arrays.

    Nothing is executed, whatever the file holds. Protocols 2 to 5 are known, of numpy 1 and 2.

    Args:
        path: the file.

    Returns:
        The content; a long byte string is a `StoredBytes`, an array a `StoredArray`, both still in the file.

    Raises:
        DataError: one line, for a file that is cut off or damaged, asks for any other name, or holds arrays of objects
            or of claimed sizes that its bytes do not have.
    """
    try:
        with path.open("rb") as file:
            return _Interpreter(path, file).run()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _Refused as error:
        raise DataError(f"{path}: refused: {error}") from error
    except EOFError as error:
        raise DataError(f"{path}: the pickle ends too early; copy or download it again") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, struct.error) as error:
        raise DataError(f"{path}: not a pickle of plain data, or a damaged one ({type(error).__name__})") from error


class _Dtype:
    """A dtype between the instruction that makes it and the one that states its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code[:1] not in tuple("fiubS") or not code[1:].isdecimal() or len(code) > 11:
            raise _Refused(f"an array of type {code!r:.40}; arrays hold numbers, bool or byte strings here")
        self.value = np.dtype(code)

    def build(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise _Refused("an array of a structured type")
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class _Interpreter:
    """Runs the instructions of a pickle on a stack of plain values."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.file = path, file
        self.size = path.stat().st_size
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        if self.take(1) != b"\x80" or not 2 <= self.take(1)[0] <= 5:
            raise _Refused("not a pickle of protocol 2 to 5")
        for _ in range(MOST_STEPS):
            code = self.take(1)
            if code == b".":
                (value,) = self.stack
                return value
            action = _ACTIONS.get(code)
            if action is None:
                raise _Refused(f"the instruction {code!r}, which arrays and plain data do not need")
            action(self)
        raise _Refused(f"more than {MOST_STEPS} instructions")

    def take(self, count: int) -> bytes:
        content = self.file.read(count) if 0 <= count <= self.size - self.file.tell() else b""
        if len(content) < count:
            raise EOFError
        return content

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_string(self, form: str, is_text: bool) -> None:
        """A string that follows its own length; a long one stays where it is."""
        length = self.number(form)
        if length <= _KEPT:
            content = self.take(length)
            return self.push(content.decode("utf-8", "surrogatepass") if is_text else content)
        offset = self.file.tell()
        if length > self.size - offset:
            raise EOFError
        self.file.seek(length, io.SEEK_CUR)
        return self.push(StoredBytes(self.path, offset, length, is_text))

    def since_mark(self) -> list[Any]:
        mark = len(self.stack) - 1
        while self.stack[mark] is not _MARK:
            mark -= 1
            if mark < 0:
                raise _Refused("an instruction without its mark")
        values = self.stack[mark + 1 :]
        del self.stack[mark:]
        return values

    def push_tuple(self, length: int) -> None:
        values = tuple(self.stack[len(self.stack) - length :]) if length else ()
        if len(values) < length:
            raise IndexError
        del self.stack[len(self.stack) - length :]
        self.push(values)

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise _Refused(f"an item of something that is not a {kind.__name__}")
        return self.stack[-1]

    def set_items(self, values: list[Any]) -> None:
        target = self.top(dict)
        target.update(zip(values[::2], values[1::2], strict=True))

    def push_global(self, module: object, name: object) -> None:
        known = _NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            raise _Refused(f"it asks for {module!s:.60}.{name!s:.60}, which loading a pickle would import and run")
        self.push(known)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or function not in _CALLED:
            raise _Refused("a call of something that is not numpy's")
        self.push(function(*arguments))

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _Dtype):
            target.build(state)
        elif isinstance(target, StoredArray):
            _, shape, dtype, is_fortran, content = state
            _fill(target, content, dtype, shape, is_fortran)
        else:
            raise _Refused("a state for something that is not an array")


def _fill(array: StoredArray, content: Any, dtype: Any, shape: Any, is_fortran: Any) -> None:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | StoredBytes):
        raise _Refused("an array of objects; arrays hold numbers, bool or byte strings here")
    sides = tuple(shape)
    if any(type(side) is not int or side < 0 for side in sides) or len(sides) > 8:
        raise _Refused(f"an array of shape {shape!r:.60}")
    expected, length = math.prod(sides) * dtype.value.itemsize, _length(content)
    if length < expected or (length > expected and not (isinstance(content, StoredBytes) and content.is_text)):
        raise _Refused(f"an array that claims {sides} {dtype.value} and has {length} bytes")
    array.dtype, array.shape, array.is_fortran, array.content = dtype.value, sides, bool(is_fortran), content


def _length(content: bytes | StoredBytes) -> int:
    return len(content) if isinstance(content, bytes) else content.length


def _reconstruct(*_: object) -> StoredArray:
    return StoredArray()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: str) -> StoredArray:
    array = StoredArray()
    _fill(array, content, dtype, shape, order == "F")
    return array


def _scalar(dtype: Any, content: Any) -> StoredArray:
    array = StoredArray()
    _fill(array, content, dtype, (), False)
    return array


def _encode(text: Any, encoding: str) -> Any:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"bytes stored as {encoding!r:.20} text")
    return text.encode("latin-1") if isinstance(text, str) else text


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _numpy in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _NAMES[f"{_numpy}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_numpy}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_numpy}.numeric", "_frombuffer"] = _frombuffer

_CALLED: tuple[Callable[..., Any], ...] = (_Dtype, _encode, _reconstruct, _scalar, _frombuffer)


def _global_line(machine: _Interpreter) -> None:
    module, name = (machine.file.readline(256).removesuffix(b"\n").decode("ascii") for _ in range(2))
    machine.push_global(module, name)


def _stack_global(machine: _Interpreter) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.push_global(module, name)


def _memoize(machine: _Interpreter) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(form: str, machine: _Interpreter) -> None:
    machine.memo[machine.number(form)] = machine.stack[-1]


def _get(form: str, machine: _Interpreter) -> None:
    machine.push(machine.memo[machine.number(form)])


def _append(machine: _Interpreter) -> None:
    value = machine.stack.pop()
    machine.top(list).append(value)


def _appends(machine: _Interpreter) -> None:
    values = machine.since_mark()
    machine.top(list).extend(values)


def _set_item(machine: _Interpreter) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])


_ACTIONS: dict[bytes, Callable[[_Interpreter], object]] = {
    b"\x95": lambda machine: machine.take(8),  # a frame, which only says how much to read at once
    b"(": lambda machine: machine.push(_MARK),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"}": lambda machine: machine.push({}),
    b"]": lambda machine: machine.push([]),
    b")": lambda machine: machine.push(()),
    b"\x85": partial(_Interpreter.push_tuple, length=1),
    b"\x86": partial(_Interpreter.push_tuple, length=2),
    b"\x87": partial(_Interpreter.push_tuple, length=3),
    b"t": lambda machine: machine.push(tuple(machine.since_mark())),
    b"K": lambda machine: machine.push(machine.number("<B")),
    b"M": lambda machine: machine.push(machine.number("<H")),
    b"J": lambda machine: machine.push(machine.number("<i")),
    b"G": lambda machine: machine.push(machine.number(">d")),
    b"\x8a": lambda machine: machine.push(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True)),
    b"\x8c": partial(_Interpreter.push_string, form="<B", is_text=True),
    b"X": partial(_Interpreter.push_string, form="<I", is_text=True),
    b"\x8d": partial(_Interpreter.push_string, form="<Q", is_text=True),
    b"C": partial(_Interpreter.push_string, form="<B", is_text=False),
    b"B": partial(_Interpreter.push_string, form="<I", is_text=False),
    b"\x8e": partial(_Interpreter.push_string, form="<Q", is_text=False),
    b"\x96": partial(_Interpreter.push_string, form="<Q", is_text=False),
    b"c": _global_line,
    b"\x93": _stack_global,
    b"\x94": _memoize,
    b"q": partial(_put, "<B"),
    b"r": partial(_put, "<I"),
    b"h": partial(_get, "<B"),
    b"j": partial(_get, "<I"),
    b"a": _append,
    b"e": _appends,
    b"s": _set_item,
    b"u": lambda machine: machine.set_items(machine.since_mark()),
    b"R": _Interpreter.reduce,
    b"b": _Interpreter.build,
}
