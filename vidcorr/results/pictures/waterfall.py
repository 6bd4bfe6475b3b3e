"""A waterfall: a score that changes step by step, from the first row of a table to its sum."""

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..cells import Cell
from ..formats import percent
from ..tables import Table

WIDTH = 1800
"""Pixels: 15 cm at 300 dots per inch."""
LINE = 56
"""Height of a row, pixels."""
RISE = (0, 114, 178)
FALL = (213, 94, 0)
END = (110, 110, 110)
INK = (30, 30, 30)
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
    labels = [name.replace("→", "to") for name in table.rows]  # the font has no arrow
    cells = [row[head] for row in table.rows.values()]
    last = len(cells) - 1
    font = ImageFont.load_default(26)
    left = 44 + round(max(map(font.getlength, labels)))
    right = WIDTH - 190
    ends = [cell.mean for cell in cells]
    for cell in cells[1:last]:
        ends += _whisker(cell)
    step = _tick(max(ends) - min(ends) + 0.004)
    low = math.floor(min(ends) / step - 0.1) * step
    high = math.ceil(max(ends) / step + 0.1) * step

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    image = Image.new("RGB", (WIDTH, LINE * (len(cells) + 2)), "white")
    draw = ImageDraw.Draw(image)
    bottom = LINE * len(cells) + LINE // 4
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        draw.line([x(value), 8, x(value), bottom], PALE, 2)
        draw.text((x(value), bottom + 8), f"{100 * value:.4g}", INK, font, anchor="ma")
    draw.text(((left + right) / 2, bottom + LINE), f"{column.score}, per cent", INK, font, anchor="ma")
    for number, (label, cell) in enumerate(zip(labels, cells, strict=True)):
        middle = LINE * number + LINE // 2 + 8
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
            draw.line([x(cell.mean), middle + 17, x(cell.mean), middle + LINE - 17], END, 2)
        draw.text((left - 20, middle), label, INK, font, anchor="rm")
        draw.text((WIDTH - 24, middle), text, INK, font, anchor="rm")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, resolution=300.0)


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
