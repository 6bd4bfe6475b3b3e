"""Boxes and points: files, the two conventions of boxes, and SiamFC's square crops."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from itertools import product, starmap
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .files import DataError, read_text
from .tables import (
    FRAME_COLUMNS,
    NAME_COLUMNS,
    UNUSED_COLUMNS,
    Line,
    as_table,
    data_lines,
    frames_in_order,
    is_number,
    numbers_in,
    plain_column,
    read_lines,
    require_all_frames,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOX = ("x", "y", "width", "height")
_CORNERS = (("x", "y"), ("left", "top"), ("xmin", "ymin"), ("x_min", "y_min"), ("x1", "y1"))
_SIZES = (("width", "height"), ("w", "h"))
SIZE_FORMS = tuple(starmap(add, product(_CORNERS, _SIZES)))
"""Columns of boxes as the upper left corner and the size."""
CORNER_FORMS = (
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
"""Columns of boxes as two corners."""
KNOWN_FORMS = (
    "x,y,width,height, x,y,w,h, left,top,width,height, x1,y1,x2,y2, xmin,ymin,xmax,ymax or left,top,right,bottom"
)
SMALLEST_SIDE = 2.0
"""Smallest side of a crop in the frame, pixels."""


def read_boxes(path: Path, stems: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Read a box per frame: (T, 4) float64 x, y, width, height, one-based, in time order.

    Lines of four numbers count from 1, as in OTB and GOT-10k. A table with a heading counts from 0, as `predict`'s
    boxes.csv; its lines may be in any order if it has a column of frames.

    Args:
        path: the file.
        stems: names of the video's frames without suffix, in time order; None: not checked against a column of frames.

    Raises:
        DataError: naming the file that cannot be read, the unknown columns, the line without four numbers, or the
            frame that is missing.
    """
    lines = read_lines(path)
    if not _has_heading(lines):
        _refuse_commented_heading(path)
        return read_numbers(path, BOX)
    table = read_box_table(path, lines)
    if len({row.name for row in table}) > 1:
        raise DataError(f"{path}: holds boxes of several targets; give a file for each")
    table = in_time_order(path, table)
    frames = _frames_of(table)
    if frames and stems is not None:
        require_all_frames(path, frames, stems)
    boxes = np.array([row.values for row in table], dtype=np.float64).reshape(-1, 4)
    return boxes + np.array([1.0, 1.0, 0.0, 0.0])


def _refuse_commented_heading(path: Path) -> None:
    """Refuse boxes below a comment that names columns: with a heading x and y count from 0, without one from 1."""
    for text in read_text(path).splitlines():
        if text.strip() and not text.lstrip().startswith("#"):
            return
        columns = list(map(_box_column, re.findall(r"[a-z_0-9]+", text.lower())))
        if _box_form(columns):
            raise DataError(
                f"{path}: the columns are in a comment, {text.strip()[:40]!r}: take the # away if boxes count from 0, "
                "or the line if they count from 1"
            )


def box_frames(path: Path) -> list[str] | None:
    """Return the cells of a table's column of frames in time order; None without a heading or such a column.

    Raises:
        DataError: if the file is no table of boxes.
    """
    lines = read_lines(path)
    if not _has_heading(lines):
        return None
    rows = in_time_order(path, read_box_table(path, lines))
    return _frames_of(rows) or None


def _frames_of(rows: Sequence[PromptRow]) -> list[str]:
    """Return the frames that the rows of a table name."""
    return [row.frame for row in rows if row.frame is not None]


def _has_heading(lines: Sequence[Line]) -> bool:
    """Return True if the first line holds anything but numbers."""
    if not lines:
        return False
    words = " ".join(cell.strip("[]()\"', ") for cell in lines[0].cells).split()
    return not all(map(is_number, words))


def in_time_order(path: Path, rows: list[PromptRow]) -> list[PromptRow]:
    """Return the rows of a table in the order of their frames; as they are if the table names no frames.

    Raises:
        DataError: if two rows are for the same frame.
    """
    frames = _frames_of(rows)
    if not frames:
        return rows
    return [rows[place] for place in frames_in_order(path, frames)]


