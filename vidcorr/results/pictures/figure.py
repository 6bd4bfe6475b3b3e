"""A figure with a row per method and a column per frame, as papers print it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...videos.files import unfinished
from .overlays import Picture, resized

GAP = 4
"""Space between the frames, pixels."""
FONT_SIZE = 16
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FORMATS = {".png": "PNG", ".pdf": "PDF"}
"""Suffix of a figure's file → Pillow's format."""


@dataclass(frozen=True)
class FigureBlock:
    """The rows of a sequence.

    Attributes:
        heads: text above each column.
        rows: name of a method → its frames, uint8 `(H, W, 3)`, one for each column.
    """

    heads: Sequence[str]
    rows: Mapping[str, Sequence[Picture]]


def method_figure(blocks: Sequence[FigureBlock], width: int = 320) -> Picture:
    """Lay frames out in rows of methods and columns of frames, with names on the left and heads above.

    Args:
        blocks: the sequences, from top to bottom.
        width: width of a frame, pixels.

    Returns:
        uint8 `(H', W', 3)` on white. The margin on the left is as wide as the longest name.

    Raises:
        ValueError: if a row has another number of frames than its block has heads.
    """
    font = ImageFont.load_default(size=FONT_SIZE)
    widths: list[int] = []
    for block in blocks:
        widths += [round(font.getlength(name)) for name in block.rows]
    margin = max(widths) + 3 * GAP
    columns = max(len(block.heads) for block in blocks)
    return np.concatenate([_drawn_block(block, width, margin, columns, font) for block in blocks])


def _drawn_block(block: FigureBlock, width: int, margin: int, columns: int, font: Font) -> Picture:
    """Draw a block, as wide as `columns` frames beside the margin."""
    for name, frames in block.rows.items():
        if len(frames) != len(block.heads):
            raise ValueError(f"row {name}: {len(frames)} frames, but {len(block.heads)} heads")
    rows: list[list[Picture]] = []
    heights: list[int] = []
    for frames in block.rows.values():
        sized = [resized(frame, width) for frame in frames]
        rows.append(sized)
        heights.append(max(len(frame) for frame in sized))
    line = 2 * FONT_SIZE
    height = line + sum(heights) + GAP * len(heights)
    lefts = [margin + column * (width + GAP) for column in range(columns)]
    sheet = Image.new("RGB", (margin + columns * (width + GAP), height), "white")
    draw = ImageDraw.Draw(sheet)
    for left, head in zip(lefts, block.heads, strict=False):  # a block may have fewer columns
        draw.text((left, line - GAP), head, fill="black", font=font, anchor="ls")
    top = line
    for name, sized, tallest in zip(block.rows, rows, heights, strict=True):
        draw.text((GAP, top + tallest / 2), name, fill="black", font=font, anchor="lm")
        for left, frame in zip(lefts, sized, strict=False):
            sheet.paste(Image.fromarray(frame), (left, top))
        top += tallest + GAP
    return np.array(sheet)


def write_figure(path: str | Path, picture: Picture) -> None:
    """Write a figure as PNG or PDF, by the suffix of its file, making its folder.

    Raises:
        ValueError: for another suffix.
    """
    path = Path(path)
    require_figure_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path) as temporary:
        Image.fromarray(picture).save(temporary, format=FORMATS[path.suffix.lower()], resolution=150.0)


def require_figure_file(path: Path) -> None:
    """Raise ValueError if a figure cannot be written to a file of this name."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: a figure is written as {' or '.join(FORMATS)}; give the file one of these endings")
