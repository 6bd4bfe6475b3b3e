"""Numbers, texts and plain tables as terminals, Markdown, LaTeX and HTML show them."""

import re
from collections.abc import Sequence
from math import isnan
from typing import Literal

from ..errors import printable

Format = Literal["text", "md", "tex"]
BOLD = re.compile(r"\*\*([\d.]+)\*\*")
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
}
"""Letter → its form in LaTeX."""


def percent(value: float) -> str:
    """Return a fraction in per cent with a single decimal; a dash for NaN."""
    return "–" if isnan(value) else f"{100 * value:.1f}"


def bracketed(ends: tuple[float, float] | None) -> str:
    """Return an interval in per cent with a space before it, as ` [50.1, 62.3]`; an empty text without one."""
    return f" [{percent(ends[0])}, {percent(ends[1])}]" if ends else ""


def one_line(text: str) -> str:
    """Return text on a line, with control letters, marks of direction and bytes that are no text as codes."""
    return printable(" ".join(text.split()))


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def grid(format: Format, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, `md`, or `tex` (LaTeX with booktabs).
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number makes it bold in `md` and `tex`.
        right: columns from this index on are right-aligned; the others left-aligned.
    """
    if format == "text":
        return _terminal(heads, rows, right)
    if format == "md":
        rule = ["---"] * right + ["---:"] * (len(heads) - right)
        lines = [heads, rule, *rows]
        lines = [[one_line(cell).replace("|", r"\|") for cell in line] for line in lines]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    columns = "l" * right + "r" * (len(heads) - right)
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(heads), r"\midrule"]
    parts += [*map(_latex_row, rows), r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


def _terminal(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    lines = [list(map(one_line, line)) for line in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        padded = []
        for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
            padded.append(cell.ljust(width) if number < right else cell.rjust(width))
        text += "  ".join(padded).rstrip() + "\n"
    return text


def _latex_row(cells: Sequence[str]) -> str:
    name, *others = map(latex_text, cells)
    return " & ".join([name, *(BOLD.sub(r"\\textbf{\1}", cell) for cell in others)]) + r" \\"
