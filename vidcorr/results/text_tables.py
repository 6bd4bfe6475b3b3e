"""Tables of texts as Markdown, LaTeX, HTML and on the console."""

import re
from collections.abc import Callable, Sequence
from html import escape
from math import isnan
from typing import Any

from ..errors import printable

BOLD = re.compile(r"\*\*([\d.]+)\*\*")
BOLD_HTML = r"<b>\1</b>"
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
}
GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "θ": "theta",
    "λ": "lambda",
    "μ": "mu",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
    "ω": "omega",
}
"""Letter → its command in the mathematics of LaTeX."""
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
    found = ""
    for letter in one_line(text):
        if letter in GREEK:
            found += rf"$\{GREEK[letter]}$"
        else:
            found += LATEX.get(letter, letter)
    return found


def latex_row(cells: Sequence[str]) -> str:
    """Return a row of cells in LaTeX; a `[` or `*` at its start would be an argument of the row's end before it."""
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def _markdown_name(text: str) -> str:
    """Return a name on a line whose letters mean nothing in Markdown."""
    return _markdown_cell(MARKDOWN.sub(r"\\\g<0>", text))


def _markdown_cell(cell: str) -> str:
    return one_line(cell).replace("|", r"\|")


def _latex_cell(cell: str) -> str:
    return BOLD.sub(r"\\textbf{\1}", latex_text(cell))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], first_right: int | None = None) -> str:
    """Return a table as Markdown with escaped cells; columns from index `first_right` are right-aligned."""
    rule = ["---"] * len(head)
    if first_right is not None:
        rule[first_right:] = ["---:"] * len(rule[first_right:])
    text = ""
    lines = [list(map(_markdown_name, head)), rule]
    for name, *cells in rows:
        lines.append([_markdown_name(name), *map(_markdown_cell, cells)])
    for line in lines:
        text += f"| {' | '.join(line)} |\n"
    return text


def latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as LaTeX with booktabs and escaped cells; all columns but the first are right-aligned."""
    lines = [latex_row(list(map(_latex_cell, line))) for line in (head, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], pad: Callable[[str, int], str] = str.ljust) -> str:
    """Return a table for a terminal; each line ends with a line break.

    Args:
        head: heads of the columns.
        rows: cells of the rows.
        pad: aligns all columns but the first, which is left-aligned: `str.ljust` or `str.rjust`.
    """
    lines = [list(map(one_line, line)) for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for name, *cells in lines:
        padded = "  ".join([name.ljust(widths[0]), *map(pad, cells, widths[1:])])
        text += f"{padded.rstrip()}\n"
    return text


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML with escaped cells; `**` around a number makes it bold."""
    lines = _html_row("th", head)
    for row in rows:
        lines += _html_row("td", row)
    return f"<table>{lines}</table>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    """Return a row of a table in HTML; `tag` is `th` for heads, `td` for other cells."""
    name, *others = map(html_text, cells)
    content = f"<{tag}>{name}</{tag}>"
    for cell in others:
        content += f"<{tag}>{BOLD.sub(BOLD_HTML, cell)}</{tag}>"
    return f"<tr>{content}</tr>"
