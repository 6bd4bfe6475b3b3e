"""Records, one for each score of a run, and the table of them: rows are networks over their seeds.

Numbers are compared only where their columns agree: benchmark, protocol with all its values, data and sequences.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from .statistics import Difference, ScoresBySequence, difference, interval, interval_of, is_mean, mean_score
from .stored import Json, Run, read_run

SWITCHES = {"one_object": "one object", "all_frames": "all frames", "one_to_one": "one detection per instance"}
"""Switches of benchmarks that change a score, as they are named in the head of a column."""
SEED_IN_NAME = re.compile(r", seed (\d+)$")
SEED_FLAG = re.compile(r"\0--(?:seed_everything|seeds?|model\.seed|data\.seed)[=\0]([^\0]*)")
PLACE_FLAG = re.compile(
    r"\0--(?:output|trainer\.default_root_dir|trainer\.logger\.save_dir|trainer\.callbacks\.output_dir)[=\0][^\0]*"
)
"""The flags of seeds and places in a command whose arguments are joined by NUL."""


class Column(NamedTuple):
    """Everything that two numbers must agree in to be comparable.

    Attributes:
        benchmark: its name.
        protocol: its name; empty where the benchmark has none.
        digest: digest of the protocol.
        data: split, subset and rules, in words.
        sequences: their number; None where the file does not say.
        names: digest of the names of the sequences and objects; empty where the run left no rows.
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
    """One score of one run.

    Attributes:
        name: the row that the user names, else the network without its seed; with the stage where there are several.
        named: whether the user named the row.
        column: that it belongs to.
        value: fraction.
        videos: values of single sequences and objects; empty where the run left none for this score.
        seed: None where neither the network's name nor the command says it.
        command: that produced it, without its seed and output folder; arguments joined by NUL.
        run: that left it.
        protocol: name, digest and fields of the protocol; empty where there is none.
    """

    name: str
    named: bool
    column: Column
    value: float
    videos: ScoresBySequence
    seed: int | None
    command: str
    run: Run
    protocol: Json

    @property
    def is_mean(self) -> bool:
        """True if the score is the mean over objects, see `statistics.is_mean`."""
        return is_mean(self.videos, self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval over sequences; None where the score is no mean over them."""
        return interval_of(self.videos, self.value)


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
        return interval(self.runs) if self.runs else None

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
            base: name of the row, or a part of it that no other row has.

        Raises:
            ValueError: if there is no such row; one line.
        """
        found = [name for name in self.rows if name == base] or [name for name in self.rows if base in name]
        if len(found) != 1:
            raise ValueError(f"--base {base!r} names {len(found) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        cells = self.rows[found[0]]
        rows = {
            name: row if row is cells else {head: cell.against(cells.get(head)) for head, cell in row.items()}
            for name, row in self.rows.items()
        }
        return Table(self.heads, rows, found[0])


def records_of(run: Run, row: str = "", scores: Sequence[str] = ()) -> list[Record]:
    """Return the scores of a run.

    Args:
        run: see `read_run`.
        row: name that the user gives it.
        scores: keys, with or without their stage; none takes the first score of the benchmark. Of a score that the
            benchmark gives for single sequences only, the mean counts.
    """
    results = run.results
    wanted = list(scores) or [key.rpartition("/")[2] for key in list(results["scores"])[:1]]
    chosen = {key: value for key, value in results["scores"].items() if {key, key.rpartition("/")[2]} & set(wanted)}
    if not chosen:
        stages = dict.fromkeys(each.get("Stage", "") for each in run.rows)
        keys = [f"{stage}/{score}".removeprefix("/") for stage in stages for score in wanted]
        chosen = {key: mean_score(values) for key in keys if (values := run.values(key))}
    network, command = str(results.get("network") or run.folder), "\0".join(results.get("command", [])[1:])
    seeds = SEED_IN_NAME.findall(network) or SEED_FLAG.findall(f"\0{command}")
    records = []
    for key, value in chosen.items():
        stage, _, score = key.rpartition("/")
        protocol = run.protocol_of(stage)
        suffix = stage.removesuffix(protocol.get("name", "")).rstrip("/")
        records.append(
            Record(
                name=", ".join(filter(None, (row or SEED_IN_NAME.sub("", network), suffix))),
                named=bool(row),
                column=_column(run, protocol, score),
                value=float(value),
                videos=run.values(key),
                seed=int(seeds[0]) if seeds and seeds[0].isdecimal() else None,
                command=PLACE_FLAG.sub("", SEED_FLAG.sub("", f"\0{command}")),
                run=run,
                protocol=protocol,
            )
        )
    return records


def read_scores(folders: Iterable[Path], score: str) -> list[Record]:
    """Read one score of runs: a record for each of them and its stages.

    Args:
        folders: of the runs.
        score: see `records_of`; empty: the first of the benchmark.

    Raises:
        ValueError: if a run has no such score; one line.
    """
    found: list[Record] = []
    for run in map(read_run, folders):
        records = records_of(run, scores=[score] if score else [])
        if not records:
            known = dict.fromkeys(key.rpartition("/")[2] for key in run.results["scores"])
            raise ValueError(f"{run.folder}: has no score {score!r}; it has {', '.join(known)}")
        found += records
    return found


def by_row(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return row → its records: those of one name that the user gave, or seeds of one network and command.

    Two results that are not seeds of one row never meet: each has its own row, whose name includes its folder.
    """
    rows: dict[tuple[object, ...], list[Record]] = {}
    for one in records:
        key: tuple[object, ...] = (one.name,) if one.named else (one.name, one.command)
        others = [other.seed for other in rows.get(key, ()) if other.column == one.column and not one.named]
        if others and (one.seed is None or one.seed in others or None in others):
            key = (*key, one.run.folder)
        rows.setdefault(key, []).append(one)
    taken = Counter(members[0].name for members in rows.values())
    return {
        first.name if taken[first.name] == 1 else f"{first.name} ({first.run.folder})": members
        for members in rows.values()
        for first in members[:1]
    }


def cell_of(records: Sequence[Record], trained: bool | None = None) -> Cell:
    """Summarise the scores of the seeds of one row, at least one.

    Args:
        records: of the seeds.
        trained: whether the row stands for a training; None takes it for one where there are several runs, or `fit`
            made the only one.
    """
    if trained is None:
        trained = len(records) > 1 or records[0].command.startswith("\0fit")
    return Cell(tuple(one.value for one in records), tuple(records), trained)


def tabulate(records: Iterable[Record], trained: bool | None = None, short_heads: bool = False) -> Table:
    """Line up scores, a row for each network and a column for each set of comparable numbers.

    Args:
        records: of any runs.
        trained: see `cell_of`.
        short_heads: a column for each score of a benchmark, also where its numbers are not comparable.
    """
    records = list(records)
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


def _column(run: Run, protocol: Json, score: str) -> Column:
    results = run.results
    split, rules = results.get("split"), results.get("rules")
    if isinstance(rules, dict):
        rules = " ".join(str(value) for key, value in rules.items() if key not in ("source", "digest"))
        if rules in (f"davis-{results.get('year')}", results["benchmark"].replace("_", "-")):
            rules = None  # said already
    said = (results.get("year"), f"split {split}" if isinstance(split, int) else split, results.get("subset"), rules)
    parts = [str(value) for value in said if value is not None]
    if results.get("resolution", "480p") != "480p":
        parts.append(str(results["resolution"]))
    if results.get("holdout") is not None:
        parts.append(f"holdout {results['holdout']}, {results.get('unseen')} unseen, drawn by {results.get('seed')}")
    parts += [words for key, words in SWITCHES.items() if results.get(key)]
    names = " ".join(sorted({row["Sequence"] for row in run.rows}))
    return Column(
        benchmark=results["benchmark"],
        protocol=str(protocol.get("name", "")),
        digest=str(protocol.get("digest", "")),
        data=", ".join(parts),
        sequences=results.get("sequences"),
        names=hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:8] if names else "",
        score=score,
    )
