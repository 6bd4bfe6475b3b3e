"""Records, one for each score of a result, and the table of them: rows are networks over their seeds.

Numbers are compared only where their columns agree: benchmark, protocol with all its values, data and sequences. The
stride and the normalisation that a network brings are its own, and stand in its row.
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
"""Switches of benchmarks that change a score, as they are named in the head of a column."""
SEEDS = ("seed_everything", "seed", "seeds", "model.seed", "data.seed")
PLACES = ("output", "trainer.default_root_dir", "trainer.logger.save_dir", "trainer.callbacks.output_dir")
OF_A_RUN = (*SEEDS, *PLACES)
"""Flags of seeds and places: two commands that differ in them alone are seeds of one row."""


class Column(NamedTuple):
    """Everything that two numbers must agree in to be comparable.

    Attributes:
        benchmark: its name.
        protocol: its name, without what a network sets; empty where the benchmark has none.
        digest: digest of the protocol, without what a network sets.
        data: split, subset and rules, in words.
        sequences: their number; None where the result does not say.
        names: digest of the names of the sequences and objects; empty where there are no rows.
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


@dataclass(frozen=True)
class Record:
    """One score of one result.

    Attributes:
        name: the row that the user names, else the network without its seed; with the stage where there are several.
        named: whether the user named the row.
        column: that it belongs to.
        value: fraction.
        videos: values of single sequences and objects; empty where there are none for this score.
        seed: of the training, or of random weights; None where it is not known.
        result: that it is from.
        stage: features and protocol that were scored.
        place: folder of the result; empty for one in memory.
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
        """95 % interval over sequences; None where there is none, see `statistics.interval_of`."""
        return interval_of(self.videos, self.value, self.column.score)

    @property
    def brought(self) -> str:
        """Stride and normalisation that the network brought, in words."""
        stride = "" if self.stage.stride is None else f"stride {self.stage.stride}"
        normalised = self.stage.normalised_by and f"normalised by {self.stage.normalised_by}"
        return ", ".join(filter(None, (stride, normalised)))

    @property
    def recipe(self) -> tuple[str, ...]:
        """Arguments of the command without seeds and places."""
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
    """A score of a row.

    Attributes:
        scores: one for each seed, fractions.
        records: behind the scores; empty for a published number.
        trained: whether the row stands for a training, of which the seeds are a sample, not for one network.
        difference: from the base row, paired by sequence; None for the base itself and where they do not pair.
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
        """Largest minus smallest score of a seed."""
        return max(self.scores) - min(self.scores)

    @property
    def runs(self) -> list[ScoresBySequence]:
        """Values of single sequences and objects for each seed; empty where the score is no mean over them."""
        return [one.videos for one in self.records] if all(one.is_mean for one in self.records) else []

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval, see `statistics.interval`; None where there is none."""
        return interval(self.runs, self.records[0].column.score) if self.runs else None

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's, where all scores of both are comparable."""
        if base is None or not self.runs or not base.runs:
            return self
        if len({one.column for one in (*self.records, *base.records)}) > 1:
            return self
        return replace(self, difference=difference(self.runs, base.runs, (self.trained, base.trained)))


@dataclass(frozen=True)
class Table:
    """Scores by row and head of a column.

    Attributes:
        heads: of the columns.
        rows: name → head → cell; where a cell is missing there is no score.
        base: row that differences are from; empty: none.
    """

    heads: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""

    def with_differences(self, base: str) -> "Table":
        """Return the table with the difference of every row from a base row.

        Args:
            base: name of the row, or its name without the stride, or a part of it that no other row has.

        Raises:
            ValueError: if there is no such row; one line.
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


def records_of(result: Result, row: str = "", scores: Sequence[str] = (), place: Path = Path()) -> list[Record]:
    """Return the scores of a result.

    Args:
        result: of a benchmark.
        row: name that the user gives it.
        scores: keys, with or without their stage; none takes the first score of the benchmark. Of a score that the
            benchmark gives for single sequences only, the mean counts.
        place: folder of the result.
    """
    wanted = list(scores) or [result.stage_of(key)[1] for key in list(result.scores)[:1]]
    chosen = {key: value for key, value in result.scores.items() if {key, result.stage_of(key)[1]} & set(wanted)}
    if not chosen:
        stages = dict.fromkeys(each.stage for each in result.rows)
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
    """Return one score of a result, a record for each stage.

    Args:
        result: of a benchmark.
        score: see `records_of`; empty: the first of the benchmark.
        place: folder of the result, for the message.

    Raises:
        ValueError: if it has no such score; one line.
    """
    if found := records_of(result, scores=[score] if score else [], place=place):
        return found
    known = dict.fromkeys(result.stage_of(key)[1] for key in result.scores)
    raise ValueError(f"{place}: has no score {score!r}; it has {', '.join(known)}")


def by_row(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return row → its records: those of one name that the user gave, or seeds of one network and command.

    Two results that are not seeds of one row never meet: each has its own row, whose name includes its folder.
    """
    rows: dict[tuple[object, ...], list[Record]] = {}
    for one in records:
        key: tuple[object, ...] = (one.name,) if one.named else (one.name, one.recipe)
        others = [other.seed for other in rows.get(key, ()) if other.column == one.column and not one.named]
        if others and (one.seed is None or one.seed in others or None in others):
            key = (*key, one.place)
        rows.setdefault(key, []).append(one)
    taken = Counter(members[0].name for members in rows.values())
    return {
        first.name if taken[first.name] == 1 else f"{first.name} ({first.place})": members
        for members in rows.values()
        for first in members[:1]
    }


def cell_of(records: Sequence[Record], trained: bool | None = None) -> Cell:
    """Summarise the scores of the seeds of one row, at least one.

    Args:
        records: of the seeds.
        trained: whether the row stands for a training; None takes it for one where there are several results, or the
            only one has a history.
    """
    if trained is None:
        trained = len(records) > 1 or bool(records[0].result.history)
    return Cell(tuple(one.value for one in records), tuple(records), trained)


def tabulate(records: Iterable[Record], trained: bool | None = None, short_heads: bool = False) -> Table:
    """Line up scores, a row for each network and a column for each set of comparable numbers.

    Where networks differ in the stride of their features, or in who normalised their frames, rows name it.

    Args:
        records: of any results.
        trained: see `cell_of`.
        short_heads: a column for each score of a benchmark, also where its numbers are not comparable.
    """
    records = list(records)
    if len({one.brought for one in records} - {""}) > 1:
        records = [replace(one, name=", ".join(filter(None, (one.name, one.brought)))) for one in records]
    columns = [one.column for one in records]
    heads = {each: f"{each.benchmark} {each.score}" for each in columns} if short_heads else heads_of(columns)
    cells: dict[str, dict[str, list[Record]]] = {}
    for name, members in by_row(records).items():
        for one in members:
            cells.setdefault(name, {}).setdefault(heads[one.column], []).append(one)
    rows = {name: {head: cell_of(found, trained) for head, found in row.items()} for name, row in cells.items()}
    return Table(tuple(dict.fromkeys(heads.values())), rows)


def heads_of(columns: Iterable[Column]) -> dict[Column, str]:
    """Return the head of each column; the digest of its sequences stands in those that are alike otherwise."""
    heads = {column: f"{column.benchmark} {column.score} ({column.conditions})" for column in columns}
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
