"""Tables in text files: separators, headings and the columns that they name."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from .files import DataError, read_text
from .folders import is_image_name, natural_order

FRAME_COLUMNS = frozenset(
    {
        "frame", "frames", "frame_id", "frame_number", "frame_no", "frame_nr", "frame_index", "frame_idx", "image",
        "image_id", "image_name", "img", "file", "filename", "file_name",
    }
)  # fmt: skip
"""Names of a column of frames."""
NAME_COLUMNS = frozenset(
    {"name", "id", "track", "track_id", "object", "object_id", "target", "target_id", "label", "class"}
)
"""Names of a column of objects."""
UNUSED_COLUMNS = frozenset(
    {"", "score", "scores", "confidence", "conf", "probability", "visible", "visibility", "occluded"}
)
"""Columns that no reader of boxes uses, and that change no box."""


class Line(NamedTuple):
    """A line of a table.

    Attributes:
        number: its number in the file, from 1.
        cells: the cells without spaces around them.
    """

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table with a heading.

    Attributes:
        path: the file.
        columns: names of the columns as `plain_column` gives them.
        lines: the lines below the heading, each with a cell per column.
    """

    path: Path
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def column(self, names: frozenset[str] | Sequence[str]) -> int | None:
        """Return the place of the column that has one of the names; None without such a column.

        Raises:
            DataError: if two columns have one of the names.
        """
        found = [column for column in self.columns if column in names]
        if len(found) > 1:
            raise DataError(f"{self.path}: the columns {found[0]} and {found[1]} mean the same; leave one out")
        return self.columns.index(found[0]) if found else None


def plain_column(text: str) -> str:
    """Return the name of a column in small letters, with `_` for spaces and dashes, without quotes.

    Example:
        >>> plain_column(' "Frame ID"')
        'frame_id'
    """
    return re.sub("[ -]+", "_", text.strip().strip("\"'").strip().lower())


def read_lines(path: Path) -> list[Line]:
    """Read the cells of a table without blank lines; its first line decides the separator: tab, `;`, `,` or spaces.

    Below `;` or tabs, `1,5` is the number 1.5. Comments (`# …`) and `sep=;` above the table are skipped.

    Raises:
        DataError: if the file cannot be read, is in another encoding than UTF-8 and UTF-16, or is not a CSV file.
    """
    texts = data_lines(path)
    separator = _separator(texts)
    if separator == " ":
        return [Line(number, text.split()) for number, text in enumerate(texts, start=1) if text.strip()]
    reader = csv.reader(texts, delimiter=separator, skipinitialspace=True)
    lines: list[Line] = []
    try:
        for row in reader:
            cells = list(map(str.strip, row))
            if separator != ",":
                cells = list(map(_with_point, cells))
            if any(cells):
                lines.append(Line(reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error}); save it as CSV in UTF-8") from error
    return lines


def data_lines(path: Path) -> list[str]:
    """Return the lines of a text; comments and a spreadsheet's `sep=;` before the first other line are empty.

    A line such as `#1,10,20` is no comment, since numbers follow its first cell.
    """
    texts = read_text(path).splitlines()
    for place, text in enumerate(texts):
        cells = re.split(r"[\t;,]", text)
        is_comment = text.lstrip().startswith("#") and not any(map(is_number, cells[1:]))
        is_separator = re.fullmatch(r"\s*sep=.\s*", text)
        if is_comment or is_separator:
            texts[place] = ""
        elif text.strip():
            break
    return texts


def numbers_in(text: str, count: int) -> list[float]:
    """Return the numbers of a line without a heading; empty if it does not hold `count` of them.

    Tabs, `;`, commas or spaces separate the numbers; a comma beside another separator is a decimal comma. Brackets,
    quotes and a separator at the end are skipped.

    Example:
        >>> numbers_in("[1, 2.5]", 2), numbers_in("1;2,5;", 2), numbers_in("1,5;2,5", 4)
        ([1.0, 2.5], [1.0, 2.5], [])
    """
    text = text.strip().strip("[]()").rstrip(",; \t")
    for separator in (r"\t", ";", ",", r"\s+"):
        words = [word.strip().strip("\"'") for word in re.split(separator, text)]
        if separator != ",":
            words = [_with_point(word.rstrip(",")) for word in words]
        if len(words) == count and all(map(is_number, words)):
            return list(map(float, words))
    return []


