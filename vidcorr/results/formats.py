"""Numbers, texts and plain tables as terminals, Markdown, LaTeX and HTML show them."""

import re
from collections.abc import Sequence
from itertools import groupby
from math import isnan
from typing import Literal

from ..errors import printable

Format = Literal["text", "md", "tex"]
BOLD = re.compile(r"\*\*([\d.]+)\*\*")
GREEK = "alpha beta gamma delta epsilon theta lambda mu pi rho sigma tau phi omega"
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "𝒥": r"$\mathcal{J}$",
    "ℱ": r"$\mathcal{F}$",
}
"""Letter → its form in LaTeX."""
LATEX |= {letter: rf"$\{name}$" for letter, name in zip("αβγδεθλμπρστφω", GREEK.split(), strict=True)}
JOINERS = "\u200c\u200d\n\t"
"""Unprintable letters that texts may hold: joiners of emoji and of Persian words; white space of HTML."""


def percent(value: float | None) -> str:
    """Return a fraction in per cent with a single decimal; a dash for NaN, an empty text for None."""
    if value is None:
        return ""
    return "–" if isnan(value) else f"{100 * value:.1f}"


def bracketed(ends: tuple[float, float] | None) -> str:
    """Return an interval in per cent with a space before it, as ` [50.1, 62.3]`; an empty text without one."""
    if ends is None:
        return ""
    low, high = ends
    return f" [{percent(low)}, {percent(high)}]"


def visible(text: str) -> str:
    """Return text of a table with control letters, marks of direction and bytes that are no text as codes."""
    return printable(text, kept=JOINERS)


def one_line(text: str) -> str:
    """Return text on a line, visible."""
    return visible(" ".join(text.split()))


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped, and Greek letters as mathematics."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def grid(
    format: Format, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1, over: Sequence[str] = ()
) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, `md`, or `tex` (LaTeX with booktabs).
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number in another cell makes it bold.
        right: columns from this index on are right-aligned; the others left-aligned.
        over: of LaTeX: a title over each column but the first; equal neighbours share one.
    """
    if format == "text":
        return _terminal(heads, rows, right)
    if format == "md":
        rule = ["---"] * right + ["---:"] * (len(heads) - right)
        lines = [heads, rule, *rows]
        lines = [[one_line(cell).replace("|", r"\|") for cell in line] for line in lines]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    columns = "l" * right + "r" * (len(heads) - right)
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *_latex_titles(over)]
    parts += [_latex_row(heads), r"\midrule", *map(_latex_row, rows), r"\bottomrule", r"\end{tabular}", ""]
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


def _latex_titles(over: Sequence[str]) -> list[str]:
    """Return a line of titles over columns, and a line of rules below them; nothing without titles."""
    titles = []
    rules = []
    first = 2
    for title, columns in groupby(over):
        count = len(list(columns))
        titles.append(rf"\multicolumn{{{count}}}{{c}}{{{latex_text(title)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    return [rf" & {' & '.join(titles)} \\", " ".join(rules)] if titles else []
