"""Tables of texts as Markdown, LaTeX, HTML and on the console."""

import re
from collections.abc import Sequence
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
    return "" if value is None else "–" if isnan(value) else f"{100 * value:.1f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], first_right: int | None = None) -> str:
    """Return a table as Markdown with escaped cells; columns from index `first_right` are right-aligned."""
    rule = ["---:" if first_right is not None and index >= first_right else "---" for index in range(len(head))]
    lines = ([" ".join(cell.split()).replace("|", r"\|") for cell in line] for line in (head, rule, *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as LaTeX with booktabs and escaped cells; all columns but the first are right-aligned."""
    escaped = str.maketrans(LATEX)
    cells = (
        [BOLD.sub(r"\\textbf{\1}", " ".join(cell.split()).translate(escaped)) for cell in line]
        for line in (head, *rows)
    )
    lines = [" & ".join(line) + r" \\" for line in cells]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all columns but the first are right-aligned."""
    lines = [[" ".join(cell.split()) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells in lines:
        print("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip())


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with left-aligned columns, for a terminal; each line ends with a line break."""
    lines = [[" ".join(cell.split()) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        text += f"{'  '.join(cells).rstrip()}\n"
    return text


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML with escaped cells; `**` around a number makes it bold."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return BOLD.sub(r"<b>\1</b>", f"<table>{''.join(lines)}</table>")
