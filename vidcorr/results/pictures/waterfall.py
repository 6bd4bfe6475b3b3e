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
        table: the scores, in its first column: of a start, of the steps with their differences, and of their sum.
        path: file to write, .png or .pdf.

    Raises:
        OSError: if the file cannot be written.
    """
    head = next(iter(table.columns))
    names = list(table.rows)
    cells = [row[head] for row in table.rows.values()]
    labels = [names[0]]
    for name in names[1:-1]:
        labels.append(f"{name}  {table.texts['from'][name]} to {table.texts['to'][name]}")
    labels.append(table.texts["to"][names[-1]])
    font = ImageFont.load_default(26)
    left = 44 + round(max(map(font.getlength, labels)))
    right = WIDTH - 190
    ends: list[float] = []
    for cell in cells[:-1]:
        ends += [cell.mean, *_whisker(cell)]
    step = _tick(max(ends) - min(ends) + 0.004)
    low = math.floor(min(ends) / step - 0.1) * step
    high = math.ceil(max(ends) / step + 0.1) * step

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    image = Image.new("RGB", (WIDTH, LINE * (len(cells) + 2)), "white")
    draw = ImageDraw.Draw(image)
    bottom = LINE * len(cells) + LINE // 4
    for number in range(round((high - low) / step) + 1):
        tick = x(low + number * step)
        draw.line([tick, 8, tick, bottom], PALE, 2)
        draw.text((tick, bottom + 8), f"{100 * (low + number * step):.4g}", INK, font, anchor="ma")
    score = table.columns[head].score
    draw.text(((left + right) / 2, bottom + LINE), f"{score}, per cent", INK, font, anchor="ma")
    begin = low
    for number, (label, cell) in enumerate(zip(labels, cells, strict=True)):
        middle = LINE * number + LINE // 2 + 8
        is_end = number in (0, len(cells) - 1)
        if is_end:
            begin = low
        colour = END if is_end else RISE if cell.mean > begin else FALL
        bar = sorted([x(begin), x(cell.mean)])
        draw.rectangle([bar[0] - 1, middle - 17, bar[1] + 1, middle + 17], colour)
        for end in [] if is_end else _whisker(cell):
            draw.line([x(cell.mean), middle, x(end), middle], INK, 3)
            draw.line([x(end), middle - 8, x(end), middle + 8], INK, 3)
        if number < len(cells) - 1:
            draw.line([x(cell.mean), middle + 17, x(cell.mean), middle + LINE - 17], END, 2)
        draw.text((left - 20, middle), label, INK, font, anchor="rm")
        text = percent(cell.mean) if is_end else f"{100 * (cell.mean - begin):+.1f}"
        draw.text((WIDTH - 24, middle), text, INK, font, anchor="rm")
        begin = cell.mean
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, resolution=300.0)


def _whisker(cell: Cell) -> list[float]:
    """Return the ends of the interval of a step's difference, around the score after it; empty if it has none."""
    change = cell.difference
    if change is None or change.low is None or change.high is None:
        return []
    before = cell.mean - float(change.mean)
    return [before + change.low, before + change.high]


def _tick(span: float) -> float:
    """Return the distance of ticks, 1, 2 or 5 times a power of ten, with which a span has about six."""
    power: float = 10 ** math.floor(math.log10(span / 6))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 7)
