"""Tables of scores: a row is a network over its seeds, a column holds comparable scores.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the normalisation belong
to the network and are part of the row's name.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from .result import Result, Stage
from .statistics import Difference, ScoresBySequence, difference, interval, interval_of, is_mean, mean_score

SWITCHES = {"one_object": "one object", "all_frames": "all frames", "one_to_one": "one detection per instance"}
"""Switch of a benchmark that changes scores → its name in the head of a column."""
SEEDS = ("seed_everything", "seed", "seeds", "model.seed", "data.seed")
PLACES = ("output", "trainer.default_root_dir", "trainer.logger.save_dir", "trainer.callbacks.output_dir")
OF_A_RUN = (*SEEDS, *PLACES)
"""Flags of seeds and folders. Commands that differ only in these flags are seeds of the same row."""


class Column(NamedTuple):
    """Properties that comparable scores share.

    Attributes:
        benchmark: name of the benchmark.
        protocol: name of the protocol, without fields that the network sets; empty if the benchmark has no protocol.
        digest: digest of the protocol, without fields that the network sets.
        data: split, subset and rules, in words.
        sequences: number of sequences; None if unknown.
        names: digest of the names of sequences and objects; empty if the result has no rows.
        score: key of the score, without the stage.
    """

    benchmark: str
    protocol: str
    digest: str
    data: str
    sequences: int | None
    names: str
    score: str

    @property
    def conditions(self) -> str:
        """Protocol, data and number of sequences in words."""
        number = f"{'?' if self.sequences is None else self.sequences} sequences"
        return ", ".join(filter(None, (f"{self.protocol} {self.digest}".strip(), self.data, number)))

    @property
    def head(self) -> str:
        """Benchmark, score if any, and conditions in words."""
        name = f"{self.benchmark} {self.score}".rstrip()
        return f"{name} ({self.conditions})"


@dataclass(frozen=True)
class Record:
    """A score of a result.

    Attributes:
        name: name of the row: the user's, else the network without its seed; with the stage if the result has several.
        named: whether the user named the row.
        column: column of the score.
        value: the score, a fraction.
        videos: values of single sequences and objects; empty if the result has none for this score.
        seed: seed of the training, or of random weights; None if unknown.
        result: result that contains the score.
        stage: scored features and their protocol.
        place: folder of the result; empty for a result in memory.
    """

    name: str
    named: bool
    column: Column
    value: float
    videos: ScoresBySequence
    seed: int | None
    result: Result
    stage: Stage
    place: Path = Path()

    @property
    def is_mean(self) -> bool:
        """True if the score is the mean over objects, see `statistics.is_mean`."""
        return is_mean(self.videos, self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval over sequences, or None, see `statistics.interval_of`."""
        return interval_of(self.videos, self.value, self.column.score)

    @property
    def brought(self) -> str:
        """Stride and normalisation that the network brought, in words."""
        stride = "" if self.stage.stride is None else f"stride {self.stage.stride}"
        normalised = self.stage.normalised_by and f"normalised by {self.stage.normalised_by}"
        return ", ".join(filter(None, (stride, normalised)))

    @property
    def recipe(self) -> tuple[str, ...]:
        """Arguments of the command without the flags in `OF_A_RUN`."""
        words: list[str] = []
        left = list(reversed(self.result.provenance.command[1:]))
        while left:
            word = left.pop()
            flag, equals, _ = word.partition("=")
            if not flag.startswith("--") or flag[2:] not in OF_A_RUN:
                words.append(word)
            elif not equals and left:
                left.pop()
        return tuple(words)


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column.

    Attributes:
        scores: scores of the seeds, fractions.
        records: records of the seeds; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
    """

    scores: tuple[float, ...]
    records: tuple[Record, ...] = ()
    trained: bool = False
    difference: Difference | None = None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.scores)

    @property
    def spread(self) -> float:
        """Largest minus smallest score over the seeds."""
        return max(self.scores) - min(self.scores)

    @property
    def runs(self) -> list[ScoresBySequence]:
        """Values of sequences and objects, per seed; empty if the score is not a mean of these values."""
        return [record.videos for record in self.records] if all(record.is_mean for record in self.records) else []

    @property
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


@dataclass(frozen=True)
class Table:
    """Scores by row and column.

    Attributes:
        heads: heads of the columns.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
    """

    heads: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""

    def with_differences(self, base: str) -> "Table":
        """Return the table with the differences of all rows from a base row.

        Args:
            base: name of the base row, with or without its stride, or a unique part of its name.

        Raises:
            ValueError: if the name does not match exactly one row.
        """
        begun = [name for name in self.rows if name.partition(", stride ")[0] == base]
        found = [name for name in self.rows if name == base] or begun or [name for name in self.rows if base in name]
        if len(found) != 1:
            raise ValueError(f"--base {base!r} names {len(found) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        cells = self.rows[found[0]]
        rows = {
            name: row if row is cells else {head: cell.against(cells.get(head)) for head, cell in row.items()}
            for name, row in self.rows.items()
        }
        return Table(self.heads, rows, found[0])

    def parts(self) -> "dict[str, Table]":
        """Return benchmark and conditions → the table of these columns, with the names of the scores as heads."""
        columns = {
            head: record.column
            for row in self.rows.values()
            for head, cell in row.items()
            for record in cell.records[:1]
        }
        titles = heads_of(column._replace(score="") for column in columns.values())
        parts = {}
        for comparable, title in titles.items():
            scores = {
                head: columns[head].score for head in self.heads if columns[head]._replace(score="") == comparable
            }
            rows = {
                name: {score: row[head] for head, score in scores.items() if head in row}
                for name, row in self.rows.items()
            }
            parts[title] = Table(tuple(scores.values()), {name: row for name, row in rows.items() if row}, self.base)
        return parts


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
    chosen = {key: value for key, value in result.scores.items() if {key, result.stage_of(key)[1]} & set(wanted)}
    if not chosen:
        stages = dict.fromkeys(entry.stage for entry in result.rows)
        keys = [f"{stage}/{score}".removeprefix("/") for stage in stages for score in wanted]
        chosen = {key: mean_score(values) for key in keys if (values := result.values(key))}
    several = len({stage.layer for stage in result.stages.values()}) > 1
    records = []
    for key, value in chosen.items():
        name, score = result.stage_of(key)
        stage = result.stages.get(name, Stage())
        records.append(
            Record(
                name=", ".join(filter(None, (row or result.network.row, stage.layer if several else ""))),
                named=bool(row),
                column=_column(result, stage, score),
                value=float(value),
                videos=result.values(key),
                seed=result.network.seed,
                result=result,
                stage=stage,
                place=place,
            )
        )
    return records


def score_of(result: Result, score: str = "", place: Path = Path()) -> list[Record]:
    """Return a single score of a result, with a record per stage.

    Args:
        result: the result.
        score: see `records_of`; by default the first score of the benchmark.
        place: folder of the result, for the message.

    Raises:
        ValueError: if the result lacks the score.
    """
    if found := records_of(result, scores=[score] if score else [], place=place):
        return found
    known = dict.fromkeys(result.stage_of(key)[1] for key in result.scores)
    raise ValueError(f"{place}: has no score {score!r}; it has {', '.join(known)}")


def by_row(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Group records into rows: records with the same name from the user, or seeds of the same network and command.

    Results that are not seeds of the same row get separate rows, and the folder becomes part of the row's name.
    """
    rows: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        key: tuple[object, ...] = (record.name,) if record.named else (record.name, record.recipe)
        others = [other.seed for other in rows.get(key, ()) if other.column == record.column and not record.named]
        if others and (record.seed is None or record.seed in others or None in others):
            key = (*key, record.place)
        rows.setdefault(key, []).append(record)
    taken = Counter(members[0].name for members in rows.values())
    return {
        first.name if taken[first.name] == 1 else f"{first.name} ({first.place})": members
        for members in rows.values()
        for first in members[:1]
    }


