"""Files of boxes and of other numbers, a line a frame."""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..videos.files import DataError, list_lines


def read_boxes(path: Path) -> NDArray[np.float64]:
    """Read a box per frame: (T, 4) float64 x, y, width, height, one-based, as in OTB and GOT-10k.

    Raises:
        DataError: naming the file that cannot be read, or the line without four numbers; or if all boxes are fractions
            of the frame.
    """
    boxes = read_numbers(path, "x,y,w,h")
    finite = boxes[np.isfinite(boxes)]
    if (finite % 1).any() and finite.max() <= 1:
        raise DataError(f"{path}: fractions of the frame; expected x,y,w,h in pixels")
    return boxes


def read_numbers(path: Path, columns: str) -> NDArray[np.float64]:
    """Read lines of numbers, separated by a comma, tabs or blanks: (lines, columns) float64; skip empty lines."""
    count = columns.count(",") + 1
    rows: list[list[float]] = []
    for number, line in list_lines(path):
        fields = re.split(r"\s*,\s*|\s+", line)
        row: list[float] = []
        with suppress(ValueError):
            row = list(map(float, fields))
        # Python reads 1_000 as a number
        if len(row) != count or "_" in line:
            raise DataError(f"{path}, line {number}: expected numbers ({columns}), got {line[:80]!r}")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, count)
