"""Tables of texts as Markdown, LaTeX, HTML and on the console."""

import re
from collections.abc import Callable, Sequence
from html import escape
from math import isnan

BOLD = re.compile(r"\*\*([\d.]+)\*\*")
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
}


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


def latex_text(text: str) -> str:
    """Return text with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


def _markdown_cell(cell: str) -> str:
    return _one_line(cell).replace("|", r"\|")


def _latex_cell(cell: str) -> str:
    return BOLD.sub(r"\\textbf{\1}", latex_text(_one_line(cell)))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], first_right: int | None = None) -> str:
    """Return a table as Markdown with escaped cells; columns from index `first_right` are right-aligned."""
    rule = ["---"] * len(head)
    if first_right is not None:
        rule[first_right:] = ["---:"] * len(rule[first_right:])
    text = ""
    for line in (head, rule, *rows):
        text += f"| {' | '.join(map(_markdown_cell, line))} |\n"
    return text


def latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as LaTeX with booktabs and escaped cells; all columns but the first are right-aligned."""
    lines = [" & ".join(map(_latex_cell, line)) + r" \\" for line in (head, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], pad: Callable[[str, int], str] = str.ljust) -> str:
    """Return a table for a terminal; each line ends with a line break.

    Args:
        head: heads of the columns.
        rows: cells of the rows.
        pad: aligns all columns but the first, which is left-aligned: `str.ljust` or `str.rjust`.
    """
    lines = [list(map(_one_line, line)) for line in (head, *rows)]
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
    return BOLD.sub(r"<b>\1</b>", f"<table>{lines}</table>")


def _html_row(tag: str, cells: Sequence[str]) -> str:
    """Return a row of a table in HTML; `tag` is `th` for heads, `td` for other cells."""
    content = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{content}</tr>"
