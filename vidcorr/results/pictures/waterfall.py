"""A waterfall: a score that changes step by step, from the first row of a table to its sum."""

import math
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..cells import Cell
from ..formats import percent
from ..rendering import Table

WIDTH = 1800
"""Pixels: 15 cm at 300 dots per inch."""
LABEL = 780
"""Largest width of a label, pixels."""
ROW = 56
"""Least height of a row, pixels."""
SPACING = 29
"""From a line of a label to the next, pixels."""
RISE = (0, 114, 178)
FALL = (213, 94, 0)
END = (110, 110, 110)
INK = (30, 30, 30)
SOFT = (95, 95, 95)
PALE = (205, 205, 205)


def draw_waterfall(table: Table, path: Path) -> None:
    """Draw the steps of a table as horizontal bars, with the intervals of their differences as thin lines.

    Args:
        table: the scores, in its first column: of a start, and of the steps with their differences, whose last row is
            the whole.
        path: file to write, .png or .pdf.

    Raises:
        OSError: if the file cannot be written.
    """
    head, column = next(iter(table.columns.items()))
    cells = [row[head] for row in table.rows.values()]
    last = len(cells) - 1
    labels = [_lines_of_label(name) for name in table.rows]
    font = ImageFont.load_default(26)
    left = 44 + round(max(font_of_line.getlength(text) for label in labels for text, font_of_line, _ in label))
    right = WIDTH - 190
    tops = [8]  # of the rows, and of what is below
    for label in labels:
        tops.append(tops[-1] + max(ROW, 12 + SPACING * len(label)))
    ends = [cell.mean for cell in cells]
    for cell in cells[1:last]:
        ends += _whisker(cell)
    step = _tick(max(ends) - min(ends) + 0.004)
    low = math.floor(min(ends) / step - 0.1) * step
    high = math.ceil(max(ends) / step + 0.1) * step

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    image = Image.new("RGB", (WIDTH, tops[-1] + 2 * ROW), "white")
    draw = ImageDraw.Draw(image)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        draw.line([x(value), 8, x(value), tops[-1]], PALE, 2)
        draw.text((x(value), tops[-1] + 8), f"{100 * value:.4g}", INK, font, anchor="ma")
    draw.text(((left + right) / 2, tops[-1] + ROW), f"{column.score}, per cent", INK, font, anchor="ma")
    middles = [(top + bottom) / 2 for top, bottom in pairwise(tops)]
    for number, (label, cell, middle) in enumerate(zip(labels, cells, middles, strict=True)):
        begin = low
        colour = END
        text = percent(cell.mean)
        whisker: list[float] = []
        if 0 < number < last:
            begin = cells[number - 1].mean
            colour = RISE if cell.mean > begin else FALL
            text = percent(cell.mean - begin, sign="+")
            whisker = _whisker(cell)
        first, second = sorted([x(begin), x(cell.mean)])
        draw.rectangle([first - 1, middle - 17, second + 1, middle + 17], colour)
        for end in whisker:
            draw.line([x(cell.mean), middle, x(end), middle], INK, 3)
            draw.line([x(end), middle - 8, x(end), middle + 8], INK, 3)
        if number < last:
            draw.line([x(cell.mean), middle + 17, x(cell.mean), middles[number + 1] - 17], END, 2)
        for place, (line, font_of_line, ink) in enumerate(label):
            y = middle + SPACING * (place - (len(label) - 1) / 2)
            draw.text((left - 20, y), line, ink, font_of_line, anchor="rm")
        number_alone = text.removeprefix("−")
        draw.text((WIDTH - 24, middle), number_alone, INK, font, anchor="rm")
        if number_alone != text:  # the font has no minus
            end = WIDTH - 28 - font.getlength(number_alone)
            draw.line([end - 12, middle + 1, end, middle + 1], INK, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, resolution=300.0)


def _lines_of_label(name: str) -> list[tuple[str, Any, tuple[int, int, int]]]:
    """Return the lines of a row's name with font and colour: the fields, and small below them their values."""
    fields, _, values = name.replace("→", "to").partition(": ")  # the font has no arrow
    lines = []
    for text, size, ink in ((fields, 26, INK), (values, 21, SOFT)):
        font = ImageFont.load_default(size)
        for line in wrap(text, int(LABEL / font.getlength("e"))):
            lines.append((line, font, ink))
    return lines


def _whisker(cell: Cell) -> list[float]:
    """Return the ends of the interval of a step's difference, around the score after it; empty if it has none."""
    change = cell.difference
    if change is None or change.ends is None:
        return []
    before = cell.mean - float(change.mean)
    return [before + end for end in change.ends]


def _tick(span: float) -> float:
    """Return the distance of ticks, 1, 2 or 5 times a power of ten, with which a span has about six."""
    power: float = 10 ** math.floor(math.log10(span / 6))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 7)
