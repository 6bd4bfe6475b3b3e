"""Figures by matplotlib, whose text stays text in PDF and SVG: rows of pictures, and a waterfall of scores."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...videos.files import unfinished
from ..cells import Cell
from ..formats import shown
from ..rendering import Table
from .animations import WIDTH
from .overlays import Picture

DPI = 100  # pixels an inch of rows of pictures
LABEL = 190  # width of the rows' names, pixels
HEAD = 36  # height of the columns' names, pixels
GAP = 4  # white space after each picture, pixels
LETTER_SIZE = 14  # size of names, points
SMALLEST = 5  # least size of names that shrink, points
LETTERS = 18  # most letters of a line of a row's name
WIDE = 8.0  # width of a waterfall, inches
LINE = 0.16  # height of a line of text in it, inches
ROW = 2.0  # least height of its rows, lines
HALF_BAR = 0.6  # half of the height of a bar, lines
CAPTION = 100  # most letters of a line of its caption
LETTERS_OF_STEP = 44  # most letters of a line of a step's name
RISE = "#0072b2"
FALL = "#d55e00"
END = "#6e6e6e"
INK = "#1e1e1e"
PALE = "#cdcdcd"


class Block(NamedTuple):
    """Rows of pictures under a common head.

    Attributes:
        name: name above the rows' names.
        columns: names of the columns.
        rows: names of the rows in lines, and a picture `(H, 320, 3)` per column.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Sequence[Picture]]]


def draw_rows(blocks: Sequence[Block]) -> Figure:
    """Draw blocks of rows, one below the other; a pixel of a picture is a pixel of a PNG."""
    height = -GAP
    columns = 0
    for block in blocks:
        columns = max(columns, len(block.columns))
        height += HEAD
        for _, pictures in block.rows:
            height += pictures[0].shape[0] + GAP
    width = LABEL + columns * (WIDTH + GAP) - GAP
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    sheet.set_axis_off()
    top = 0
    for block in blocks:
        _write(sheet, [block.name], LABEL / 2, top + HEAD / 2, HEAD)
        for number, name in enumerate(block.columns):
            _write(sheet, [name], LABEL + number * (WIDTH + GAP) + WIDTH / 2, top + HEAD / 2, HEAD)
        top += HEAD
        for names, pictures in block.rows:
            _draw_row(sheet, names, pictures, top)
            top += pictures[0].shape[0] + GAP
    sheet.set(xlim=(0, width), ylim=(height, 0))  # each picture has set the limits to its own
    return figure


def _draw_row(sheet: Axes, names: Sequence[str], pictures: Sequence[Picture], top: float) -> None:
    """Draw the name of a row and its pictures side by side."""
    height = pictures[0].shape[0]
    _write(sheet, names, LABEL / 2, top + height / 2, height)
    for number, picture in enumerate(pictures):
        left = LABEL + number * (WIDTH + GAP)
        extent = (left, left + WIDTH, top + height, top)
        sheet.imshow(picture, extent=extent, interpolation="nearest", aspect="auto")


def _write(sheet: Axes, texts: Sequence[str], x: float, middle: float, height: float) -> None:
    """Write texts around a place, in as many lines as they need; a protocol breaks before a change.

    Letters shrink where the lines would be wider than a row's name, or higher than `height`.
    """
    lines: list[str] = []
    for text in texts:
        lines += wrap(text.replace("+", " +"), LETTERS)
    text = "\n".join(lines).replace(" +", "+")
    written = sheet.text(x, middle, text, ha="center", va="center", size=LETTER_SIZE, parse_math=False)
    for size in range(LETTER_SIZE, SMALLEST - 1, -1):
        written.set_fontsize(size)
        extent = written.get_window_extent()
        if extent.width <= LABEL - GAP and extent.height <= height:
            break


