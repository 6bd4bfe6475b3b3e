"""Tables of scores: a row is a network over its seeds, a column holds comparable scores.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the normalisation belong
to the network and are part of the row's name.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from math import isnan, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from .result import Result, Stage
from .statistics import Difference, Sample, ScoresBySequence, difference, interval, mean_score

SWITCHES = {"one_object": "one object", "all_frames": "all frames", "one_to_one": "one detection per instance"}
"""Switch of a benchmark that changes scores → its name in the head of a column."""


class Column(NamedTuple):
    """Properties that comparable scores share.

    Attributes:
        benchmark: name of the benchmark.
        score: key of the score, without the stage.
        conditions: protocol without fields that the network sets, with its digest; data and number of sequences.
        names: digest of the names of sequences and objects; empty if the result has no rows.
    """

    benchmark: str
    score: str
    conditions: str
    names: str

    @property
    def title(self) -> str:
        """Benchmark and conditions."""
        return f"{self.benchmark} ({self.conditions})"

    @property
    def head(self) -> str:
        """Benchmark, score and conditions."""
        return f"{self.benchmark} {self.score} ({self.conditions})"


@dataclass(frozen=True)
class Record:
    """A score of a result, in a row of a table.

    Attributes:
        result: result that contains the score.
        key: key of the score. A score that exists per sequence only is averaged.
        row: the user's name for the row, or empty.
        place: folder of the result; empty for a result in memory.
    """

    result: Result
    key: str
    row: str = ""
    place: Path = Path()

    @property
    def stage(self) -> Stage:
        """Scored features and their protocol."""
        return self.result.stages.get(self.result.stage_of(self.key)[0], Stage())

    @cached_property
    def videos(self) -> ScoresBySequence:
        """Values of single sequences and objects; empty if the result has none for this score."""
        return self.result.values(self.key)

    @property
    def value(self) -> float:
        """The score, a fraction."""
        return self.result.scores[self.key] if self.key in self.result.scores else mean_score(self.videos)

    @property
    def seed(self) -> int | None:
        """Seed of the training, or of random weights; None if unknown."""
        return self.result.network.seed

    @property
    def name(self) -> str:
        """Name of the row: the user's, else the network without its seed; with the stage if the result has several."""
        layers = {stage.layer for stage in self.result.stages.values()}
        layer = self.stage.layer if len(layers) > 1 else ""
        return ", ".join(filter(None, (self.row or self.result.network.row, layer)))

    @property
    def brought(self) -> str:
        """Stride and normalisation that the network brought, in words."""
        stride = "" if self.stage.stride is None else f"stride {self.stage.stride}"
        normalised = self.stage.normalised_by and f"normalised by {self.stage.normalised_by}"
        return ", ".join(filter(None, (stride, normalised)))

    @cached_property
    def column(self) -> Column:
        """Column of the score."""
        result, protocol = self.result, self.stage.protocol
        names = " ".join(sorted({row.name for row in result.rows}))
        stated = f"{protocol.shared_name or protocol.name} {protocol.shared or protocol.digest}".strip()
        number = f"{len(result.sequences) or '?'} sequences"
        return Column(
            benchmark=result.benchmark,
            score=result.stage_of(self.key)[1],
            conditions=", ".join(filter(None, (stated, *_data_in_words(result), number))),
            names=hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:8] if names else "",
        )


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
        return tuple(record.value for record in self.records) if self.published is None else (self.published,)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, of a sample; NaN for a single score."""
        return stdev(self.scores) if len(self.scores) > 1 else nan

    @cached_property
    def runs(self) -> list[Sample]:
        """The score as a sample of sequences, per seed; empty if a result has no values by sequence."""
        samples = [record.result.sample(record.key) for record in self.records]
        return [] if None in samples else [sample for sample in samples if sample is not None]

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval, or None, see `statistics.interval`."""
        return interval(self.runs, self.records[0].column.score) if self.runs else None

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's cell if all scores of both are comparable."""
        if base is None or not self.runs or not base.runs:
            return self
        if len({record.column for record in (*self.records, *base.records)}) > 1:
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
        from .rendering import html_table, table_footnotes, text_rows

        notes = "".join(f"<p>{escape(note)}</p>" for note in table_footnotes(self))
        return html_table(["", *self.heads], text_rows(self, bold=True)) + notes

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of the columns."""
        return tuple(head for block in self.blocks.values() for head in block)

    @cached_property
    def best(self) -> dict[str, str]:
        """Head of a column with several scores → the largest mean as text; columns of decays have no best."""
        found = {}
        for head in self.heads:
            means = [row[head].mean for row in self.rows.values() if head in row and not isnan(row[head].mean)]
            if len(means) > 1 and not head.partition(" (")[0].endswith("Decay"):
                found[head] = f"{100 * max(means):.1f}"
        return found

    def with_differences(self, base: str) -> "Table":
        """Return the table with the differences of all rows from a base row.

        Args:
            base: name of the base row, with or without its stride, or a unique part of its name.

        Raises:
            ValueError: if the name does not match exactly one row.
        """
        begun = [name for name in self.rows if name.partition(", stride ")[0] == base]
        matches = [name for name in self.rows if name == base] or begun or [name for name in self.rows if base in name]
        if len(matches) != 1:
            raise ValueError(f"base {base!r} names {len(matches) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        cells = self.rows[matches[0]]
        rows = {
            name: row if row is cells else {head: cell.against(cells.get(head)) for head, cell in row.items()}
            for name, row in self.rows.items()
        }
        return Table(self.blocks, rows, matches[0])


def records_of(result: Result, row: str = "", scores: Sequence[str] = (), place: Path = Path()) -> list[Record]:
    """Return records of a result's scores.

    Args:
        result: the result.
        row: the user's name for the row, or empty.
        scores: keys with or without a stage; by default the first score of the benchmark. A score that exists per
            sequence only is averaged.
        place: folder of the result.
    """
    wanted = list(scores) or [result.stage_of(key)[1] for key in list(result.scores)[:1]]
    keys = [key for key in result.scores if {key, result.stage_of(key)[1]} & set(wanted)]
    if not keys:
        stages = dict.fromkeys(entry.stage for entry in result.rows)
        columns = [f"{stage}/{score}".removeprefix("/") for stage in stages for score in wanted]
        keys = [key for key in columns if result.values(key)]
    return [Record(result, key, row, place) for key in keys]


def score_of(result: Result, score: str = "", place: Path = Path()) -> list[Record]:
    """Return a single score of a result, with a record per stage.

    Args:
        result: the result.
        score: see `records_of`; by default the first score of the benchmark.
        place: folder of the result, for the message.

    Raises:
        ValueError: if the result lacks the score.
    """
    if records := records_of(result, scores=[score] if score else [], place=place):
        return records
    known = dict.fromkeys(result.stage_of(key)[1] for key in result.scores)
    raise ValueError(f"{place}: has no score {score!r}; it has {', '.join(known)}")


def by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records into rows: records with the same name from the user, or seeds of the same network and recipe.

    Names include stride and normalisation if the networks differ in either, and the stage if a row has scores of
    several stages in a column. Results that are not seeds of the same row
    get separate rows, and the folder becomes part of the row's name.
    """
    differ = len({record.brought for record in records} - {""}) > 1
    layers: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        layers.setdefault((record.name, record.column), set()).add(record.stage.layer)
    of_stages = {name for (name, _), found in layers.items() if len(found) > 1}
    rows: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        layer = record.stage.layer if record.name in of_stages else ""
        name = ", ".join(filter(None, (record.name, layer, record.brought if differ else "")))
        key: tuple[str, ...] = (name,)
        if not record.row:
            network = record.result.network
            # trainings by an unknown recipe are no seeds of each other; random weights are, of their network
            recipe = network.recipe or (f"seed {network.seed}" if network.loaded else "")
            key = (name, recipe)
            seeds = [other.seed for other in rows.get(key, ()) if other.column == record.column]
            if seeds and (record.seed is None or record.seed in seeds or None in seeds):
                key = (name, recipe, str(record.place))
        rows.setdefault(key, []).append(record)
    taken = Counter(name for name, *_ in rows)
    return {
        name if taken[name] == 1 else f"{name} ({members[0].place})": members for (name, *_), members in rows.items()
    }


