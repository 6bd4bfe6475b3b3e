"""Tables of scores made of records or cells: a row is a network over its seeds, a column holds comparable scores."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from operator import attrgetter

from .cells import Cell, measured_cell, published_cell
from .published import Published, published_rows
from .records import Column, ScoreRecord, uniquely_titled
from .rendering import Table
from .rows import rows_of


def table_of_cells(cells: Iterable[tuple[str, Column, Cell]], rows: Iterable[str] = ()) -> Table:
    """Return a table made of cells.

    Args:
        cells: name of the row, column, and cell; rows and columns stand in order of appearance.
        rows: names of rows that come first in this order, even without cells.
    """
    columns: dict[Column, None] = {}
    cells_of_row: dict[str, dict[Column, Cell]] = {name: {} for name in rows}
    for name, column, cell in cells:
        columns[column] = None
        cells_of_row.setdefault(name, {})[column] = cell
    return Table(tuple(columns), cells_of_row)


def tabulate(records: Iterable[ScoreRecord], with_published: bool = False, with_views: bool = True) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    A row stands for a training if it has several seeds, or a result of an evaluation during the training, or if a study
    says so. Predictions of others have no protocol, so they stand in every column of our results that has the same data
    and rules.

    Args:
        with_published: add published rows to the columns of whole test sets that have the papers' protocol.
        with_views: True: several views (stage, stride, input) of one network are several rows; see `rows_of`.

    Raises:
        ValueError: if the user's name of a row stands for two networks, or for two results of a seed.
    """
    records = list(records)
    rows, notes = rows_of(records, with_views)
    columns_of = {record: [record.column] for record in records}  # record → the columns in which it stands
    for theirs in records:
        if theirs.result.is_theirs:
            columns_of[theirs] = _columns_beside(theirs, records) or [theirs.column]
    # column → the same column with a title that no other column has
    titled = uniquely_titled(list(chain.from_iterable(columns_of.values())))
    cells: list[tuple[str, Column, Cell]] = []
    for name, members in rows.items():
        by_column: dict[Column, list[ScoreRecord]] = {}
        for record in members:
            for column in columns_of[record]:
                by_column.setdefault(titled[column], []).append(record)
        for column, of_seeds in by_column.items():
            # `trained`: the study says so; a result has a history if it was measured during a training
            is_training = len(of_seeds) > 1 or of_seeds[0].trained or bool(of_seeds[0].result.history)
            cells.append((name, column, measured_cell(of_seeds, is_training)))
    if with_published:
        cells += _cells_of(_published_on(records, titled))
    in_order = dict.fromkeys(titled.values())  # the order of the records, not that of the rows
    return replace(table_of_cells(cells), columns=tuple(in_order), notes=notes)


def _columns_beside(theirs: ScoreRecord, records: Iterable[ScoreRecord]) -> list[Column]:
    """Return the columns in which a score of others' predictions may stand beside scores of our results.

    These are the columns of our results with the same score, data and rules. Predictions of others have no protocol, so
    their score may stand in the columns of all our protocols.
    """
    columns: dict[Column, None] = {}
    for record in records:
        without_protocol = record.column._replace(by="", protocol="")
        if not record.result.is_theirs and without_protocol == theirs.column and record.rules == theirs.rules:
            columns[record.column] = None
    return list(columns)


def published_table() -> Table:
    """Return the table of all published rows, a column per benchmark, protocol and score, sorted by benchmark."""
    columns_of_row: dict[Published, list[Column]] = {}
    for row in sorted(published_rows(), key=attrgetter("benchmark")):
        # without what the network sets, so that rows of several networks share a column
        protocol = row.evaluation_protocol().shared()
        of_protocol = Column(row.benchmark, "", protocol.name, protocol=protocol.digest())
        columns_of_row[row] = [of_protocol._replace(score=score) for score in row.scores]
    return table_of_cells(_cells_of(columns_of_row))


def _cells_of(columns_of_row: Mapping[Published, Iterable[Column]]) -> list[tuple[str, Column, Cell]]:
    """Return name of the row, column and cell for each score of published rows.

    A row is named `NAME (published)`; if another row of this name has a score in one of the columns, `NAME (SOURCE)`.

    Args:
        columns_of_row: published row → columns in which it gets a cell; it has a score for each.
    """
    cells: dict[tuple[str, Column], Cell] = {}
    for row, columns in columns_of_row.items():
        name = f"{row.name} (published)"
        if any((name, column) in cells for column in columns):
            name = f"{row.name} ({row.source})"
        for column in columns:
            cells[name, column] = published_cell(row.scores[column.score], row)
    return [(*place, cell) for place, cell in cells.items()]


def _published_on(records: Iterable[ScoreRecord], titled: Mapping[Column, Column]) -> dict[Published, list[Column]]:
    """Return published row → the columns of a table in which the row may stand.

    Such a column has the row's protocol and a score of the row, and was measured on the whole test set of papers.

    Args:
        titled: column of a record → column of the table.
    """
    whole: dict[str, dict[Column, None]] = {}  # benchmark → columns
    for record in records:
        if record.result.on_test_set:
            whole.setdefault(record.column.benchmark, {})[record.column] = None
    columns_of_row: dict[Published, list[Column]] = {}
    for paper in published_rows():
        if paper.benchmark not in whole:
            continue
        # without what the network sets, as in the digest of a record's column
        protocol = paper.evaluation_protocol().shared().digest()
        for column in whole[paper.benchmark]:
            if column.protocol == protocol and column.score in paper.scores:
                columns_of_row.setdefault(paper, []).append(titled[column])
    return columns_of_row
