"""A waterfall: a score that changes step by step, from the first row of a table to its sum."""

import math
from itertools import chain, pairwise
from textwrap import wrap

from ..cells import Cell
from ..formats import percent
from ..rendering import Table
from .drawing import Drawing, width_of
from .overlays import Colour

WIDTH = 1800
"""Pixels: 15 cm at 300 dots per inch."""
LABEL = 780
"""Largest width of a label, pixels."""
ROW = 56
"""Least height of a row, pixels."""
SPACING = 29
"""From a line of a label to the next, pixels."""
SIZE = 26
"""Size of the letters; of values 21."""
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
    left = 44 + max(width_of(text, size) for text, size, _ in chain.from_iterable(labels))
    right = WIDTH - 190
    title = wrap(table.caption, 115)
    tops = [8 + SPACING * len(title) + 16 * bool(title)]  # of the rows, and of what is below
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

    sheet = Drawing(WIDTH, tops[-1] + 2 * ROW, 300.0)
    for number, line in enumerate(title):
        sheet.text(24, 8 + SPACING * (number + 0.5), line, SIZE, INK)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        sheet.bar(x(value) - 1, tops[0], x(value) + 1, tops[-1], PALE)
        sheet.text(x(value), tops[-1] + 22, f"{100 * value:.4g}", SIZE, INK, "middle")
    sheet.text((left + right) / 2, tops[-1] + ROW + 14, f"{column.score}, per cent", SIZE, INK, "middle")
    middles = [(top + bottom) / 2 for top, bottom in pairwise(tops)]
    for number, (label, cell, middle) in enumerate(zip(labels, cells, middles, strict=True)):
        begin = low
        colour: Colour = END
        text = percent(cell.mean)
        whisker: list[float] = []
        if 0 < number < last:
            begin = cells[number - 1].mean
            text = percent(cell.mean - begin, sign="+")
            if text.strip("+−") != "0.0":
                colour = RISE if cell.mean > begin else FALL
            whisker = _whisker(cell)
        first, second = sorted([x(begin), x(cell.mean)])
        sheet.bar(first - 1, middle - 17, second + 2, middle + 18, colour)
        for end in whisker:
            near, far = sorted([x(cell.mean), x(end)])
            sheet.bar(near - 1, middle - 1, far + 2, middle + 2, INK)
            sheet.bar(x(end) - 1, middle - 8, x(end) + 2, middle + 9, INK)
        if number < last:
            sheet.bar(x(cell.mean) - 1, middle + 18, x(cell.mean) + 1, middles[number + 1] - 17, END)
        for place, (line, size, ink) in enumerate(label):
            y = middle + SPACING * (place - (len(label) - 1) / 2)
            sheet.text(left - 20, y, line, size, ink, "right")
        sheet.text(WIDTH - 24, middle, text, SIZE, INK, "right")
    return sheet


def _lines_of_label(name: str) -> list[tuple[str, int, Colour]]:
    """Return the lines of a row's name with size and colour: the fields, and small below them their values."""
    fields, _, values = name.partition(": ")
    lines = []
    for text, size, ink in ((fields, SIZE, INK), (values, 21, SOFT)):
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
