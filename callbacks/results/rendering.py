"""Tables of texts as Markdown, LaTeX or a table of the console; `csv_text` writes the fourth format."""

from collections.abc import Sequence
from math import isnan

import rich.table
from rich.markup import escape

LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
}


def percent(value: float | None) -> str:
    """Return a fraction in per cent with one digit; a dash for one that is not defined, nothing for None."""
    return "" if value is None else "–" if isnan(value) else f"{100 * value:.1f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], first_right: int | None = None) -> str:
    """Return a table as Markdown, its cells escaped; columns from `first_right` on are aligned right."""
    rule = ["---:" if first_right is not None and index >= first_right else "---" for index in range(len(head))]
    lines = ([" ".join(cell.split()).replace("|", r"\|") for cell in line] for line in (head, rule, *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as LaTeX with booktabs, its cells escaped; all columns but the first are aligned right."""
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (head, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def console_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> rich.table.Table:
    """Return a table for the console; all columns but the first are aligned right."""
    table = rich.table.Table(box=None, header_style="bold")
    for index, name in enumerate(head):
        table.add_column(escape(name), justify="right" if index else "left", no_wrap=index == 0)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))
