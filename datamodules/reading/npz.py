"""Arrays of an .npz file, found without loading them and without pickle."""

import ast
import math
import struct
import zipfile
from pathlib import Path

import numpy as np

from .errors import DataError
from .restricted_pickle import StoredArray, StoredBytes

REMEDY = "write it again by numpy.savez"


def read_npz(path: Path) -> dict[str, StoredArray]:
    """Find the arrays of an uncompressed .npz; their values are read when they are wanted.

    Args:
        path: what `numpy.savez` wrote.

    Returns:
        Name → array.

    Raises:
        DataError: one line, for a file that is damaged, compressed, or holds arrays of objects or of claimed sizes that
            its bytes do not have.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            found = {}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise DataError(f"{path}: {name} is compressed, which hides its size; {REMEDY}")
                file.seek(entry.header_offset + 26)
                start = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
                file.seek(start)
                found[name] = _array(path, name, file.read(min(entry.file_size, 4096)), start, entry.file_size)
            return found
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, struct.error, ValueError, SyntaxError, KeyError, TypeError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not an .npz file, or a damaged one; {REMEDY}") from error


def _array(path: Path, name: str, head: bytes, start: int, size: int) -> StoredArray:
    """Parse the header of an .npy, see numpy.lib.format."""
    if head[:6] != b"\x93NUMPY" or head[6] not in (1, 2):
        raise ValueError
    form = "<H" if head[6] == 1 else "<I"
    begin = 8 + struct.calcsize(form)
    length = struct.unpack(form, head[8:begin])[0]
    if begin + length > len(head):
        raise ValueError
    header = ast.literal_eval(head[begin : begin + length].decode("latin-1").strip())
    code, shape = header["descr"], tuple(header["shape"])
    if not isinstance(code, str) or code[1:2] not in tuple("fiubS"):
        raise DataError(f"{path}: {name} holds {code!r:.40}; arrays hold numbers, bool or byte strings here")
    dtype, content = np.dtype(code), size - begin - length
    if any(type(side) is not int or side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != content:
        raise DataError(f"{path}: {name} claims {shape} {dtype} and has {content} bytes; {REMEDY}")
    stored = StoredBytes(path, start + begin + length, content)
    return StoredArray(dtype, shape, bool(header["fortran_order"]), stored)
