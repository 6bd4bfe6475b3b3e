"""A waterfall: a score that changes step by step, from the first row of a table to its sum."""

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from textwrap import wrap
from typing import NamedTuple

from ..cells import Cell
from ..formats import shown
from ..rendering import Table
from .drawing import Drawing, width_of
from .overlays import Colour

WIDTH = 1800
"""Pixels: 15 cm at 300 dots per inch."""
LABEL = 780
"""Largest width of a label, pixels."""
VALUES = 190
"""Width of the values at the right, pixels."""
MARGIN = 24
"""White space left of the labels and right of the values, pixels."""
GAP = 20
"""White space between labels and bars, pixels."""
BORDER = 8
"""White space above the caption, and twice of it below, pixels."""
PADDING = 12
"""White space above and below the lines of a label together, pixels, at least."""
HALF_BAR = 17
"""Pixels of a bar above its middle line, and below it."""
LETTERS = 115
"""Most letters of a line of the caption."""
ROW = 56
"""Least height of a row, pixels."""
SPACING = 29
"""From a line of a label to the next, pixels."""
SIZE = 26
"""Size of the letters."""
SMALL = 21
"""Size of the letters of a field's values."""
RISE = (0, 114, 178)
FALL = (213, 94, 0)
END = (110, 110, 110)
INK = (30, 30, 30)
SOFT = (95, 95, 95)
PALE = (205, 205, 205)


def waterfall(table: Table) -> Drawing:
    """Draw the steps of a table as horizontal bars, with the intervals of their differences as thin lines.

    A step that rounds to 0.0 is grey. The table's caption, network and data of the scores, stands above.

    Args:
        table: the scores, in its first column: of a start, and of the steps with their differences, whose last row is
            the whole.
    """
    head, column = next(iter(table.columns.items()))
    cells = [row[head] for row in table.rows.values()]
    last = len(cells) - 1
    labels = [_lines_of_label(name) for name in table.rows]
    left = MARGIN + GAP + max(width_of(text, size) for text, size, _ in chain.from_iterable(labels))
    title = wrap(table.caption, LETTERS)
    tops = [BORDER]  # of the rows, and of what is below
    if title:
        tops = [BORDER + SPACING * len(title) + 2 * BORDER]
    for label in labels:
        tops.append(tops[-1] + max(ROW, PADDING + SPACING * len(label)))
    axis = _axis_of(cells, left)
    sheet = Drawing(WIDTH, tops[-1] + 2 * ROW, 300.0)
    for number, line in enumerate(title):
        sheet.text(MARGIN, BORDER + SPACING * (number + 0.5), line, SIZE, INK)
    _draw_axis(sheet, axis, tops[0], tops[-1], f"{column.score}, per cent")
    middles = [(top + bottom) / 2 for top, bottom in pairwise(tops)]
    for number, (label, cell, middle) in enumerate(zip(labels, cells, middles, strict=True)):
        if 0 < number < last:
            text = _draw_step(sheet, axis, middle, cells[number - 1].mean, cell)
        else:
            _draw_bar(sheet, middle, axis.left, axis.x(cell.mean), END)
            text = shown(cell.mean)
        if number < last:  # a line to the next bar
            x = axis.x(cell.mean)
            sheet.bar(x - 1, middle + HALF_BAR + 1, x + 1, middles[number + 1] - HALF_BAR, END)
        for place, (line, size, ink) in enumerate(label):
            y = middle + SPACING * (place - (len(label) - 1) / 2)
            sheet.text(left - GAP, y, line, size, ink, "right")
        sheet.text(WIDTH - MARGIN, middle, text, SIZE, INK, "right")
    return sheet


class _Axis(NamedTuple):
    """The axis of the scores: its ends, the distance of its ticks, and its ends on the sheet, pixels."""

    low: float
    high: float
    tick: float
    left: float
    right: float

    def x(self, value: float) -> float:
        """Return the place of a score on the sheet."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def _axis_of(cells: Sequence[Cell], left: float) -> _Axis:
    """Return an axis on which the scores and the intervals of the steps lie, with a margin."""
    ends = [cell.mean for cell in cells]
    for cell in cells[1:-1]:
        ends += _whisker(cell)
    tick = _tick(max(ends) - min(ends) + 0.004)  # equal scores too have a span
    low = math.floor(min(ends) / tick - 0.1) * tick
    high = math.ceil(max(ends) / tick + 0.1) * tick
    return _Axis(low, high, tick, left, WIDTH - VALUES)


def _draw_axis(sheet: Drawing, axis: _Axis, top: float, bottom: float, title: str) -> None:
    """Draw a line and a number for each tick, and the title below."""
    for number in range(round((axis.high - axis.low) / axis.tick) + 1):
        value = axis.low + number * axis.tick
        sheet.bar(axis.x(value) - 1, top, axis.x(value) + 1, bottom, PALE)
        sheet.text(axis.x(value), bottom + 22, f"{100 * value:.4g}", SIZE, INK, "middle")
    sheet.text((axis.left + axis.right) / 2, bottom + ROW + 14, title, SIZE, INK, "middle")


def _draw_step(sheet: Drawing, axis: _Axis, middle: float, before: float, cell: Cell) -> str:
    """Draw the change from the score before to that of a step, with its interval; return the change in words."""
    text = shown(cell.mean - before, sign="+")
    colour: Colour = END
    if text.strip("+−") != "0.0":
        colour = RISE if cell.mean > before else FALL
    score = axis.x(cell.mean)
    _draw_bar(sheet, middle, axis.x(before), score, colour)
    for end in map(axis.x, _whisker(cell)):
        near, far = sorted([score, end])
        sheet.bar(near - 1, middle - 1, far + 2, middle + 2, INK)
        sheet.bar(end - 1, middle - 8, end + 2, middle + 9, INK)
    return text


def _draw_bar(sheet: Drawing, middle: float, begin: float, end: float, colour: Colour) -> None:
    """Draw a row's bar between two places, in either order."""
    first, second = sorted([begin, end])
    sheet.bar(first - 1, middle - HALF_BAR, second + 2, middle + HALF_BAR + 1, colour)


def _lines_of_label(name: str) -> list[tuple[str, int, Colour]]:
    """Return the lines of a row's name with size and colour: the fields, and small below them their values."""
    fields, _, values = name.partition(": ")
    lines = []
    for text, size, ink in ((fields, SIZE, INK), (values, SMALL, SOFT)):
        for line in wrap(text.replace("→", "to"), int(LABEL / width_of("e", size))):
            lines.append((line, size, ink))
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
