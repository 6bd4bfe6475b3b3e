"""Tables of scores made of records or cells: a row is a network over its seeds, a column holds comparable scores."""

from collections.abc import Iterable
from dataclasses import replace

from .cells import Cell, by_row
from .records import Column, ScoreRecord, uniquely_titled
from .rendering import Table


def table_of_cells(cells: Iterable[tuple[str, Column, Cell]], rows: Iterable[str] = ()) -> Table:
    """Return a table of cells by the names of their rows and by their columns.

    Args:
        cells: row, column and cell; rows and columns stand in their order.
        rows: names of rows that stand first, with or without cells.
    """
    columns: dict[str, Column] = {}
    found: dict[str, dict[str, Cell]] = {name: {} for name in rows}
    for name, column, cell in cells:
        columns.setdefault(column.head, column)
        found.setdefault(name, {})[column.head] = cell
    return Table(columns, found)


def printed_beside(column: Column, value: float, digits: int = 1) -> tuple[Column, Cell]:
    """Return the column beside a measured score, and a published score in it, a fraction with its printed decimals."""
    return column._replace(published=True), Cell(published=value, digits=digits)


def tabulate(records: Iterable[ScoreRecord]) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    A row with several seeds, or with a history, stands for a training.
    """
    records = list(records)
    titled = uniquely_titled([record.column for record in records])
    cells: list[tuple[str, Column, Cell]] = []
    for name, members in by_row(records).items():
        seeds: dict[Column, list[ScoreRecord]] = {}
        for record in members:
            seeds.setdefault(titled[record.column], []).append(record)
        for column, of_cell in seeds.items():
            is_training = len(of_cell) > 1 or bool(of_cell[0].result.history)
            cells.append((name, column, Cell(tuple(of_cell), is_training)))
    table = table_of_cells(cells)
    return replace(table, columns={column.head: column for column in titled.values()})  # in the order of the records
