"""Tables of scores as Markdown, LaTeX or CSV."""

from math import isnan

from ..videos.files import csv_of_records
from .tables import Cell, Table, table_footnotes, text_rows
from .text_tables import latex_table, markdown_table, one_line, visible


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
        return csv_of_records(_csv_records(table))
    head = ["", *table.heads]
    lines = text_rows(table, bold=True)
    if format == "md":
        text = markdown_table(head, lines, first_right=1)
        note_form = "\n{}\n"
    else:
        text = latex_table(head, lines)
        note_form = "% {}\n"
    for note in table_footnotes(table):
        text += note_form.format(one_line(note))
    return text


def _csv_records(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row, in the order of the table's heads."""
    records = []
    for name, row in table.rows.items():
        for head in table.heads:
            if head in row:
                records.append({"row": visible(name), "column": visible(head), **_fields(row[head])})
    return records


def _fields(cell: Cell) -> dict[str, object]:
    """Return the quantities of a cell by the names of their CSV columns; None for a missing quantity."""
    fields: dict[str, object] = {"conditions": "; ".join(cell.conditions), "mean": cell.mean}
    fields["deviation"] = None if isnan(cell.deviation) else cell.deviation
    fields["low"], fields["high"] = cell.interval or (None, None)
    difference = cell.difference or (None, None, None, None)
    fields |= zip(("difference", "difference low", "difference high", "p"), difference, strict=False)
    fields["seeds"] = " ".join("?" if record.seed is None else str(record.seed) for record in cell.records)
    fields["scores"] = " ".join(map(str, cell.scores))
    return fields
