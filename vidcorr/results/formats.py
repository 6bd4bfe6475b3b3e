"""Numbers, texts and plain tables as terminals, Markdown, LaTeX and HTML show them."""

import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from math import isnan
from typing import Any, Literal

from ..errors import printable

Format = Literal["text", "md", "tex", "html"]
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
MARKDOWN = re.compile(r"[`*<$]|~~|\\(?=[`*<$~|\\])")
"""Texts with a meaning in Markdown, wherever they stand; a backslash has one before such a letter."""
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
    """Return text of a table or page with control letters, marks of direction and bytes that are no text as codes."""
    return printable(text, kept=JOINERS)


def visible_texts(value: Any) -> Any:
    """Return plain values of JSON with all texts and keys `visible`."""
    if isinstance(value, dict):
        return {visible(key): visible_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [visible_texts(item) for item in value]
    return visible(value) if isinstance(value, str) else value


def html_text(text: str) -> str:
    """Return text for HTML: visible and escaped."""
    return escape(visible(text))


def one_line(text: str) -> str:
    """Return text on a line, visible."""
    return visible(" ".join(text.split()))


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped, and Greek letters as mathematics."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def markdown_text(text: str) -> str:
    """Return text on a line whose letters mean nothing in a table of Markdown."""
    return one_line(MARKDOWN.sub(r"\\\g<0>", text)).replace("|", r"\|")


def grid(
    format: Format, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1, over: Sequence[str] = ()
) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, `md`, `tex` (LaTeX with booktabs) or `html`.
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number in another cell makes it bold.
        right: columns from this index on are right-aligned; the others left-aligned.
        over: of LaTeX: a title over each column but the first; equal neighbours share one.
    """
    if format == "text":
        return _terminal(heads, rows, right)
    if format == "md":
        rule = ["---"] * right + ["---:"] * (len(heads) - right)
        lines = [list(map(markdown_text, heads)), rule]
        for name, *cells in rows:
            lines.append([markdown_text(name), *(one_line(cell).replace("|", r"\|") for cell in cells)])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if format == "html":
        return f"<table>{_html_row('th', heads)}{''.join(_html_row('td', row) for row in rows)}</table>"
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


def _html_row(tag: str, cells: Sequence[str]) -> str:
    """Return a row in HTML; `tag` is `th` for heads, `td` for other cells."""
    name, *others = map(html_text, cells)
    texts = [name, *(BOLD.sub(r"<b>\1</b>", cell) for cell in others)]
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"


def _latex_row(cells: Sequence[str]) -> str:
    """Return a row in LaTeX; a `[` or `*` at its start would be an argument of the row's end before it."""
    name, *others = map(latex_text, cells)
    line = " & ".join([name, *(BOLD.sub(r"\\textbf{\1}", cell) for cell in others)])
    return f"{{}}{line} \\\\" if line.startswith(("[", "*")) else f"{line} \\\\"


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
