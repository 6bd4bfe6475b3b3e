"""Tables of scores made of records or cells: a row is a network over its seeds, a column holds comparable scores."""

from collections.abc import Iterable
from dataclasses import replace

from .cells import Cell, by_row
from .published import Published, published_rows
from .records import Column, ScoreRecord, uniquely_titled
from .rendering import Table


def table_of_cells(cells: Iterable[tuple[str, Column, Cell]], rows: Iterable[str] = ()) -> Table:
    """Return a table of cells by the names of their rows and by their columns.

    Args:
        cells: row, column and cell; rows and columns stand in their order.
        rows: names of rows that stand first, with or without cells.
    """
    columns: dict[Column, None] = {}
    found: dict[str, dict[Column, Cell]] = {name: {} for name in rows}
    for name, column, cell in cells:
        columns[column] = None
        found.setdefault(name, {})[column] = cell
    return Table(tuple(columns), found)


def printed_beside(column: Column, value: float, digits: int = 1) -> tuple[Column, Cell]:
    """Return the column beside a measured score, and a published score in it, a fraction with its printed decimals."""
    return column._replace(published=True), Cell(published=value, digits=digits)


def tabulate(records: Iterable[ScoreRecord], with_published: bool = False) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    A row with several seeds, or with a history, stands for a training.

    Args:
        records: the scores.
        with_published: add the published rows of each whole test set by its protocol, with their doubts as notes.
    """
    records = list(records)
    titled = uniquely_titled([record.column for record in records])
    cells: list[tuple[str, Column, Cell]] = []
    for name, members in by_row(records).items():
        by_column: dict[Column, list[ScoreRecord]] = {}
        for record in members:
            by_column.setdefault(titled[record.column], []).append(record)
        for column, of_seeds in by_column.items():
            is_training = len(of_seeds) > 1 or bool(of_seeds[0].result.history)
            cells.append((name, column, Cell(tuple(of_seeds), is_training)))
    notes: list[str] = []
    if with_published:
        for paper, columns in _published_on(records).items():
            for column in columns:
                cells.append((f"{paper.name} (published)", titled[column], Cell(published=paper.scores[column.score])))
            if paper.doubt:
                notes.append(f"{paper.name}: {paper.doubt}")
    table = table_of_cells(cells)
    in_order = dict.fromkeys(titled.values())  # of the records
    return replace(table, columns=tuple(in_order), notes=tuple(notes))


def _published_on(records: Iterable[ScoreRecord]) -> dict[Published, list[Column]]:
    """Return published row → the columns of whole test sets that have its protocol and its scores."""
    whole = dict.fromkeys(record.column for record in records if record.result.on_test_set)
    benchmarks = {column.benchmark for column in whole}
    found: dict[Published, list[Column]] = {}
    for paper in published_rows():
        if paper.benchmark not in benchmarks:
            continue
        protocol = paper.evaluated_by().shared().digest()
        for column in whole:
            is_comparable = (column.benchmark, column.protocol) == (paper.benchmark, protocol)
            if is_comparable and column.score in paper.scores:
                found.setdefault(paper, []).append(column)
    return found
