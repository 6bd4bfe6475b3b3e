"""Tables of scores: a row is a network over its seeds, a column holds comparable scores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan

from .cells import Cell, by_row
from .formats import percent
from .records import Column, Record, uniquely_titled


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column; `rendering.render` shows them.

    Attributes:
        columns: head → conditions that the scores of the column share.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
        own_bases: row → its base row, for rows with another base than `base`.
        notes: sentences about the table.
        caption: data and network of the scores, for steps from a protocol to another; empty: as the results say, and
            the largest mean of a column is its best.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caption: str = ""

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        from .rendering import render  # it needs this class

        return render(self, "html")

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        cells: list[Cell] = []
        for row in self.rows.values():
            cells += row.values()
        return cells

    @cached_property
    def titles(self) -> dict[str, list[str]]:
        """Title of columns → their heads; the columns of a benchmark are neighbours."""
        found: dict[str, list[str]] = {}
        for benchmark in dict.fromkeys(column.benchmark for column in self.columns.values()):
            for head, column in self.columns.items():
                if column.benchmark == benchmark:
                    found.setdefault(column.title, []).append(head)
        return found

    @cached_property
    def best(self) -> dict[str, str]:
        """Head of a column with several scores → the largest mean as text; columns of decays have no best."""
        best: dict[str, str] = {}
        for head, column in self.columns.items():
            cells = [row[head] for row in self.rows.values() if head in row]
            means = [cell.mean for cell in cells if not isnan(cell.mean)]
            if len(means) > 1 and not column.score.endswith("Decay") and not self.caption:
                best[head] = percent(max(means), cells[0].digits)
        return best

    def row_named(self, text: str) -> str:
        """Return the row of a name, or of a unique part of its name.

        Raises:
            ValueError: if the text does not name exactly one row.
        """
        if text in self.rows:
            return text
        found = [name for name in self.rows if text in name]
        if len(found) != 1:
            raise ValueError(f"base {text!r} names {len(found) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        return found[0]

    def with_differences(self, base: str, own_bases: Mapping[str, str] = {}) -> "Table":
        """Return the table with the differences of all rows from a base row, named as in `row_named`.

        Args:
            base: the base row.
            own_bases: row → another base row, by their full names.
        """
        base = self.row_named(base)
        rows: dict[str, Mapping[str, Cell]] = {}
        for name, row in self.rows.items():
            base_of_row = own_bases.get(name, base)
            base_cells = {} if name == base_of_row else self.rows[base_of_row]
            rows[name] = {head: cell.against(base_cells.get(head)) for head, cell in row.items()}
        return replace(self, rows=rows, base=base, own_bases=own_bases)


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


def tabulate(records: Iterable[Record]) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    A row with several seeds, or with a history, stands for a training.
    """
    records = list(records)
    titled = uniquely_titled([record.column for record in records])
    cells: list[tuple[str, Column, Cell]] = []
    for name, members in by_row(records).items():
        seeds: dict[Column, list[Record]] = {}
        for record in members:
            seeds.setdefault(titled[record.column], []).append(record)
        for column, of_cell in seeds.items():
            is_training = len(of_cell) > 1 or bool(of_cell[0].result.history)
            cells.append((name, column, Cell(tuple(of_cell), is_training)))
    table = table_of_cells(cells)
    return replace(table, columns={column.head: column for column in titled.values()})  # in the order of the records
