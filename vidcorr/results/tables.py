"""Tables of scores with their uncertainty: a row is a network over its seeds, a column holds comparable scores."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import isnan, nan
from statistics import fmean, stdev

from .records import Column, Record, uniquely_titled
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, HOW, Difference, Sample, difference, interval
from .text_tables import bracketed, html_table, html_text, percent


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column.

    Attributes:
        records: scores of the seeds; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        published: the published score, a fraction.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
    """

    records: tuple[Record, ...] = ()
    trained: bool = False
    published: float | None = None
    difference: Difference | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Scores of the seeds, or the published score."""
        if self.published is not None:
            return (self.published,)
        return tuple(record.value for record in self.records)

    @property
    def conditions(self) -> list[str]:
        """Different conditions of the scores, as heads of columns state them."""
        return list(dict.fromkeys(record.column.conditions for record in self.records))

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, of a sample; NaN for a single score, or if a seed's score is undefined."""
        if len(self.scores) < 2 or isnan(self.mean):
            return nan
        return stdev(self.scores)

    @cached_property
    def runs(self) -> list[Sample]:
        """The score as a sample of sequences, per seed; empty if a result has no values by sequence."""
        samples = []
        for record in self.records:
            sample = record.result.sample(record.key)
            if sample is None:
                return []
            samples.append(sample)
        return samples

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval; None without values by sequence, or with fewer than four sequences."""
        return interval(self.runs, self.records[0].column.score) if self.runs else None

    def with_uncertainty(self, text: str, intervals: bool = True) -> str:
        """Return the text of the mean, followed by the deviation over several seeds and by the interval.

        Args:
            text: the mean, for example in bold.
            intervals: False leaves the interval out.
        """
        if not isnan(self.deviation):
            text += f" ± {percent(self.deviation)}"
        return text + bracketed(self.interval) if intervals else text

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's cell if all scores of both are comparable."""
        if base is None or not self.runs or not base.runs:
            return self
        columns = {record.column for record in (*self.records, *base.records)}
        if len(columns) > 1:
            return self
        return replace(self, difference=difference(self.runs, base.runs, (self.trained, base.trained)))


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column.

    Attributes:
        blocks: title → head of a column → its score; the columns of a block differ in the score alone.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
    """

    blocks: Mapping[str, Mapping[str, str]]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.heads)} columns: {'; '.join(self.rows)})"

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        text = html_table(["", *self.heads], text_rows(self, bold=True))
        for note in table_footnotes(self):
            text += f"<p>{html_text(note)}</p>"
        return text

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of the columns."""
        return tuple(chain.from_iterable(self.blocks.values()))

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        cells: list[Cell] = []
        for row in self.rows.values():
            cells += row.values()
        return cells

    @cached_property
    def best(self) -> dict[str, str]:
        """Head of a column with several scores → the largest mean as text; columns of decays have no best."""
        means: dict[str, list[float]] = {}
        for row in self.rows.values():
            for head, cell in row.items():
                if not isnan(cell.mean):
                    means.setdefault(head, []).append(cell.mean)
        best = {}
        for head, known in means.items():
            if len(known) > 1 and not head.partition(" (")[0].endswith("Decay"):
                best[head] = percent(max(known))
        return best

    def with_differences(self, base: str) -> "Table":
        """Return the table with the differences of all rows from a base row.

        Args:
            base: name of the base row, with or without its stride, or a unique part of its name.

        Raises:
            ValueError: if the name does not match exactly one row.
        """
        matches = [base]
        if base not in self.rows:
            without_stride = [name for name in self.rows if name.partition(", stride ")[0] == base]
            matches = without_stride or [name for name in self.rows if base in name]
        if len(matches) != 1:
            raise ValueError(f"base {base!r} names {len(matches) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        cells = self.rows[matches[0]]
        rows = {**self.rows}
        for name, row in self.rows.items():
            if row is not cells:
                rows[name] = {head: cell.against(cells.get(head)) for head, cell in row.items()}
        return Table(self.blocks, rows, matches[0])


def by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records into rows: records with the same name from the user, or seeds of the same network and recipe.

    Names include stride and normalisation if the networks differ in either, and the stage if a row has scores of
    several stages in a column. Results that are not seeds of the same row
    get separate rows, and the folder becomes part of the row's name.
    """
    settings = {record.stride_and_normalisation for record in records} - {""}
    layers: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        layers.setdefault((record.name, record.column), set()).add(record.stage.layer)
    of_stages = {name for (name, _), found in layers.items() if len(found) > 1}
    rows: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        parts = [record.name]
        if record.name in of_stages:
            parts.append(record.stage.layer)
        if len(settings) > 1:
            parts.append(record.stride_and_normalisation)
        name = ", ".join(filter(None, parts))
        key: tuple[str, ...] = (name,)
        if not record.row:
            network = record.result.network
            # trainings by an unknown recipe are no seeds of each other; random weights are, of their network
            recipe = network.recipe
            if network.loaded and not recipe:
                recipe = f"seed {network.seed}"
            key = (name, recipe)
            seeds = [other.seed for other in rows.get(key, ()) if other.column == record.column]
            if seeds and (record.seed is None or record.seed in seeds or None in seeds):
                key = (name, recipe, str(record.place))
        rows.setdefault(key, []).append(record)
    taken = Counter(name for name, *_ in rows)
    named = {}
    for (name, *_), members in rows.items():
        row_name = name if taken[name] == 1 else f"{name} ({members[0].place})"
        named[row_name] = members
    return named


def tabulate(records: Iterable[Record], trained: bool | None = None) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    Args:
        records: records of any results.
        trained: whether the rows stand for trainings; by default True for a row with several seeds or with a history.
    """
    records = list(records)
    columns = uniquely_titled(record.column for record in records)
    blocks: dict[str, dict[str, str]] = {}
    for column in columns.values():
        blocks.setdefault(column.title, {})[column.head] = column.score
    rows: dict[str, dict[str, Cell]] = {}
    for name, members in by_row(records).items():
        cells: dict[str, list[Record]] = {}
        for record in members:
            cells.setdefault(columns[record.column].head, []).append(record)
        rows[name] = {}
        for head, seeds in cells.items():
            is_training = len(seeds) > 1 or bool(seeds[0].result.history)
            rows[name][head] = Cell(tuple(seeds), is_training if trained is None else trained)
    return Table(blocks, rows)


def text_rows(table: Table, heads: Iterable[str] | None = None, bold: bool = False) -> list[list[str]]:
    """Return the rows of a table as texts, with the row's name first; `table_footnotes` explains the cells.

    Args:
        table: the scores.
        heads: heads of the columns; None: all columns.
        bold: put `**` around the best mean of a column.
    """
    shown = table.heads if heads is None else list(heads)
    best = table.best if bold else {}
    lines = []
    for name, row in table.rows.items():
        cells = [_text(row.get(head), best.get(head)) for head in shown]
        lines.append([name, *cells])
    return lines


def table_footnotes(table: Table) -> list[str]:
    """Return a paragraph that explains the cells of a table; nothing if all cells are plain scores."""
    cells = table.cells
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
        lacks = sorted({change.lacks for change in tested} - {""})
        if lacks:
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
    text = cell.with_uncertainty(text)
    if cell.difference is not None:
        text += f"; {cell.difference.figures}"
    return text.replace("-", "−")
