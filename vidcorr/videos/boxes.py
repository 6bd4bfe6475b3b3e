"""Boxes and points: files, the two conventions of boxes, and SiamFC's square crops."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .files import DataError, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOX = ("x", "y", "width", "height")
SMALLEST_SIDE = 2.0
"""Smallest side of a crop in the frame, pixels."""


def read_boxes(path: Path) -> NDArray[np.float64]:
    """Read a box per line: (T, 4) float64 x, y, width, height as in the file, one-based in OTB and GOT-10k.

    A table with a heading is `predict`'s boxes.csv of a single target, whose boxes become one-based.

    Raises:
        DataError: as `read_numbers`.
    """
    first_line = read_text(path).lstrip().partition("\n")[0].strip()
    if {"x", "y"} <= set(first_line.split(",")):
        rows = read_rows(path, BOX)
        if len({row.name for row in rows}) > 1:
            raise DataError(f"{path}: holds boxes of several targets; give a file for each")
        try:
            found = np.array([row.values for row in rows]).astype(np.float64).reshape(-1, 4)
            return found + np.array([1.0, 1.0, 0.0, 0.0])
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: expected numbers below {', '.join(BOX)} in each line") from error
    return read_numbers(path, BOX)


def read_numbers(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read a table of numbers: UTF-8, a row per line, separated by commas, tabs or spaces; empty lines are skipped.

    Args:
        path: the file.
        columns: names of the columns.

    Returns:
        (rows, columns) float64.

    Raises:
        DataError: naming the file that cannot be read or is not in UTF-8, or the line without a number per column.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        text = line.strip()
        try:
            row = [float(word) for word in text.replace(",", " ").split()]
        except ValueError:
            row = []
        if text and len(row) != len(columns):
            raise DataError(f"{path}: line {number} is {text[:80]!r}; expected {', '.join(columns)}")
        if text:
            rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, len(columns))


class PromptRow(NamedTuple):
    """A box or a point from a file.

    Attributes:
        values: the numbers as in the file, not checked.
        frame: its frame, if the file names it.
        name: name of the object; may be empty.
    """

    values: Any
    frame: str | None = None
    name: str = ""


def read_rows(path: Path, columns: Sequence[str]) -> list[PromptRow]:
    """Read the boxes or points of a text or CSV file.

    A table with x and y in its heading holds a box or point per line, with optional columns `frame` and `name`.
    Without this heading, lines of points are name, x and y; of boxes only the first line is read, since OTB's files go
    on with the following frames.

    Args:
        path: the file.
        columns: x and y of points; x, y, width and height of boxes.

    Raises:
        DataError: naming the file that cannot be read, and the line that does not fit the heading.
    """
    try:
        cells = [[cell.strip() for cell in line] for line in csv.reader(read_text(path).splitlines())]
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error})") from error
    lines = [line for line in cells if any(line)]
    if not lines or not {"x", "y"} <= set(lines[0]):
        if len(columns) == 4:
            return [PromptRow(",".join(line)) for line in lines[:1]]
        lines.insert(0, ["name", *columns])
    heading, *lines = lines
    if wrong := [line for line in lines if len(line) != len(heading)]:
        raise DataError(f"{path}: expected {','.join(heading)} in each line, got {','.join(wrong[0])!r}")
    tables = [dict(zip(heading, line, strict=True)) for line in lines]
    return [
        PromptRow([table.get(column) for column in columns], table.get("frame"), table.get("name", ""))
        for table in tables
    ]


def centred(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert one-based x, y, width, height (…, 4) to zero-based centre y, x and height, width (…, 4), pixels.

    Example:
        >>> centred(np.array([1.0, 1.0, 5.0, 3.0])).tolist()
        [1.0, 2.0, 3.0, 5.0]
    """
    x, y, width, height = np.moveaxis(np.asarray(boxes, dtype=np.float64), -1, 0)
    return np.stack([y - 1 + (height - 1) / 2, x - 1 + (width - 1) / 2, height, width], axis=-1)


def one_based(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert `centred`: zero-based centre y, x and height, width (…, 4) to one-based x, y, width, height."""
    y, x, height, width = np.moveaxis(np.asarray(targets, dtype=np.float64), -1, 0)
    return np.stack([x + 1 - (width - 1) / 2, y + 1 - (height - 1) / 2, width, height], axis=-1)


def context_side(height: float, width: float, context: float = 0.5) -> float:
    """Return the side of the square around a target with its surroundings, pixels (SiamFC, Eq. 15).

    The square's area is (h + c)(w + c), with the margin c = `context` · (h + w).

    Example:
        >>> context_side(1.0, 1.0)
        2.0
    """
    margin = context * (height + width)
    return math.sqrt((height + margin) * (width + margin))


def square_crop(
    image: NDArray[np.uint8], centre: tuple[float, float], side: float, size: int, interpolation: int = 1
) -> NDArray[np.uint8]:
    """Cut a square out of a frame and resize it; the part outside the frame gets the frame's mean colour.

    As in the tracker of VFS: the corners centre ± side / 2 are rounded, only the visible part is resized, and the rest
    is padded. A crop outside the frame is all mean colour (black in VFS).

    Args:
        image: (H, W, 3) uint8.
        centre: (y, x), pixels, zero-based; may lie outside.
        side: side of the square in the frame, pixels; at least 2.
        size: side of the crop, pixels.
        interpolation: OpenCV's; 1 is bilinear.

    Returns:
        (size, size, 3) uint8.
    """
    import cv2

    crop = np.empty((size, size, 3), np.uint8)
    side = max(side, SMALLEST_SIDE)
    (top, bottom, above, height), (left, right, before, width) = (
        _visible(middle, side, length, size) for middle, length in zip(centre, image.shape[:2], strict=True)
    )
    region = image[top:bottom, left:right]
    if not region.size or (height, width) != (size, size):
        crop[:] = np.rint(np.divide(cv2.sumElems(image)[:3], image.shape[0] * image.shape[1]))
    if region.size:
        resized = cv2.resize(region, (width, height), interpolation=interpolation)
        crop[above : above + height, before : before + width] = resized
    return crop


def _visible(middle: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return the visible part along an axis: its start and end in the frame, its start and length in the crop."""
    low, high = round(middle - side / 2), round(middle + side / 2)
    first, last = min(max(low, 0), length), min(max(high, 0), length)
    pixels = max(1, round(size * (last - first) / (high - low)))
    return first, last, max(0, -low * size // (high - low)), pixels