def cell_of(records: Sequence[Record], trained: bool | None = None) -> Cell:
    """Summarise the scores of a row's seeds.

    Args:
        records: records of the seeds, at least one.
        trained: whether the row stands for a training; by default True for several records, or for a record with a
            history.
    """
    if trained is None:
        trained = len(records) > 1 or bool(records[0].result.history)
    return Cell(tuple(record.value for record in records), tuple(records), trained)


def tabulate(records: Iterable[Record], trained: bool | None = None) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    Row names include stride and normalisation if the networks differ in either.

    Args:
        records: records of any results.
        trained: see `cell_of`.
    """
    records = list(records)
    if len({record.brought for record in records} - {""}) > 1:
        records = [replace(record, name=", ".join(filter(None, (record.name, record.brought)))) for record in records]
    heads = heads_of(record.column for record in records)
    cells: dict[str, dict[str, list[Record]]] = {}
    for name, members in by_row(records).items():
        for record in members:
            cells.setdefault(name, {}).setdefault(heads[record.column], []).append(record)
    rows = {name: {head: cell_of(found, trained) for head, found in row.items()} for name, row in cells.items()}
    return Table(tuple(dict.fromkeys(heads.values())), rows)


def heads_of(columns: Iterable[Column]) -> dict[Column, str]:
    """Return column → head; heads that would be equal include the digest of the sequences."""
    heads = {column: column.head for column in columns}
    taken = Counter(heads.values())
    return {
        column: head if taken[head] == 1 else f"{head[:-1]} {column.names or 'of unknown names'})"
        for column, head in heads.items()
    }


def _column(result: Result, stage: Stage, score: str) -> Column:
    data, protocol = result.data, stage.protocol
    split, rules = data.get("split"), data.get("rules")
    if isinstance(rules, dict):
        rules = " ".join(str(value) for key, value in rules.items() if key not in ("source", "digest"))
        if rules in (f"davis-{data.get('year')}", result.benchmark.replace("_", "-")):
            rules = None  # said already
    said = (data.get("year"), f"split {split}" if isinstance(split, int) else split, data.get("subset"), rules)
    parts = [str(value) for value in said if value is not None]
    if data.get("resolution", "480p") != "480p":
        parts.append(str(data["resolution"]))
    if data.get("holdout") is not None:
        parts.append(f"holdout {data['holdout']}, {data.get('unseen')} unseen, drawn by {data.get('seed')}")
    parts += [words for key, words in SWITCHES.items() if data.get(key)]
    names = " ".join(sorted({row.name for row in result.rows}))
    return Column(
        benchmark=result.benchmark,
        protocol=protocol.shared_name or protocol.name,
        digest=protocol.shared or protocol.digest,
        data=", ".join(parts),
        sequences=len(result.sequences) or None,
        names=hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:8] if names else "",
        score=score,
    )