def waterfall(table: Table) -> Figure:
    """Draw start and end of a table as points, its steps as bars from one score to the next, their intervals as lines.

    A bar is as long as its step, wherever the axis begins. A step that rounds to 0.0 is grey. The table's caption,
    network and data of the scores, stands above.

    Args:
        table: the scores, in its first column: of a start, and of the steps with their differences, whose last row is
            the whole.
    """
    column = table.columns[0]
    cells = table.cells_in(column)
    figure = Figure(dpi=200, layout="constrained")
    axes = figure.add_subplot(xlabel=f"{column.score}, {cells[0].declared.printed_unit}")
    middles, bottom = _name_rows(axes, list(table.rows))
    axes.set_ylim(bottom, 0)
    figure.set_size_inches(WIDE, 0.8 + LINE * bottom)
    texts = _draw_steps(axes, cells, middles)
    _fit_axis(axes, cells)
    values = axes.secondary_yaxis("right")
    values.set_yticks(middles, labels=texts)
    for side in (axes, values):
        side.spines[:].set_visible(False)
        side.tick_params(length=0, labelcolor=INK)
    axes.xaxis.grid(color=PALE)
    axes.set_axisbelow(True)
    caption = table.caption
    if any(map(_half_length, cells)):
        caption += ". Lines are 95 % intervals of the steps, paired by sequence"
    title = "\n".join(wrap(caption, CAPTION))
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=INK, parse_math=False)
    return figure


def _draw_steps(axes: Axes, cells: Sequence[Cell], middles: Sequence[float]) -> list[str]:
    """Draw the first and last score as points, and each step between as a bar; return the texts of the rows."""
    declared = cells[0].declared
    ends = [declared.factor * cell.mean for cell in cells]
    texts: list[str] = []
    for number, (cell, end, middle) in enumerate(zip(cells, ends, middles, strict=True)):
        if number in (0, len(cells) - 1):
            texts.append(shown(cell.mean, declared))
            axes.plot(end, middle, "o", color=END, clip_on=False)  # a bar would begin at the axis, not at 0
        else:
            before = ends[number - 1]
            texts.append(shown(cell.mean - cells[number - 1].mean, declared, sign="+"))
            colour = RISE if end > before else FALL
            if texts[-1].strip("+−") == "0.0":
                colour = END
            error = declared.factor * _half_length(cell) or None
            axes.barh(middle, end - before, HALF_BAR * 2, before, color=colour, xerr=error, ecolor=INK, capsize=3)
    axes.vlines(ends[:-1], middles[:-1], middles[1:], color=END, linewidth=0.8, zorder=0.9)  # from row to row
    return texts


def _name_rows(axes: Axes, names: Sequence[str]) -> tuple[list[float], float]:
    """Write the names of steps at the left; return the middles of the rows and their end, in lines from the top."""
    middles: list[float] = []
    labels: list[str] = []
    bottom = 0.0
    for name in names:
        field, _, value = name.partition(": ")
        lines = wrap(field, LETTERS_OF_STEP) + wrap(value, LETTERS_OF_STEP)
        height = max(ROW, len(lines) + 0.5)
        middles.append(bottom + height / 2)
        labels.append("\n".join(lines))
        bottom += height
    axes.set_yticks(middles, labels=labels, fontsize="small")
    return middles, bottom


def _half_length(cell: Cell) -> float:
    """Return half of the length of the interval of a step's difference; 0 if it has none."""
    low, high = (cell.difference and cell.difference.ends) or (0.0, 0.0)
    return (high - low) / 2


def _fit_axis(axes: Axes, cells: Sequence[Cell]) -> None:
    """Let the axis span the scores and the drawn intervals alone, not from 0, so that small steps show."""
    ends: list[float] = []
    for cell in cells:
        half_interval = _half_length(cell)
        ends += [cell.mean - half_interval, cell.mean + half_interval]
    margin = 0.1 * max(max(ends) - min(ends), 0.004)  # equal scores too have a span
    factor = cells[0].declared.factor
    axes.set_xlim(factor * (min(ends) - margin), factor * (max(ends) + margin))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the path's suffix, .png, .pdf, .svg or another; make its folder.

    Raises:
        ValueError: for an unknown suffix.
        OSError: if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}), unfinished(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:] or "png", dpi=figure.dpi)