def _with_point(cell: str) -> str:
    """Return a cell with the decimal comma of a number as a point."""
    return re.sub(r"^([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)$", r"\1.\2", cell)


def _separator(texts: Sequence[str]) -> str:
    """Return the first of tab, `;` and `,` that the first line with text holds, else a space."""
    first = next(filter(str.strip, texts), "")
    for separator in "\t;,":
        if separator in first:
            return separator
    return " "


def as_table(path: Path, lines: Sequence[Line]) -> Table:
    """Return lines as a table whose first line is the heading.

    Raises:
        DataError: naming a line that has another number of cells than the heading.
    """
    heading, *rest = lines
    for line in rest:
        if len(line.cells) != len(heading.cells):
            expected = ",".join(heading.cells)
            got = ",".join(line.cells)
            raise DataError(f"{path}, line {line.number}: expected {expected} in each line, got {got!r:.120}")
    return Table(path, tuple(map(plain_column, heading.cells)), tuple(rest))


def is_number(text: str) -> bool:
    """Return True if a cell is a number, also `nan` and `inf`, but not Python's `1_000`."""
    if "_" in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def frame_number(text: str) -> int | None:
    """Return the number of a frame in a cell, counted from 0 (`7`, `00007`, and `7.0` of a spreadsheet), or None.

    Example:
        >>> frame_number("00007"), frame_number("7.0"), frame_number("img_7")
        (7, 7, None)
    """
    match = re.fullmatch(r"([0-9]+)(?:\.0*)?", text.strip())
    return int(match[1]) if match else None


def stem_in_cell(cell: str) -> str:
    """Return the name of a frame without folders and without the suffix of an image.

    Example:
        >>> stem_in_cell("img/00007.JPG"), stem_in_cell(r"img\\7.png"), stem_in_cell("0.5")
        ('00007', '7', '0.5')
    """
    name = PureWindowsPath(cell).name
    return Path(name).stem if is_image_name(name) else name


def frames_in_order(path: Path, frames: Sequence[str]) -> list[int]:
    """Return the places of the lines of a table in time order, by the cells of its column of frames.

    Raises:
        DataError: if two lines name the same frame.
    """
    keys = [natural_order(frame) for frame in frames]
    order = sorted(range(len(frames)), key=keys.__getitem__)
    for before, after in pairwise(order):
        if keys[before] == keys[after]:
            raise DataError(f"{path}: two lines are for frame {frames[after]}; leave one line per frame")
    return order


def require_all_frames(path: Path, frames: Sequence[str], stems: Sequence[str]) -> None:
    """Check that the frames of a table, in time order, are all frames of a video, without a gap.

    Args:
        path: the table.
        frames: cells of the column of frames, in time order: the names of the images, or numbers from 0 or from 1.
        stems: names of the frames' images without suffix, in time order.

    Raises:
        DataError: naming the first frame that the table lacks.
    """
    names = list(map(stem_in_cell, frames))
    numbers = list(map(frame_number, names))
    are_numbers_of_names = None not in numbers and numbers == list(map(frame_number, stems))
    from_0 = list(range(len(stems)))
    from_1 = list(range(1, len(stems) + 1))
    if names == list(stems) or are_numbers_of_names or numbers in (from_0, from_1):
        return
    given = f"{frames[0]} to {frames[-1]}" if frames else "none"
    raise DataError(
        f"{path}: {len(frames)} lines for the frames {given}, but the video has the {len(stems)} frames {stems[0]} to "
        f"{stems[-1]}; write a line for every frame, counted from 0 or from 1 or named by its image"
    )