def tabulate(records: Iterable[Record], trained: bool | None = None) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    Args:
        records: records of any results.
        trained: whether the rows stand for trainings; by default True for a row with several seeds or with a history.
    """
    records = list(records)
    columns = told_apart(record.column for record in records)
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


def told_apart(columns: Iterable[Column]) -> dict[Column, Column]:
    """Return column → column with its own title: conditions include the digest of the names if only these differ."""
    columns = list(dict.fromkeys(columns))
    titles = Counter(title for title, _ in {(column.title, column.names) for column in columns})
    apart = {column: column for column in columns}
    for column in columns:
        if titles[column.title] > 1:
            names = column.names or "of unknown names"
            apart[column] = column._replace(conditions=f"{column.conditions} {names}")
    return apart


def _data_in_words(result: Result) -> list[str]:
    """Return split, subset, rules and other facts of the data that scores depend on."""
    data = result.data
    split, rules = data.get("split"), data.get("rules")
    if isinstance(rules, dict):
        rules = " ".join(str(value) for key, value in rules.items() if key not in ("source", "digest"))
        if rules in (f"davis-{data.get('year')}", result.benchmark.replace("_", "-")):
            rules = None  # said already
    said = [data.get("year"), f"split {split}" if isinstance(split, int) else split, data.get("subset"), rules]
    if data.get("resolution") != "480p":
        said.append(data.get("resolution"))
    if data.get("holdout") is not None:
        said.append(f"holdout {data['holdout']}, {data.get('unseen')} unseen")
    return [str(value) for value in said if value is not None] + [SWITCHES[key] for key in SWITCHES if data.get(key)]
