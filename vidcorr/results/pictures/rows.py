"""Rows of pictures with names: a block has a row per method and a column per frame."""

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from .animations import WIDTH
from .drawing import Drawing
from .overlays import Picture

LABEL = 190
"""Width of the rows' names, pixels."""
HEAD = 36
"""Height of the columns' names, pixels."""
GAP = 4
"""White space after each picture, pixels."""
SIZE = 20
"""Height of the letters, pixels."""
LETTERS = 18
"""Most letters of a name's line."""


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


def draw_rows(blocks: Sequence[Block]) -> Drawing:
    """Draw blocks of rows, one below the other."""
    height = 0
    for block in blocks:
        height += HEAD + sum(pictures[0].shape[0] + GAP for _, pictures in block.rows)
    columns = max(len(block.columns) for block in blocks)
    sheet = Drawing(LABEL + columns * (WIDTH + GAP) - GAP, height - GAP)
    top = 0
    for block in blocks:
        _write(sheet, [block.name], LABEL / 2, top + HEAD / 2)
        for number, name in enumerate(block.columns):
            _write(sheet, [name], LABEL + number * (WIDTH + GAP) + WIDTH / 2, top + HEAD / 2)
        top += HEAD
        for names, pictures in block.rows:
            tall = pictures[0].shape[0]
            _write(sheet, names, LABEL / 2, top + tall / 2)
            for number, picture in enumerate(pictures):
                sheet.picture(LABEL + number * (WIDTH + GAP), top, picture)
            top += tall + GAP
    return sheet


def _write(sheet: Drawing, texts: Sequence[str], x: float, middle: float) -> None:
    """Write texts around a place, in as many lines as they need; a protocol breaks before a change."""
    lines: list[str] = []
    for text in texts:
        lines += wrap(text.replace("+", " +"), LETTERS)
    for number, line in enumerate(lines):
        sheet.text(x, middle + 1.25 * SIZE * (number - (len(lines) - 1) / 2), line, SIZE, align="middle")
