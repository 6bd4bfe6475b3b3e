"""A table of results: rows are networks, each over its seeds; a column holds only numbers that compare."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..statistics.intervals import Difference, bootstrap_interval
from ..statistics.uncertainty import difference_of, mean_over_runs, score_intervals, values_by_sequence
from ..stored_results import machine_of, on_test_set, protocol_of, read_results, read_rows, read_sequences

ScoresBySequence = Mapping[str, Sequence[float]]
"""Sequence → scores of its objects, in [0, 1]."""

SEED_FLAGS = ("--seed_everything", "--seed", "--seeds", "--model.seed", "--data.seed")
PLACE_FLAGS = ("--output", "--trainer.default_root_dir", "--trainer.logger.save_dir", "--trainer.callbacks.output_dir")
SWITCHES = {"one_object": "one object", "all_frames": "all frames", "one_to_one": "one detection per instance"}
"""Switches of benchmarks that change a score, as they are named in the head of a column."""
NAMED_SEED = re.compile(r", seed (\d+)$")


class Column(NamedTuple):
    """The key of a column: everything that two numbers must agree in to be comparable.

    Attributes:
        benchmark: its name.
        protocol: its name; empty where the benchmark has none.
        digest: digest of the protocol.
        data: split, subset and rules, in words.
        sequences: their number; None where the file does not say.
        score: key of the score, without the stage.
        on_test_set: whether it is over the test set that papers report.
    """

    benchmark: str
    protocol: str
    digest: str
    data: str
    sequences: int | None
    score: str
    on_test_set: bool


@dataclass(frozen=True)
class StoredScore:
    """One score of one results.json.

    Attributes:
        name: name of the network, and of the stage where there are several; without its seed.
        label: the row that the user names; empty: none.
        column: that it belongs to.
        value: fraction.
        videos: the values that the score is the mean of; None where it is no such mean.
        seed: None where neither name nor command says it.
        command: that produced it, without its seed and output folder.
        folder: folder of the run.
        machine: GPUs or processor that scored it, and torch; empty where its file does not say.
    """

    name: str
    label: str
    column: Column
    value: float
    videos: ScoresBySequence | None
    seed: int | None
    command: tuple[str, ...]
    folder: Path
    machine: str


@dataclass(frozen=True)
class Cell:
    """A score of a row in a column.

    Attributes:
        scores: one for each seed, fractions.
        videos: mean over the seeds of each object of each sequence; None where the score is no mean over them.
        interval: 95 % bootstrap interval of the mean over sequences; None where there is none.
        difference: from the base row, paired by sequence; None for the base itself and where they do not pair.
    """

    scores: tuple[float, ...]
    videos: ScoresBySequence | None = None
    interval: tuple[float, float] | None = None
    difference: Difference | None = None

    @property
    def mean(self) -> float:
        """Return the mean over the seeds."""
        return fmean(self.scores)

    @property
    def spread(self) -> float:
        """Return the largest minus the smallest score of a seed."""
        return max(self.scores) - min(self.scores)


@dataclass(frozen=True)
class Table:
    """Scores by row and column.

    Attributes:
        columns: in the order in which they were met.
        rows: name → column → cell.
        base: row that differences are from; empty: none.
    """

    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[Column, Cell]]
    base: str = ""


def read_scores_of(folder: Path, label: str = "", scores: Sequence[str] = ()) -> list[StoredScore]:
    """Read the scores of one run.

    Args:
        folder: with results.json and, for intervals, per_sequence.csv.
        label: row that the user names.
        scores: keys, with or without their stage; none takes the first score of the benchmark.

    Raises:
        ValueError: if a file is damaged; one line.
    """
    results, rows = read_results(folder / "results.json"), read_rows(folder / "per_sequence.csv")
    names = read_sequences(folder)
    keys = list(results["scores"])
    wanted = list(scores) or [key.rpartition("/")[2] for key in keys[:1]]
    network = str(results.get("network") or folder)
    command, seed = _without_seed(results.get("command", []))
    named = NAMED_SEED.search(network)
    found = []
    for key in keys:
        stage, _, score = key.rpartition("/")
        if score in wanted or key in wanted:
            value = float(results["scores"][key])
            videos = values_by_sequence(rows, key, names) if score_intervals({key: value}, rows, names) else None
            column = _column(results, stage, score)
            suffix = stage.removesuffix(column.protocol).rstrip("/") if column.protocol else stage
            found.append(
                StoredScore(
                    name=", ".join(filter(None, (NAMED_SEED.sub("", network), suffix))),
                    label=", ".join((label, suffix)) if label and suffix else label,
                    column=column,
                    value=value,
                    videos=videos,
                    seed=int(named[1]) if named else seed,
                    command=command,
                    folder=folder,
                    machine=machine_of(results),
                )
            )
    return found


def tabulate(found: Iterable[StoredScore], base: str = "") -> Table:
    """Line up scores: those of one row that differ in their seed alone become one cell.

    Without a label, scores are seeds of one row where network and command are the same but for distinct seeds;
    otherwise each has its own row, whose name includes its folder.

    Args:
        found: of `read_scores_of`.
        base: name of the row that differences are from, or a part of it that no other row has.

    Raises:
        ValueError: if there is no such base row; one line.
    """
    found = list(found)
    cells: dict[str, dict[Column, list[StoredScore]]] = {}
    for name, members in _rows_of(found).items():
        for one in members:
            cells.setdefault(name, {}).setdefault(one.column, []).append(one)
    rows = {name: {column: cell_of(ones) for column, ones in row.items()} for name, row in cells.items()}
    base = _base_row(rows, base) if base else ""
    for name, row in rows.items() if base else ():
        if name != base:
            rows[name] = {column: compared(cell, rows[base].get(column)) for column, cell in row.items()}
    return Table(tuple(dict.fromkeys(one.column for one in found)), rows, base)


def _column(results: Mapping[str, Any], stage: str, score: str) -> Column:
    protocol = protocol_of(dict(results), stage)
    said = {key: results[key] for key in ("year", "split", "subset", "rules") if results.get(key) is not None}
    parts = [
        f"{key} {value}" if key == "split" and isinstance(value, int) else str(value) for key, value in said.items()
    ]
    if results.get("resolution", "480p") != "480p":
        parts.append(str(results["resolution"]))
    if results.get("holdout") is not None:
        parts.append(f"holdout {results['holdout']}, {results.get('unseen')} unseen, drawn by {results.get('seed')}")
    parts += [words for key, words in SWITCHES.items() if results.get(key)]
    if results.get("ends_scored") is not None:
        parts.append("first and last frame in" if results["ends_scored"] else "first and last frame out")
    named = str(protocol.get("name", "")), str(protocol.get("digest", ""))
    return Column(results["benchmark"], *named, ", ".join(parts), results.get("sequences"), score, on_test_set(results))


def _without_seed(command: Sequence[str]) -> tuple[tuple[str, ...], int | None]:
    """Return a command without the flags of seed and output folder, and the seed that it names first."""
    kept: list[str] = []
    seeds: list[str] = []
    arguments = iter(command[1:])
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag not in (*SEED_FLAGS, *PLACE_FLAGS):
            kept.append(argument)
            continue
        value = value if equals else next(arguments, "")
        if flag in SEED_FLAGS:
            seeds.append(value)
    return tuple(kept), int(seeds[0]) if seeds and seeds[0].isdecimal() else None


def _rows_of(found: Sequence[StoredScore]) -> dict[str, list[StoredScore]]:
    """Return row → its scores."""
    groups: dict[tuple[Any, ...], list[StoredScore]] = {}
    for one in found:
        groups.setdefault((one.label,) if one.label else (one.name, one.command), []).append(one)
    rows: dict[str, list[StoredScore]] = {}
    columns = Counter((one.name, one.column) for one in found if not one.label)
    several = {name for (name, _), count in columns.items() if count > 1}
    for members in groups.values():
        if label := members[0].label:
            rows.setdefault(label, []).extend(members)
        elif _are_seeds(members):
            name = members[0].name
            name = f"{name} ({members[0].folder})" if name in several and not _only_group(name, groups) else name
            rows.setdefault(name, []).extend(members)
        else:
            for one in members:
                rows.setdefault(f"{one.name} ({one.folder})" if one.name in several else one.name, []).append(one)
    return rows


def _only_group(name: str, groups: Mapping[tuple[Any, ...], Sequence[StoredScore]]) -> bool:
    return sum(members[0].name == name and not members[0].label for members in groups.values()) == 1


def _are_seeds(members: Sequence[StoredScore]) -> bool:
    by_column: dict[Column, list[int | None]] = {}
    for one in members:
        by_column.setdefault(one.column, []).append(one.seed)
    return all(len(seeds) == 1 or (None not in seeds and len(set(seeds)) == len(seeds)) for seeds in by_column.values())


def cell_of(ones: Sequence[StoredScore]) -> Cell:
    """Summarise the scores of the seeds of one row, at least one."""
    videos = mean_over_runs([one.videos for one in ones])
    interval = bootstrap_interval([list(values) for values in videos.values()]) if videos else None
    return Cell(tuple(one.value for one in ones), videos, interval)


def _base_row(rows: Mapping[str, Any], base: str) -> str:
    named = [name for name in rows if name == base] or [name for name in rows if base in name]
    if len(named) != 1:
        raise ValueError(f"table: --base {base!r} names {len(named) or 'no'} rows; the rows are {'; '.join(rows)}")
    return named[0]


def compared(cell: Cell, base: Cell | None) -> Cell:
    """Return a cell with its difference from the base row's, where there is one."""
    return cell if base is None else replace(cell, difference=difference_of(cell.videos, base.videos))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return a table as Markdown, its cells escaped; `right` holds the indices of columns that are aligned right."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    lines = ([" ".join(cell.split()).replace("|", r"\|") for cell in line] for line in (head, rule, *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
