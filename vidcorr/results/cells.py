"""Cells of tables, a score of a row over its seeds, and the rows that results belong to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan, nan
from statistics import fmean, stdev

from ..metrics.declared import Score
from .formats import bracketed, shown
from .published import Published
from .records import Column, ScoreRecord
from .statistics import FRACTION, Difference, Sample, difference, interval


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column.

    Attributes:
        records: scores of the seeds; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        published: the published score, a fraction.
        paper: the row of a publication that prints it, if it is known.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
        digits: decimals of the printed score.
    """

    records: tuple[ScoreRecord, ...] = ()
    trained: bool = False
    published: float | None = None
    paper: Published | None = None
    difference: Difference | None = None
    digits: int = 1

    @property
    def columns(self) -> list[Column]:
        """Columns of the seeds' scores, whose titles a table may have changed."""
        return [record.column for record in self.records]

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
    def samples_by_seed(self) -> list[Sample]:
        """The score as a sample of sequences, per seed; empty if a result has no values by sequence."""
        samples: list[Sample] = []
        for record in self.records:
            sample = record.result.sample(record.key)
            if sample is None:
                return []
            samples.append(sample)
        return samples

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval; None without values by sequence, or with fewer than four sequences."""
        return interval(self.samples_by_seed, self.declared) if self.samples_by_seed else None

    @property
    def declared(self) -> Score:
        """The declaration of the score by its benchmark, the same in all records; a published score is a fraction."""
        if not self.records:
            return FRACTION
        first = self.records[0]
        return first.result.declaration(first.key)

    @property
    def texts(self) -> list[str]:
        """The printed score, its interval, its difference from the base row, the difference's interval, and p.

        The score is the mean, with ± deviation over several seeds. A quantity that is missing is an empty text.
        """
        declared = self.declared
        score = shown(self.mean, declared, self.digits)
        if not isnan(self.deviation):
            score += f" ± {shown(self.deviation, declared, self.digits)}"
        texts = [score, bracketed(self.interval, declared), "", "", ""]
        change = self.difference
        if change is not None:
            texts[2] = shown(change.mean, declared, self.digits, "+")
            if change.ends is not None:
                texts[3:] = bracketed(change.ends, declared, "+"), f"{change.p:.2g}"
        return texts

    def printed(self, intervals: bool, best: str = "") -> str:
        """Return the cell as a text, with `**` around the best score.

        It is `**55.3** ± 0.2 [45.6, 65.0]; +2.8 [+2.1, +3.4], p 0.01` if it has all quantities.

        Args:
            intervals: with 95 % intervals and p.
            best: the best score of the column, as it is printed.
        """
        score, between, change, of_change, p = self.texts
        mean, sign, deviation = score.partition(" ± ")
        text = f"**{mean}**{sign}{deviation}" if mean == best else score
        if intervals and between:
            text += f" {between}"
        if change:
            text += f"; {change}"
        return f"{text} {of_change}, p {p}" if intervals and of_change else text

    @property
    def quantities(self) -> dict[str, object]:
        """The quantities of the cell by their names in CSV; None for a missing one."""
        low, high = self.interval or (None, None)
        change = self.difference or (None, None, None, None)
        return {
            "conditions": "; ".join(dict.fromkeys(column.about for column in self.columns)),
            "protocol": "; ".join(dict.fromkeys(column.protocol for column in self.columns)),
            "mean": self.mean,
            "deviation": None if isnan(self.deviation) else self.deviation,
            "low": low,
            "high": high,
            **dict(zip(("difference", "difference low", "difference high", "p"), change, strict=True)),
            "seeds": " ".join("?" if record.seed is None else str(record.seed) for record in self.records),
            "scores": " ".join(map(str, self.scores)),
        }

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's cell if all scores of both are comparable."""
        if base is None or len({*self.columns, *base.columns}) > 1:
            return replace(self, difference=None)
        return self.paired_with(base)

    def paired_with(self, base: "Cell") -> "Cell":
        """Return the cell with its difference from another one, paired by sequence; none on other data."""
        found = None
        data = {column.data for column in self.columns + base.columns}
        if self.samples_by_seed and base.samples_by_seed and len(data) == 1:
            found = difference(self.samples_by_seed, base.samples_by_seed, (self.trained, base.trained))
        return replace(self, difference=found)


def by_row(records: Sequence[ScoreRecord]) -> dict[str, list[ScoreRecord]]:
    """Group records into rows: results under one name of the user, or seeds of a network.

    Several views of a network in a column are rows, named by the view. Other results of one name that are no seeds of
    each other are rows too, named by their folders; `NAME=FOLDER` gives them better names. Of two results of a
    seed the later record begins a row.
    """
    views: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        views.setdefault((record.name, record.column), set()).add(record.view)
    have_several_views = {name for (name, _), in_column in views.items() if len(in_column) > 1}
    rows: dict[RowKey, list[ScoreRecord]] = {}
    for record in records:
        name = record.name
        if name in have_several_views:
            name = ", ".join(filter(None, [record.name, record.view]))
        rows.setdefault(_row_of(record, name, rows), []).append(record)
    return _uniquely_named(rows)


def _uniquely_named(rows: Mapping["RowKey", list[ScoreRecord]]) -> dict[str, list[ScoreRecord]]:
    """Return the rows by names that differ: rows of one name are told apart by the folders of their results."""
    times = Counter(name for name, *_ in rows)
    named: dict[str, list[ScoreRecord]] = {}
    for (name, *_), members in rows.items():
        row_name = name if times[name] == 1 else f"{name} ({members[0].place})"
        if row_name in named:  # results in memory have no folder
            row_name = f"{name} ({members[0].place}, {len(named) + 1})"
        named[row_name] = members
    return named


RowKey = tuple[str, ...]
"""Name of a row, and what tells it from other rows of the name: the weights of its seeds, or the folder of a result."""


def _row_of(record: ScoreRecord, name: str, rows: Mapping[RowKey, Sequence[ScoreRecord]]) -> RowKey:
    """Return the row that a record with a name belongs to.

    A row that the user names has all records of the name. Another row has the seeds of one network; a second result of
    a seed, or one of an unknown seed, is a row of its own.
    """
    if record.row:
        return (name,)
    row_of_seeds = (name, record.weights)
    seeds = [other.seed for other in rows.get(row_of_seeds, ()) if other.column == record.column]
    if not seeds:
        return row_of_seeds
    row_of_its_own = (name, str(record.place))
    if record.seed is None or None in seeds:  # it may be a repetition of the same seed
        return row_of_its_own
    return row_of_its_own if record.seed in seeds else row_of_seeds
