"""Tables as Markdown, LaTeX, CSV or console text, and tables of scores with their uncertainty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isnan
from typing import TYPE_CHECKING

from ..videos.files import csv_of_records
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, HOW

if TYPE_CHECKING:
    from .records import Cell, Table
    from .result import Result

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


def _latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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


def scores_of(result: Result) -> tuple[list[str], list[list[str]]]:
    """Return heads and a line of scores per stage, in per cent."""
    lines: dict[str, dict[str, float]] = {}
    for key, score in result.scores.items():
        stage, name = result.stage_of(key)
        lines.setdefault(f"{result.benchmark} {stage}".rstrip(), {})[name] = score
    columns = list(dict.fromkeys(name for scores in lines.values() for name in scores))
    return ["", *columns], [[line, *(percent(scores.get(name)) for name in columns)] for line, scores in lines.items()]


def print_result(result: Result) -> None:
    """Print the network, the feature grid if known, and a line of scores per stage."""
    grid = result.data.get("grid")
    grids = f"; {', '.join([grid] if isinstance(grid, str) else grid)}" if grid else ""
    print(f"{result.benchmark}: {result.network}{grids}")
    if not result.scores:
        print("no ground truth, nothing to score")
        return
    print_table(*scores_of(result))


def render(table: Table, format: str = "md") -> str:
    """Return a table of scores as text.

    Markdown and LaTeX print per cent: mean and standard deviation over the seeds, the best mean of a column in
    bold, 95 % interval over sequences, and difference from the base row. CSV has a line per cell, with the same
    quantities as fractions, and the score of each seed.

    Args:
        table: the scores.
        format: `md`, `csv` or `tex` (LaTeX with booktabs).
    """
    if format == "csv":
        cells = ((name, head, row[head]) for name, row in table.rows.items() for head in table.heads if head in row)
        return csv_of_records([{"row": name, "column": head, **_fields(cell)} for name, head, cell in cells])
    head, lines = ["", *table.heads], text_rows(table, bold=True)
    if format == "md":
        return markdown_table(head, lines, first_right=1) + "".join(f"\n{note}\n" for note in table_footnotes(table))
    return _latex_table(head, lines) + "".join(f"% {note}\n" for note in table_footnotes(table))


def text_rows(table: Table, heads: Iterable[str] | None = None, bold: bool = False) -> list[list[str]]:
    """Return the rows of a table as texts, with the row's name first; `table_footnotes` explains the cells.

    Args:
        table: the scores.
        heads: heads of the columns; None: all columns.
        bold: put `**` around the best mean of a column.
    """
    shown = table.heads if heads is None else list(heads)
    best = table.best if bold else {}
    return [[name, *(_text(row.get(head), best.get(head)) for head in shown)] for name, row in table.rows.items()]


def table_footnotes(table: Table) -> list[str]:
    """Return a paragraph that explains the cells of a table; nothing if all cells are plain scores."""
    cells = [cell for row in table.rows.values() for cell in row.values()]
    tested = [cell.difference for cell in cells if cell.difference is not None]
    sentences = ["Per cent."]
    if any(len(cell.scores) > 1 for cell in cells):
        sentences.append("Several seeds: mean ± standard deviation.")
    if any(cell.interval is not None for cell in cells):
        sentences.append(f"[Low, high]: 95 % interval ({HOW}), over seeds too from {FEWEST_SEEDS} on.")
    if tested:
        paired = f"paired by sequence, and by seed where rows share {FEWEST_SEEDS} seeds or more"
        sentences.append(f"After “;”: difference from {table.base}, {paired}, each row tested by itself.")
        if any(change.p is not None for change in tested):
            sentences.append(ABOUT_WEIGHTS)
        if lacks := sorted({change.lacks for change in tested} - {""}):
            sentences.append(f"A difference without an interval is not tested: {' or '.join(lacks)}.")
    elif table.base and any(row for name, row in table.rows.items() if name != table.base):
        sentences.append(f"No row can be paired with {table.base}: same protocol, same sequences, values of each.")
    return [" ".join(sentences)] if len(sentences) > 1 else []


def _text(cell: Cell | None, best: str | None = None) -> str:
    if cell is None:
        return ""
    text = percent(cell.mean)
    if text == best:
        text = f"**{text}**"
    if len(cell.scores) > 1:
        text += f" ± {percent(cell.deviation)}"
    if (ends := cell.interval) is not None:
        text += f" [{percent(ends[0])}, {percent(ends[1])}]"
    if cell.difference is not None:
        text += f"; {cell.difference.figures}"
    return text.replace("-", "−")


def _fields(cell: Cell) -> dict[str, object]:
    low, high = cell.interval or (None, None)
    difference = cell.difference or (None, None, None, None)
    return {
        "conditions": "; ".join(dict.fromkeys(record.column.conditions for record in cell.records)),
        "mean": cell.mean,
        "deviation": None if isnan(cell.deviation) else cell.deviation,
        "low": low,
        "high": high,
        **dict(zip(("difference", "difference low", "difference high", "p"), difference, strict=False)),
        "seeds": " ".join("?" if record.seed is None else str(record.seed) for record in cell.records),
        "scores": " ".join(map(str, cell.scores)),
    }