def read_numbers(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read a table of numbers without a heading: a row per line, separated by commas, `;`, tabs or spaces.

    Args:
        path: the file, in UTF-8 or UTF-16; empty lines are skipped.
        columns: names of the columns.

    Returns:
        (rows, columns) float64.

    Raises:
        DataError: naming the file that cannot be read, or the line without a number per column.
    """
    rows = []
    for number, line in enumerate(data_lines(path), start=1):
        text = line.strip()
        if not text:
            continue
        numbers = numbers_in(text, len(columns))
        if not numbers:
            raise DataError(f"{path}: line {number} is {text[:80]!r}; expected {', '.join(columns)}")
        rows.append(numbers)
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


def read_box_table(path: Path, lines: Sequence[Line]) -> list[PromptRow]:
    """Return the boxes of a table with a heading, as x, y, width and height; x and y count from 0.

    The corners x1, y1, x2, y2 give the width x2 − x1 and the height y2 − y1.

    Args:
        path: the file, for messages.
        lines: its lines, the heading first.

    Raises:
        DataError: for unknown columns, naming the known ones, or a cell that is not a number.
    """
    table = as_table(path, lines)
    frame = table.column(FRAME_COLUMNS)
    name = table.column(NAME_COLUMNS)
    columns = list(map(_box_column, table.columns))
    form = _box_form(columns)
    known = FRAME_COLUMNS | NAME_COLUMNS | UNUSED_COLUMNS | set(form)
    is_known = form and known.issuperset(columns)
    if not is_known or len(set(columns)) < len(columns):
        raise DataError(
            f"{path}: the columns {','.join(table.columns):.80} are not known; a table of boxes has {KNOWN_FORMS}, and "
            "may have frame and name"
        )
    places = list(map(columns.index, form))
    rows: list[PromptRow] = []
    for line in table.lines:
        cells = [line.cells[place] for place in places]
        if not all(map(is_number, cells)):
            raise DataError(f"{path}, line {line.number}: expected numbers below {','.join(form)}, got {cells!r:.80}")
        left, top, third, fourth = map(float, cells)
        if form in CORNER_FORMS:
            if third < left or fourth < top:
                raise DataError(
                    f"{path}, line {line.number}: {form[2]},{form[3]} lie before {form[0]},{form[1]}: correct them, or "
                    "name the columns x,y,width,height if they are sizes"
                )
            third -= left
            fourth -= top
        rows.append(PromptRow([left, top, third, fourth], _cell(line, frame), _cell(line, name) or ""))
    return rows


def _box_form(columns: Collection[str]) -> tuple[str, ...]:
    """Return the four columns that hold the boxes of a table; empty if they are not known."""
    for form in (*SIZE_FORMS, *CORNER_FORMS):
        if set(form) <= set(columns):
            return form
    return ()


def _box_column(column: str) -> str:
    """Return the name of a column without a prefix such as `bbox_`."""
    for prefix in ("bbox_", "bb_", "box_"):
        column = column.removeprefix(prefix)
    return column


def read_prompt_rows(path: Path, columns: Sequence[str]) -> list[PromptRow]:
    """Read the boxes or points of a prompt from a text or CSV file.

    A table with a heading holds a box or point per line, and may have columns of frames and names. Without a heading,
    lines of points are name, x and y; of boxes only the first line is read, since OTB's files continue with the
    following frames.

    Args:
        path: the file.
        columns: x and y for points; x, y, width and height for boxes.

    Raises:
        DataError: naming the file that cannot be read, its unknown columns, or the line that does not fit the heading.
    """
    lines = read_lines(path)
    if not lines:
        return []
    if len(columns) == len(BOX):
        if not _has_heading(lines):
            first = next(filter(str.strip, data_lines(path)))
            return [PromptRow(numbers_in(first, len(columns)) or lines[0].cells)]
        return read_box_table(path, lines)
    if not {"x", "y"} <= set(map(plain_column, lines[0].cells)):
        lines.insert(0, Line(0, ["name", *columns]))
    table = as_table(path, lines)
    frame = table.column(FRAME_COLUMNS)
    name = table.column(NAME_COLUMNS | {"point", "joint"})
    places = list(map(table.columns.index, columns))
    rows: list[PromptRow] = []
    for line in table.lines:
        numbers = [line.cells[place] for place in places]
        rows.append(PromptRow(numbers, _cell(line, frame), _cell(line, name) or ""))
    return rows


def _cell(line: Line, place: int | None) -> str | None:
    """Return the cell of a line in a column; None without the column."""
    return None if place is None else line.cells[place]


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
    top, bottom, above, height = _visible(centre[0], side, image.shape[0], size)
    left, right, before, width = _visible(centre[1], side, image.shape[1], size)
    region = image[top:bottom, left:right]
    if not region.size or (height, width) != (size, size):
        crop[:] = np.rint(np.divide(cv2.sumElems(image)[:3], image.shape[0] * image.shape[1]))
    if region.size:
        resized = cv2.resize(region, (width, height), interpolation=interpolation)
        crop[above : above + height, before : before + width] = resized
    return crop


def _visible(middle: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return the visible part along an axis: its start and end in the frame, its start and length in the crop."""
    low = round(middle - side / 2)
    high = round(middle + side / 2)
    first = min(max(low, 0), length)
    last = min(max(high, 0), length)
    pixels = max(1, round(size * (last - first) / (high - low)))
    return first, last, max(0, -low * size // (high - low)), pixels
