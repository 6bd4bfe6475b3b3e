"""Numbers, texts and plain tables as terminals, Markdown, LaTeX and HTML show them."""

import re
from collections.abc import Sequence
from math import isnan
from typing import Literal

from ..errors import printable

Format = Literal["text", "md"]
BOLD = re.compile(r"\*\*([\d.]+)\*\*")
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
    "→": r"$\to$",
    "Δ": r"$\Delta$",
}
"""Letter → its form in LaTeX."""


def percent(value: float, digits: int = 1) -> str:
    """Return a fraction in per cent with some decimals; a dash for NaN."""
    return "–" if isnan(value) else f"{100 * value:.{digits}f}"


def bracketed(ends: tuple[float, float] | None) -> str:
    """Return an interval in per cent with a space before it, as ` [50.1, 62.3]`; an empty text without one."""
    return f" [{percent(ends[0])}, {percent(ends[1])}]" if ends else ""


def one_line(text: str) -> str:
    """Return text on a line, with control letters, marks of direction and bytes that are no text as codes."""
    return printable(" ".join(text.split()))


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def as_bold(text: str, pattern: str = r"\1") -> str:
    """Replace `**` around a number by a pattern of `re.sub`; by default, leave the number alone."""
    return BOLD.sub(pattern, text)


def latex_row(cells: Sequence[str]) -> str:
    """Return a row of a LaTeX table; the first cell is the row's name, and `**` around a number makes it bold."""
    name, *others = map(latex_text, cells)
    if name.startswith(("[", "*")):  # LaTeX takes these as arguments of the line break before them
        name = f"{{}}{name}"
    return " & ".join([name, *(as_bold(cell, r"\\textbf{\1}") for cell in others)]) + r" \\"


def grid(format: Format, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, or `md`.
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number makes it bold in `md`.
        right: columns from this index on are right-aligned; the others left-aligned.
    """
    if format == "text":
        return _terminal(heads, rows, right)
    rule = ["---"] * right + ["---:"] * (len(heads) - right)
    lines = [heads, rule, *rows]
    lines = [[one_line(cell).replace("|", r"\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _terminal(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    lines = [list(map(one_line, line)) for line in (heads, *rows)]
    columns = list(zip(*lines, strict=True))
    lines = list(map(list, zip(*columns[:right], *map(_with_room, columns[right:]), strict=True)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        padded = []
        for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
            padded.append(cell.ljust(width) if number < right else cell.rjust(width))
        text += "  ".join(padded).rstrip() + "\n"
    return text


def _with_room(column: Sequence[str]) -> list[str]:
    """Return a column in which numbers without a deviation have room for one, so that their points are aligned."""
    deviations = [cell[len(cell.partition(" ±")[0]) :] for cell in column]
    room = max(map(len, deviations))
    head, *cells = column
    return [head, *(cell + " " * (room - len(own)) for cell, own in zip(cells, deviations[1:], strict=True))]
