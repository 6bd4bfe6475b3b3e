"""Tables of scores as Markdown, LaTeX or CSV."""

from math import isnan

from ..videos.files import csv_of_records
from .tables import Cell, Table, table_footnotes, text_rows
from .text_tables import latex_table, markdown_table


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
    return latex_table(head, lines) + "".join(f"% {note}\n" for note in table_footnotes(table))


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
