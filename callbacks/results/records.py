"""One frame for all tables: a plain list of records, one for each score of a run, and their cells by row and column.

Rows are networks, each over its seeds; a column holds only numbers that compare.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from .statistics import Difference, ScoresBySequence, difference, interval, mean_score, values_by_sequence
from .stored import Json, machine_of, on_test_set, protocol_of, read_results, read_rows, read_sequences

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
        names: digest of the names of the sequences and objects; empty where the run left no rows.
        score: key of the score, without the stage.
        on_test_set: whether it is over the test set that papers report.
    """

    benchmark: str
    protocol: str
    digest: str
    data: str
    sequences: int | None
    names: str
    score: str
    on_test_set: bool

    @property
    def conditions(self) -> str:
        """Protocol, data and number of sequences in words."""
        number = f"{'?' if self.sequences is None else self.sequences} sequences"
        return ", ".join(filter(None, (f"{self.protocol} {self.digest}".strip(), self.data, number)))


@dataclass(frozen=True)
class Record:
    """One score of one results.json.

    Attributes:
        name: name of the network, and of the stage where there are several; without its seed.
        label: the row that the user names; empty: none.
        column: that it belongs to.
        value: fraction.
        videos: values of single sequences and objects; empty where the run left none for this score.
        seed: None where neither name nor command says it.
        command: that produced it, without its seed and output folder.
        folder: folder of the run.
        machine: GPUs or processor that scored it, and torch; empty where its file does not say.
        protocol: name, digest and fields of the protocol; empty where there is none.
        features: stage and stride of the features, as the file says them.
    """

    name: str
    label: str
    column: Column
    value: float
    videos: ScoresBySequence
    seed: int | None
    command: tuple[str, ...]
    folder: Path
    machine: str
    protocol: Json
    features: Json

    @property
    def is_mean(self) -> bool:
        """Return whether the score is the mean over objects; others, such as an IoU over pixels, have no interval."""
        return bool(self.videos) and abs(mean_score(self.videos) - self.value) < 1e-6


@dataclass(frozen=True)
class Cell:
    """A score of a row in a column.

    Attributes:
        scores: one for each seed, fractions.
        runs: values of single sequences and objects for each seed; empty where the score is no mean over them.
        trained: whether the row stands for a training, of which the seeds are a sample, not for one network.
        interval: 95 % interval, see `statistics.interval`; None where there is none.
        difference: from the base row, paired by sequence; None for the base itself and where they do not pair.
    """

    scores: tuple[float, ...]
    runs: tuple[ScoresBySequence, ...] = ()
    trained: bool = False
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

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's, where there is one."""
        if base is None or not self.runs or not base.runs:
            return self
        return replace(self, difference=difference(self.runs, base.runs, (self.trained, base.trained)))


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


def read_records(folder: Path, label: str = "", scores: Sequence[str] = ()) -> list[Record]:
    """Read the scores of one run.

    Args:
        folder: with results.json and, for intervals, per_sequence.csv.
        label: row that the user names.
        scores: keys, with or without their stage; none takes the first score of the benchmark. Of a score that the
            benchmark gives for single sequences only, the mean counts.

    Raises:
        ValueError: if a file is damaged; one line.
    """
    results, rows = read_results(folder / "results.json"), read_rows(folder / "per_sequence.csv")
    sequences = read_sequences(folder)
    names = " ".join(sorted({row["Sequence"] for row in rows}))
    digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:8] if rows else ""
    wanted = list(scores) or [key.rpartition("/")[2] for key in list(results["scores"])[:1]]
    chosen = {key: value for key, value in results["scores"].items() if {key, key.rpartition("/")[2]} & set(wanted)}
    if not chosen:
        stages = dict.fromkeys(row.get("Stage", "") for row in rows)
        keys = [f"{stage}/{score}".removeprefix("/") for stage in stages for score in wanted]
        by_key = {key: values_by_sequence(rows, key, sequences) for key in keys}
        chosen = {key: mean_score(values) for key, values in by_key.items() if values}
    network = str(results.get("network") or folder)
    command, seed = _without_seed(results.get("command", []))
    named = NAMED_SEED.search(network)
    found = []
    for key, value in chosen.items():
        stage, _, score = key.rpartition("/")
        protocol = protocol_of(results, stage)
        suffix = stage.removesuffix(protocol.get("name", "")).rstrip("/")
        found.append(
            Record(
                name=", ".join(filter(None, (NAMED_SEED.sub("", network), suffix))),
                label=", ".join((label, suffix)) if label and suffix else label,
                column=_column(results, protocol, digest, score),
                value=float(value),
                videos=values_by_sequence(rows, key, sequences) or {},
                seed=int(named[1]) if named else seed,
                command=command,
                folder=folder,
                machine=machine_of(results),
                protocol=protocol,
                features={key: results.get(key) for key in ("stage", "stride")},
            )
        )
    return found


