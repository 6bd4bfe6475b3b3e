"""Tables as text: of plain cells as Markdown, LaTeX or for the console, and of scores with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from datamodules.writing.tables import csv_of_records

from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, HOW

if TYPE_CHECKING:
    from .records import Cell, Table
    from .result import Result

FORMATS = ("md", "csv", "tex")
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


def _latex_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as LaTeX with booktabs, its cells escaped; all columns but the first are aligned right."""
    escaped = str.maketrans(LATEX)
    lines = [" & ".join(" ".join(cell.split()).translate(escaped) for cell in line) + r" \\" for line in (head, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, all columns but the first aligned right."""
    lines = [[" ".join(cell.split()) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells in lines:
        print("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip())


def print_result(result: Result) -> None:
    """Print the network, the feature grid if the benchmark reports it, and one line per stage with the scores."""
    grid = result.data.get("grid")
    grids = f"; {', '.join([grid] if isinstance(grid, str) else grid)}" if grid else ""
    print(f"{result.benchmark}: {result.network}{grids}")
    if not result.scores:
        print("no ground truth, nothing to score")
        return
    lines: dict[str, dict[str, float]] = {}
    for key, score in result.scores.items():
        stage, name = result.stage_of(key)
        lines.setdefault(f"{result.benchmark} {stage}".rstrip(), {})[name] = score
    columns = list(dict.fromkeys(name for scores in lines.values() for name in scores))
    rows = [[line, *(percent(scores.get(name)) for name in columns)] for line, scores in lines.items()]
    print_table(["", *columns], rows)


def render(table: Table, format: str = "md") -> str:
    """Write a table of scores as text.

    Markdown and LaTeX give per cent with one digit: the mean over the seeds, each seed and the range where there are
    several, the 95 % interval over sequences, and the difference from the base row. CSV has a line for each score of a
    row, with fractions, all digits and a column for each of these.

    Args:
        table: the scores.
        format: `md`, `csv` or `tex` (LaTeX with booktabs).
    """
    if format == "csv":
        cells = ((name, head, row[head]) for name, row in table.rows.items() for head in table.heads if head in row)
        return csv_of_records([{"row": name, "column": head, **_fields(cell)} for name, head, cell in cells])
    head, lines = ["", *table.heads], text_rows(table)
    if format == "md":
        return markdown_table(head, lines, first_right=1) + "".join(f"\n{note}\n" for note in notes(table))
    return _latex_table(head, lines) + "".join(f"% {note}\n" for note in notes(table))


def text_rows(table: Table) -> list[list[str]]:
    """Return the cells of a table as text, row by row, after the name of each row; `notes` explains them."""
    return [[name, *(_text(row.get(head)) for head in table.heads)] for name, row in table.rows.items()]


def notes(table: Table) -> list[str]:
    """Return what explains the cells of a table: a paragraph, or nothing where they hold plain scores."""
    cells = [cell for row in table.rows.values() for cell in row.values()]
    tested = [cell.difference for cell in cells if cell.difference is not None]
    found = ["Per cent."]
    if any(len(cell.scores) > 1 for cell in cells):
        found.append("Several seeds: mean (each seed; range = largest − smallest).")
    if any(cell.interval is not None for cell in cells):
        found.append(f"[Low, high]: 95 % interval ({HOW}), over seeds too from {FEWEST_SEEDS} on.")
    if tested:
        found.append(f"After “;”: difference from {table.base}, paired by sequence, each row tested by itself.")
        if any(one.p is not None for one in tested):
            found.append(ABOUT_WEIGHTS)
    elif table.base and any(row for name, row in table.rows.items() if name != table.base):
        found.append(f"No row has the same sequences under the same protocol as {table.base}.")
    machines = sorted({one.result.provenance.device for cell in cells for one in cell.records} - {""})
    if len(machines) > 1 and any(cell.trained for cell in cells):
        text = "A seed trains to another score on another machine."
        found.append(f"Run on different machines: {'; '.join(machines)}. {text}")
    return [" ".join(found)] if len(found) > 1 else []


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = percent(cell.mean)
    if len(cell.scores) > 1:
        text += f" ({' / '.join(map(percent, cell.scores))}; range {percent(cell.spread)})"
    if (ends := cell.interval) is not None:
        text += f" [{percent(ends[0])}, {percent(ends[1])}]"
    if cell.difference is not None:
        text += f"; {cell.difference.in_points}"
    return text.replace("-", "−")


def _fields(cell: Cell) -> dict[str, object]:
    low, high = cell.interval or (None, None)
    difference = cell.difference or (None, None, None, None)
    return {
        "conditions": "; ".join(dict.fromkeys(one.column.conditions for one in cell.records)),
        "mean": cell.mean,
        "low": low,
        "high": high,
        **dict(zip(("difference", "difference low", "difference high", "p"), difference, strict=False)),
        "seeds": " ".join("?" if one.seed is None else str(one.seed) for one in cell.records),
        "scores": " ".join(map(str, cell.scores)),
        "machines": "; ".join(dict.fromkeys(one.result.provenance.device for one in cell.records)),
    }
