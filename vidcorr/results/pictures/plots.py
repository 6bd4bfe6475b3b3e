"""Figures by matplotlib, whose text stays text in PDF and SVG: rows of pictures, and a waterfall of scores."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from ...videos.files import unfinished
from ..cells import Cell
from ..formats import shown
from ..rendering import Table
from .animations import WIDTH
from .overlays import Picture

DPI = 100  # pixels an inch of rows of pictures
LETTERS = 18  # most letters of a line of a row's name
CAPTION = 100  # most letters of a line of a caption
LETTERS_OF_STEP = 44  # most letters of a line of a step's name
RISE = "#0072b2"
FALL = "#d55e00"
END = "#6e6e6e"


class Block(NamedTuple):
    """Rows of pictures under a common head.

    Attributes:
        name: name of the block, written above its first column.
        columns: heads of the columns.
        rows: for each row the lines of its name, and a picture `(H, 320, 3)` per column.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Sequence[Picture]]]


def draw_rows(blocks: Sequence[Block]) -> Figure:
    """Draw blocks of rows, one below the other; saved as PNG, a pixel of a picture is about a pixel of the file."""
    rows = []  # block, number of the row in it, lines of its name, pictures
    for block in blocks:
        for number, (names, pictures) in enumerate(block.rows):
            rows.append((block, number, names, pictures))
    heights = [pictures[0].shape[0] for *_, pictures in rows]
    columns = max(len(block.columns) for block in blocks)
    # inches; 0.7 of a picture's width for the rows' names, and 0.7 inches for the heads of each block
    size = ((columns + 0.7) * WIDTH / DPI, sum(heights) / DPI + 0.7 * len(blocks))
    figure = Figure(size, dpi=DPI, layout="compressed")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axes_of_row, (block, number, names, pictures) in zip(grid, rows, strict=True):
        for axes in axes_of_row:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        # a block may have fewer columns than the figure
        for axes, picture, head in zip(axes_of_row, pictures, block.columns, strict=False):
            axes.imshow(picture, interpolation="nearest")
            if number == 0:
                axes.set_title(head if axes is not axes_of_row[0] else f"{block.name}\n{head}", parse_math=False)
        # a protocol's name may break before a plus
        lines = [fill(name.replace("+", " +"), LETTERS).replace(" +", "+") for name in names]
        text = axes_of_row[0].set_ylabel("\n".join(lines), rotation="horizontal", ha="right", va="center")
        text.set_parse_math(False)
    return figure


def waterfall(table: Table) -> Figure:
    """Draw a table of steps: start and end as points, each step as a bar from one score to the next.

    Lines on the bars are the steps' intervals. A bar's length is the change, wherever the axis begins. A step that
    rounds to 0.0 is grey. The table's caption stands above.

    Args:
        table: scores in the first column. The rows are the start; each step, with the score after it and its difference
            from the row before; and the end, which repeats the last step's score. A step's name is `FIELDS: VALUES`,
            written in two lines.
    """
    column = table.columns[0]
    cells = table.cells_in(column)
    declared = cells[0].declared
    # in per cent, or in the score's unit; a step's bar runs from the row before to its own
    ends = [declared.factor * cell.mean for cell in cells]
    places = range(len(cells))
    names = ["\n".join(fill(part, LETTERS_OF_STEP) for part in name.split(": ", 1)) for name in table.rows]
    lines = sum(name.count("\n") + 1 for name in names)
    # inches: 0.2 for a line of text, and as much between two rows
    figure = Figure((8, 1 + 0.2 * (lines + len(cells))), dpi=200, layout="constrained")
    axes = figure.add_subplot(xlabel=f"{column.score}, {declared.printed_unit}")
    axes.use_sticky_edges = False  # bars do not begin at the edge
    texts = [shown(cells[0].mean, declared)]
    for place in places[1:-1]:  # the steps
        before, end = ends[place - 1], ends[place]
        texts.append(shown(cells[place].mean - cells[place - 1].mean, declared, sign="+"))
        # END is grey
        colour = END if texts[-1].strip("+−") == "0.0" else RISE if end > before else FALL
        error = declared.factor * _error_of(cells[place]) or None  # None draws no line
        axes.barh(place, end - before, 0.6, before, color=colour, xerr=error, capsize=3)
    for place in (0, len(cells) - 1):
        axes.plot(ends[place], place, "o", color=END, clip_on=False)  # a bar would begin at the axis, not at 0
    texts.append(shown(cells[-1].mean, declared))
    # from row to row, below the bars
    axes.vlines(ends[:-1], places[:-1], places[1:], color=END, linewidth=0.8, zorder=0.9)
    axes.margins(0.1, 0.02)
    axes.invert_yaxis()
    axes.set_yticks(places, labels=names, fontsize="small")
    values = axes.secondary_yaxis("right")
    values.set_yticks(places, labels=texts)
    for side in (axes, values):
        side.spines[:].set_visible(False)
        side.tick_params(length=0)
    axes.xaxis.grid(alpha=0.4)
    axes.set_axisbelow(True)
    about = ". Lines are 95 % intervals of the steps, paired by sequence" if any(map(_error_of, cells)) else ""
    figure.suptitle(fill(table.caption + about, CAPTION), x=0.01, ha="left", fontsize="medium", parse_math=False)
    return figure


def _error_of(cell: Cell) -> float:
    """Return half the length of the interval of a step's difference, as a value of the score; 0 without an interval."""
    low, high = (cell.difference and cell.difference.ends) or (0.0, 0.0)
    return (high - low) / 2


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure, and make its folder; the suffix of the path (.png, .pdf, .svg, …) decides the format.

    Without a suffix it is a PNG. Text stays text in PDF and SVG.

    Raises:
        ValueError: for an unknown suffix.
        OSError: if the file cannot be written.
    """
    with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}), unfinished(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:] or "png", dpi=figure.dpi)
