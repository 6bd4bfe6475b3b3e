"""Numbers, texts and plain tables as terminals and Markdown show them."""

import re
from collections.abc import Sequence
from math import isnan
from typing import Literal, NamedTuple

from ..errors import printable
from ..metrics.declared import Score
from .statistics import FRACTION

BOLD = re.compile(r"\*\*([−\d.]+)\*\*")


class Printed(NamedTuple):
    """A printed column: its head, and a text per line."""

    head: str
    cells: Sequence[str]


class Grid(NamedTuple):
    """The printed table of a benchmark.

    Attributes:
        benchmark: name of the benchmark.
        shared: protocol and conditions that all lines share.
        names: columns of the rows' names, and of protocols and conditions that differ.
        scores: columns of each score.
        settings: protocol and conditions of each line.
    """

    benchmark: str
    shared: str
    names: list[Printed]
    scores: list[list[Printed]]
    settings: Sequence[tuple[str, str]]


def shown(value: float, score: Score = FRACTION, digits: int = 1, sign: Literal["", "+"] = "") -> str:
    """Return a value of a score as it is printed everywhere: a fraction in per cent, else in the score's unit.

    Args:
        value: the value; a dash stands for NaN.
        score: what is declared of the score.
        digits: decimals.
        sign: "+" to print a plus.
    """
    if isnan(value):
        return "–"
    return f"{score.factor * value:{sign}.{digits}f}".replace("-", "−")


def bracketed(ends: tuple[float, float] | None, score: Score = FRACTION, sign: Literal["", "+"] = "") -> str:
    """Return an interval of a score, as `[50.1, 62.3]`; an empty text without one."""
    return f"[{shown(ends[0], score, sign=sign)}, {shown(ends[1], score, sign=sign)}]" if ends else ""


def one_line(text: str) -> str:
    """Return text on a line, with control letters, marks of direction and bytes that are no text as codes."""
    return printable(" ".join(text.split()))


def listed(texts: Sequence[str]) -> str:
    """Return texts as words of a sentence: a, b and c."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def as_bold(text: str, pattern: str) -> str:
    """Replace `**` around a number by a pattern of `re.sub`, as `<b>\\1</b>`."""
    return BOLD.sub(pattern, text)


def grid(format: Literal["text", "md"], heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, or `md`.
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number makes it bold in `md`.
        right: columns from this index on are right-aligned; the others left-aligned.
    """
    lines = [list(map(one_line, line)) for line in (heads, *rows)]
    return _markdown(lines, right) if format == "md" else _aligned_text(lines, right)


def _markdown(lines: list[list[str]], right: int) -> str:
    """Return a table in Markdown; the first line has the heads."""
    ruler = ["---"] * right + ["---:"] * (len(lines[0]) - right)
    text = ""
    for line in (lines[0], ruler, *lines[1:]):
        cells = [cell.replace("|", r"\|") for cell in line]
        text += f"| {' | '.join(cells)} |\n"
    return text


def _aligned_text(lines: list[list[str]], right: int) -> str:
    """Return a table for a terminal; the first line has the heads."""
    columns = []
    for number, column in enumerate(zip(*lines, strict=True)):
        columns.append(_aligned(column, number >= right))
    text = ""
    for cells_of_line in zip(*columns, strict=True):
        text += "  ".join(cells_of_line).rstrip() + "\n"
    return text


def _aligned(column: Sequence[str], of_numbers: bool) -> list[str]:
    """Return the cells of a column, aligned at the left; numbers at their points, with room for a deviation."""
    if not of_numbers:
        width = max(map(len, column))
        return [cell.ljust(width) for cell in column]
    head, *cells = column
    numbers: list[str] = []
    deviations: list[str] = []
    for cell in cells:
        number, sign, deviation = cell.partition(" ±")
        numbers.append(number)
        deviations.append(sign + deviation)
    room = max(map(len, deviations), default=0)
    shown = [head]
    for number, deviation in zip(numbers, deviations, strict=True):
        shown.append(number + deviation.ljust(room))
    width = max(map(len, shown))
    return [cell.rjust(width) for cell in shown]
