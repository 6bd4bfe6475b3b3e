"""Read the arrays of pickles and .npz files without running code from them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import DataError

NAMES = {
    ("_codecs", "encode"),  # bytes, in protocol 2
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),  # for pickles of protocol 5
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""All that an array's pickle names; numpy 2 renamed `core`."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return one of `NAMES`; refuse everything else that a pickle asks for."""
        if (module, name) not in NAMES:
            asked = ascii(f"{module:.60}.{name:.60}")
            raise pickle.UnpicklingError(f"it asks for {asked}, which loading a pickle would run")
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """Read a pickle of dictionaries, lists, text, numbers, bytes and numpy arrays.

    Raises:
        DataError: if the file cannot be read or names anything else.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: refused: {' '.join(str(error).split())}") from error
    except Exception as error:  # a damaged file makes the instructions fail in every way
        raise DataError(f"{path}: not a pickle of plain data, or damaged ({type(error).__name__})") from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz by their names.

    Raises:
        DataError: if the file is damaged, or holds arrays of objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # a damaged file makes numpy fail in every way
        raise DataError(f"{path}: cannot be read: not an .npz file of numpy.savez, or damaged ({error})") from error