def tabulate(found: Iterable[Record], base: str = "", trained: bool | None = None) -> Table:
    """Line up scores: those of one row that differ in their seed alone become one cell.

    Without a label, scores are seeds of one row where network and command are the same but for distinct seeds;
    otherwise each has its own row, whose name includes its folder.

    Args:
        found: result of `read_records`.
        base: name of the row that differences are from, or a part of it that no other row has.
        trained: see `cell_of`.

    Raises:
        ValueError: if there is no such base row; one line.
    """
    found = list(found)
    cells: dict[str, dict[Column, list[Record]]] = {}
    for name, members in _rows_of(found).items():
        for one in members:
            cells.setdefault(name, {}).setdefault(one.column, []).append(one)
    rows = {name: {column: cell_of(ones, trained) for column, ones in row.items()} for name, row in cells.items()}
    base = _base_row(rows, base) if base else ""
    for name, row in rows.items() if base else ():
        if name != base:
            rows[name] = {column: cell.against(rows[base].get(column)) for column, cell in row.items()}
    return Table(tuple(dict.fromkeys(one.column for one in found)), rows, base)


def _column(results: Mapping[str, Any], protocol: Json, names: str, score: str) -> Column:
    said = {key: results[key] for key in ("year", "split", "subset", "rules") if results.get(key) is not None}
    if isinstance(rules := said.get("rules"), dict):
        said["rules"] = " ".join(str(value) for key, value in rules.items() if key not in ("source", "digest"))
        if said["rules"] in (f"davis-{said.get('year')}", results["benchmark"].replace("_", "-")):
            del said["rules"]  # said already
    parts = [
        f"{key} {value}" if key == "split" and isinstance(value, int) else str(value) for key, value in said.items()
    ]
    if results.get("resolution", "480p") != "480p":
        parts.append(str(results["resolution"]))
    if results.get("holdout") is not None:
        parts.append(f"holdout {results['holdout']}, {results.get('unseen')} unseen, drawn by {results.get('seed')}")
    parts += [words for key, words in SWITCHES.items() if results.get(key)]
    return Column(
        benchmark=results["benchmark"],
        protocol=str(protocol.get("name", "")),
        digest=str(protocol.get("digest", "")),
        data=", ".join(parts),
        sequences=results.get("sequences"),
        names=names,
        score=score,
        on_test_set=on_test_set(results),
    )


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


def _rows_of(found: Sequence[Record]) -> dict[str, list[Record]]:
    """Return row → its scores."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for one in found:
        groups.setdefault((one.label,) if one.label else (one.name, one.command), []).append(one)
    rows: dict[str, list[Record]] = {}
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


def _only_group(name: str, groups: Mapping[tuple[Any, ...], Sequence[Record]]) -> bool:
    return sum(members[0].name == name and not members[0].label for members in groups.values()) == 1


def _are_seeds(members: Sequence[Record]) -> bool:
    by_column: dict[Column, list[int | None]] = {}
    for one in members:
        by_column.setdefault(one.column, []).append(one.seed)
    return all(len(seeds) == 1 or (None not in seeds and len(set(seeds)) == len(seeds)) for seeds in by_column.values())


def cell_of(ones: Sequence[Record], trained: bool | None = None) -> Cell:
    """Summarise the scores of the seeds of one row, at least one.

    Args:
        ones: its records.
        trained: whether the row stands for a training; None takes it for one where there are several runs, or `fit`
            made the only one.
    """
    runs = tuple(one.videos for one in ones if one.is_mean)
    if len(runs) < len(ones):
        runs = ()
    if trained is None:
        trained = len(ones) > 1 or ones[0].command[:1] == ("fit",)
    return Cell(tuple(one.value for one in ones), runs, trained, interval(runs) if runs else None)


def _base_row(rows: Mapping[str, Any], base: str) -> str:
    named = [name for name in rows if name == base] or [name for name in rows if base in name]
    if len(named) != 1:
        raise ValueError(f"--base {base!r} names {len(named) or 'no'} rows; the rows are {'; '.join(rows)}")
    return named[0]
