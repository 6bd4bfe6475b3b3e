"""Tables of scores made of records or cells: a row is a network over its seeds, a column holds comparable scores."""

from collections.abc import Iterable, Mapping
from itertools import chain
from operator import attrgetter

from .cells import Cell, measured_cell, published_cell
from .published import Published, published_rows
from .records import Column, ScoreRecord
from .rendering import Table
from .rows import rows_of


def table_of_cells(cells: Iterable[tuple[str, Column, Cell]], rows: Iterable[str] = ()) -> Table:
    """Return a table of cells, each with the name of its row and its column, in order of appearance.

    `rows` are names of rows that come first, even without cells.
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
        records: the scores.
        with_published: add published rows to the columns of whole test sets that have the papers' protocol.
        with_views: as `rows_of`.

    Raises:
        ValueError: as `rows_of`.
    """
    records = list(records)
    rows, notes = rows_of(records, with_views)
    beside = {record: _columns_beside(record, records) for record in records if record.result.is_theirs}
    columns_of = {record: beside.get(record) or [record.column] for record in records}
    of_title: dict[str, list[Column]] = {}
    for column in dict.fromkeys(chain.from_iterable(columns_of.values())):
        of_title.setdefault(column.title, []).append(column)
    titled: dict[Column, Column] = {}  # column → the same with a title that no other column has
    for columns in of_title.values():
        for column in columns:
            conditions = [column.conditions]
            for kind, of in (("protocol", "protocol"), ("sequences", "names"), ("data", "data")):
                if len({getattr(each, of) for each in columns}) > 1:
                    conditions.append(f"{kind} {getattr(column, of) or 'not recorded'}")
            titled[column] = column._replace(conditions=", ".join(filter(None, conditions)))
    cells_of_row: dict[str, dict[Column, Cell]] = {}
    for name, members in rows.items():
        by_column: dict[Column, list[ScoreRecord]] = {}
        for record in members:
            for column in columns_of[record]:
                by_column.setdefault(titled[column], []).append(record)
        for column, of_seeds in by_column.items():
            # `trained`: the study says so; a result has a history if it was measured during a training
            is_training = len(of_seeds) > 1 or of_seeds[0].trained or bool(of_seeds[0].result.history)
            cells_of_row.setdefault(name, {})[column] = measured_cell(of_seeds, is_training)
    if with_published:
        for name, column, cell in _cells_of(_published_on(records, titled)):
            cells_of_row.setdefault(name, {})[column] = cell
    # the order of the records, not that of the rows
    in_order = dict.fromkeys(titled[column] for columns in columns_of.values() for column in columns)
    return Table(tuple(in_order), cells_of_row, notes=notes)


def _columns_beside(theirs: ScoreRecord, records: Iterable[ScoreRecord]) -> list[Column]:
    """Return the columns of our results with the score, data and rules of others' predictions, by any protocol."""
    ours = (record for record in records if not record.result.is_theirs and record.rules == theirs.rules)
    columns = dict.fromkeys(record.column for record in ours)
    return [column for column in columns if column._replace(by="", protocol="") == theirs.column]


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
    """Return row, column and cell of each published score; rows are `NAME (published)`, or `NAME (SOURCE)`."""
    cells: dict[tuple[str, Column], Cell] = {}
    for row, columns in columns_of_row.items():
        name = f"{row.name} (published)"
        if any((name, column) in cells for column in columns):
            name = f"{row.name} ({row.source})"
        for column in columns:
            cells[name, column] = published_cell(row.scores[column.score], row)
    return [(*place, cell) for place, cell in cells.items()]


def _published_on(records: Iterable[ScoreRecord], titled: Mapping[Column, Column]) -> dict[Published, list[Column]]:
    """Return published row → the columns on whole test sets of papers with the row's protocol and a score of it."""
    whole: dict[str, dict[Column, None]] = {}
    for record in records:
        if record.result.on_test_set:
            whole.setdefault(record.column.benchmark, {})[record.column] = None
    columns_of_row: dict[Published, list[Column]] = {}
    for paper in published_rows():
        for column in whole.get(paper.benchmark, ()):
            # without what the network sets, as in the digest of a record's column
            if column.score in paper.scores and column.protocol == paper.evaluation_protocol().shared().digest():
                columns_of_row.setdefault(paper, []).append(titled[column])
    return columns_of_row
