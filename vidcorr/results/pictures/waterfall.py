"""A waterfall: a score that changes step by step, from the first row of a table to its sum."""

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..formats import percent
from ..tables import Cell, Table

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
    labels = []
    for name in names:
        change = f"{table.texts['from'][name]} to {table.texts['to'][name]}" if name in table.texts["from"] else ""
        labels.append(f"{name}  {change}".strip() if name != names[-1] else table.texts["to"][name])
    font = ImageFont.load_default(26)
    left = 24 + round(max(font.getlength(label) for label in labels))
    spans = [_span(cell) for cell in cells[:-1]]
    low = min(map(min, spans))
    high = max(map(max, spans))
    margin = max(0.05 * (high - low), 0.002)
    step = _tick(high - low + 2 * margin)
    low = math.floor((low - margin) / step) * step
    high = math.ceil((high + margin) / step) * step
    right = WIDTH - 170

    def x(value: float) -> float:
        return left + 20 + (value - low) / (high - low) * (right - left - 40)

    image = Image.new("RGB", (WIDTH, LINE * (len(cells) + 2)), "white")
    draw = ImageDraw.Draw(image)
    bottom = LINE * len(cells) + LINE // 4
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        draw.line([x(tick), 8, x(tick), bottom], PALE, 2)
        draw.text((x(tick), bottom + 8), f"{100 * tick:.4g}", INK, font, anchor="ma")
    score = table.columns[head].score
    draw.text(((left + right) / 2, bottom + LINE), f"{score}, per cent", INK, font, anchor="ma")
    for number, (label, cell) in enumerate(zip(labels, cells, strict=True)):
        middle = LINE * number + LINE // 2 + 8
        draw.text((left, middle), label, INK, font, anchor="rm")
        is_end = number in (0, len(cells) - 1)
        change = 0.0 if is_end or cell.difference is None else float(cell.difference.mean)
        begin = low if is_end else cell.mean - change
        ends = sorted([x(begin), x(cell.mean)])
        colour = END if is_end else RISE if change > 0 else FALL
        draw.rectangle([ends[0] - 1, middle - 17, ends[1] + 1, middle + 17], colour)
        if number < len(cells) - 1:
            draw.line([x(cell.mean), middle + 17, x(cell.mean), middle + LINE - 17], END, 2)
        if not is_end:
            whisker = _span(cell)[2:]
            if whisker:
                draw.line([x(whisker[0]), middle, x(whisker[1]), middle], INK, 3)
                for end in whisker:
                    draw.line([x(end), middle - 8, x(end), middle + 8], INK, 3)
        text = percent(cell.mean) if is_end else f"{100 * change:+.1f}"
        draw.text((WIDTH - 24, middle), text, INK, font, anchor="rm")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, resolution=300.0)


def _span(cell: Cell) -> list[float]:
    """Return the score before and after a step, and the ends of the interval around the score after it, if known."""
    found = [cell.mean]
    if cell.difference is not None:
        before = cell.mean - float(cell.difference.mean)
        found.insert(0, before)
        if cell.difference.low is not None and cell.difference.high is not None:
            found += [before + cell.difference.low, before + cell.difference.high]
    return found


def _tick(span: float) -> float:
    """Return the distance of ticks, 1, 2 or 5 times a power of ten, with which a span has about six."""
    power = 10 ** math.floor(math.log10(span / 6))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 7)
