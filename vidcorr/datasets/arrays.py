"""Read the arrays of pickles and .npz files without running code from them."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..videos.files import DataError

PLAIN_TYPE = re.compile(r"[<>|=]?[biufSU]\d*")
"""Types of numpy that hold booleans, numbers, bytes and text, no addresses."""


class _Type:
    """Stand-in for numpy's dtype while a pickle is read: a plain type, whose state sets only the order of bytes."""

    __slots__ = ("dtype",)

    def __init__(self, text: str, *further: object) -> None:
        if PLAIN_TYPE.fullmatch(text) is None:
            raise pickle.UnpicklingError(f"it holds an array of {ascii(text)[:60]}, no plain numbers or text")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # the order of bytes, such as ">"
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stand-in for numpy's array while a pickle is read: a state must have a plain type, and bytes as content."""

    __slots__ = ()

    def __setstate__(self, state: Any, /) -> None:
        version, shape, stand_in, is_fortran, content = state
        # an array of objects would have a list as content
        if not isinstance(stand_in, _Type) or not isinstance(content, bytes | bytearray | str):
            raise pickle.UnpicklingError("it holds an array without numbers")
        plain: Any = (version, shape, stand_in.dtype, is_fortran, content)
        super().__setstate__(plain)


def _empty(*further: object) -> _Array:
    return _Array((0,), np.uint8)


def _from_buffer(buffer: Any, stand_in: _Type, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    return np.frombuffer(buffer, stand_in.dtype).reshape(shape, order=order)


def _scalar(stand_in: _Type, content: bytes | str = b"") -> Any:
    as_bytes = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(as_bytes, stand_in.dtype, count=1)[0]


def _sealed(function: Callable[..., object]) -> Any:

    class Sealed:
        # without a `__dict__`, to whose entries a pickle could write
        __slots__ = ()

        def __call__(self, *arguments: object) -> Any:
            return function(*arguments)

    return Sealed()


NAMES: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): str.encode,  # protocol 2 holds bytes as text
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): "numpy.ndarray",  # an argument of `_reconstruct`, which ours ignores
}
"""(module, name) of everything that an array's pickle names → its stand-in; numpy 2 renamed `core` to `_core`."""
for _core in ("numpy.core", "numpy._core"):
    NAMES[f"{_core}.multiarray", "_reconstruct"] = _sealed(_empty)
    NAMES[f"{_core}.multiarray", "scalar"] = _sealed(_scalar)
    NAMES[f"{_core}.numeric", "_frombuffer"] = _sealed(_from_buffer)


class _PlainUnpickler(pickle.Unpickler):
    """Reader of pickles that finds only the stand-ins in `NAMES`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            asked = ascii(f"{module:.60}.{name:.60}")
            raise pickle.UnpicklingError(f"it asks for {asked}, which loading a pickle would run")
        return NAMES[module, name]


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data and numpy arrays; DataError for anything else."""
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: refused: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    # a damaged file makes the instructions fail in every way
    except Exception as error:
        raise DataError(f"{path}: not a pickle of plain data, or damaged ({type(error).__name__})") from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz by their names; DataError for arrays of objects, or a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    # a damaged file makes numpy fail in every way
    except Exception as error:
        raise DataError(f"{path}: cannot be read: not an .npz file of numpy.savez, or damaged ({error})") from error
