"""Tables of scores with their uncertainty: a row is a network over its seeds, a column holds comparable scores."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan, nan
from statistics import fmean, stdev

from .formats import percent
from .records import Column, Record, uniquely_titled
from .statistics import Difference, Sample, difference, interval


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column.

    Attributes:
        records: scores of the seeds; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        published: the published score, a fraction.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
        digits: decimals of the score in per cent.
    """

    records: tuple[Record, ...] = ()
    trained: bool = False
    published: float | None = None
    difference: Difference | None = None
    digits: int = 1

    @property
    def scores(self) -> tuple[float, ...]:
        """Scores of the seeds, or the published score."""
        if self.published is not None:
            return (self.published,)
        return tuple(record.result.scores[record.key] for record in self.records)

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
        samples = [record.result.sample(record.key) for record in self.records]
        known = [sample for sample in samples if sample is not None]
        return known if len(known) == len(samples) else []

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval; None without values by sequence, or with fewer than four sequences."""
        return interval(self.runs, self.records[0].key) if self.runs else None

    @property
    def score_text(self) -> str:
        """Mean in per cent, ± deviation over several seeds."""
        text = percent(self.mean, self.digits)
        if not isnan(self.deviation):
            text += f" ± {percent(self.deviation, self.digits)}"
        return text

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's cell if all scores of both are comparable."""
        found = None
        if base is not None and self.runs and base.runs:
            columns = {record.column for record in (*self.records, *base.records)}
            if len(columns) == 1:
                found = difference(self.runs, base.runs, (self.trained, base.trained))
        return replace(self, difference=found)


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column.

    Attributes:
        columns: head → what the scores of the column share.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
        own_bases: row → its base row, where it differs from `base`.
        texts: head → row → text, for columns of texts after the row's name.
        notes: sentences about the table.
        caption: what the scores are of, for steps from a protocol to another; empty: the results say it, and the
            largest mean of a column is its best.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caption: str = ""

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        from .rendering import render

        return render(self, "html")

    @property
    def bases_in_words(self) -> str:
        """The base row, and the rows with another one."""
        return ", ".join([self.base, *(f"of {name} from {base}" for name, base in self.own_bases.items())])

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
        best = {}
        for head, column in self.columns.items() if not self.caption else ():
            cells = [row[head] for row in self.rows.values() if head in row]
            means = [cell.mean for cell in cells if not isnan(cell.mean)]
            if len(means) > 1 and not column.score.endswith("Decay"):
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
        name_of_base = self.row_named(base)
        cells = {head: replace(cell, difference=None) for head, cell in self.rows[name_of_base].items()}
        rows: dict[str, Mapping[str, Cell]] = {}
        for name, row in self.rows.items():
            base_cells = self.rows[own_bases[name]] if name in own_bases else cells
            rows[name] = {head: cell.against(base_cells.get(head)) for head, cell in row.items()}
        if name_of_base not in own_bases:
            rows[name_of_base] = cells
        return replace(self, rows=rows, base=name_of_base, own_bases=own_bases)


def by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records into rows: records with the same name from the user, or seeds of the same network and recipe.

    A name from the user stays as it is. Names of networks include stride and normalisation if the networks differ in
    either. A name with several stages, strides or normalisations in a column gets these too. Results that are not seeds
    of the same row get separate rows, and the folder becomes part of the row's name.
    """
    settings = {record.stride_and_normalisation for record in records} - {""}
    layers: dict[tuple[str, Column], set[str]] = {}
    views: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        layers.setdefault((record.name, record.column), set()).add(record.result.stage.layer)
        views.setdefault((record.name, record.column), set()).add(record.stride_and_normalisation)
    of_stages = {name for (name, _), found in layers.items() if len(found) > 1}
    of_views = {name for (name, _), found in views.items() if len(found) > 1}
    rows: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        parts = [record.name]
        if record.name in of_stages:
            parts.append(record.result.stage.layer)
        if record.name in of_views or (len(settings) > 1 and not record.row):
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
    titled = uniquely_titled([record.column for record in records])
    rows: dict[str, dict[str, Cell]] = {}
    for name, members in by_row(records).items():
        cells: dict[str, list[Record]] = {}
        for record in members:
            cells.setdefault(titled[record.column].head, []).append(record)
        rows[name] = {}
        for head, seeds in cells.items():
            is_training = len(seeds) > 1 or bool(seeds[0].result.history)
            rows[name][head] = Cell(tuple(seeds), is_training if trained is None else trained)
    return Table({column.head: column for column in titled.values()}, rows)
