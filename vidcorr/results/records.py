"""Scores of results as records, and the columns of comparable scores that they belong to.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the normalisation belong
to the network and are part of the row's name.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .result import RESULTS_FILE, Result, Stage

SWITCHES = {"one_object": "one object", "all_frames": "all frames"}
"""Switch of a benchmark that changes scores → its name in the head of a column."""


class Column(NamedTuple):
    """Properties that comparable scores share.

    Attributes:
        benchmark: name of the benchmark's data set.
        score: name of the score.
        conditions: protocol without fields that the network sets; data and number of sequences.
        protocol: digest of the protocol without these fields.
        names: digest of the names of sequences and objects; empty if the result has no rows.
    """

    benchmark: str
    score: str
    conditions: str
    protocol: str = ""
    names: str = ""

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
        key: name of the score.
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
        return self.result.stage

    @property
    def value(self) -> float:
        """The score, a fraction."""
        return self.result.scores[self.key]

    @property
    def seed(self) -> int | None:
        """Seed of the training, or of random weights; None if unknown."""
        return self.result.network.seed

    @property
    def name(self) -> str:
        """Name of the row: the user's, else the network without its seed."""
        return self.row or self.result.network.row

    @property
    def stride_and_normalisation(self) -> str:
        """Stride and normalisation of the network's features, in words; empty if the network declares neither."""
        parts = []
        if self.stage.stride is not None:
            parts.append(f"stride {self.stage.stride}")
        if self.stage.normalised_by:
            parts.append(f"normalised by {self.stage.normalised_by}")
        return ", ".join(parts)

    @cached_property
    def column(self) -> Column:
        """Column of the score; scores with equal columns are comparable."""
        result = self.result
        protocol = self.stage.protocol
        number = f"{len(result.sequences) or '?'} sequences"
        conditions = ", ".join(filter(None, (protocol.shared_name, *_data_in_words(result), number)))
        return Column(result.data_set, self.key, conditions, protocol.shared, _digest_of_names(result))


def _digest_of_names(result: Result) -> str:
    """Return a digest of the names of sequences and objects; empty if the result has no rows."""
    names = " ".join(sorted({row.name for row in result.rows}))
    if not names:
        return ""
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def records_of(result: Result, row: str = "", scores: Sequence[str] = (), place: Path = Path()) -> list[Record]:
    """Return records of a result's scores.

    Args:
        result: the result.
        row: the user's name for the row, or empty.
        scores: names of scores; by default the first of the benchmark.
        place: folder of the result.
    """
    wanted = scores or list(result.scores)[:1]
    return [Record(result, key, row, place) for key in wanted if key in result.scores]


def score_of(result: Result, score: str = "", place: Path = Path()) -> Record:
    """Return a single score of a result.

    Args:
        result: the result.
        score: name of the score; empty: the first score of the benchmark.
        place: folder of the result, for the message.

    Raises:
        ValueError: if the result lacks the score.
    """
    wanted = [score] if score else []
    records = records_of(result, scores=wanted, place=place)
    if records:
        return records[0]
    raise ValueError(f"{place}: has no score {score!r}; it has {', '.join(result.scores)}")


def uniquely_titled(columns: Iterable[Column]) -> dict[Column, Column]:
    """Return column → column with its own title: conditions include the digests in which equal titles differ."""
    columns = list(columns)
    alike: dict[str, set[Column]] = {}
    for column in columns:
        alike.setdefault(column.title, set()).add(column)
    titled = {}
    for column in columns:
        protocols = {other.protocol for other in alike[column.title]}
        names = {other.names for other in alike[column.title]}
        digests = [column.conditions]
        if len(protocols) > 1:
            digests.append(column.protocol or "no protocol")
        if len(names) > 1:
            digests.append(column.names or "of unknown names")
        titled[column] = column._replace(conditions=" ".join(digests))
    return titled


def _data_in_words(result: Result) -> list[str]:
    """Return split, subset, rules and other facts of the data that scores depend on."""
    data = result.data
    split = data.get("split")
    if isinstance(split, int):
        split = f"split {split}"
    facts = [data.get("year"), split, data.get("subset"), _rules_in_words(result)]
    if data.get("resolution") != "480p":
        facts.append(data.get("resolution"))
    if data.get("holdout") is not None:
        facts.append(f"holdout {data['holdout']}, {data.get('unseen')} unseen")
    for switch, name in SWITCHES.items():
        if data.get(switch):
            facts.append(name)
    return [str(fact) for fact in facts if fact is not None]


def _rules_in_words(result: Result) -> object:
    """Return the rules of the data set in words; None without rules, or if benchmark and year name them already."""
    rules = result.data.get("rules")
    if not isinstance(rules, dict):  # None, or already a name
        return rules
    words = " ".join(str(value) for key, value in rules.items() if key not in ("source", "digest"))
    known = (f"davis-{result.data.get('year')}", result.benchmark.replace("_", "-"))
    return None if words in known else words


def results_below(folder: Path) -> dict[Path, Result]:
    """Read every results.json in or below a folder; return folder → result, sorted.

    Raises:
        ValueError: if no results.json is found, or a file is damaged.
    """
    files = sorted(folder.rglob(RESULTS_FILE))
    if not files:
        raise ValueError(f"{folder}: no results.json of a benchmark in or below it")
    return {file.parent: Result.load(file) for file in files}


def results_in(text: str | Path) -> tuple[str, dict[Path, Result]]:
    """Read the results of `FOLDER` or `NAME=FOLDER`; return the name, or an empty text, and folder → result.

    Raises:
        ValueError: if the folder holds no results, or a file is damaged.
    """
    name, equals, folder = str(text).partition("=")
    if not equals or "/" in name:
        return "", results_below(Path(text))
    return name, results_below(Path(folder))


def last_evaluations(results: Mapping[Path, Result]) -> dict[Path, Result]:
    """Return the last evaluation of each training, whose evaluations lie side by side, and all other results."""

    def steps(place: Path) -> int:
        return max((past.step for past in results[place].history), default=0)

    last: dict[object, Path] = {}
    for place in sorted(results, key=steps):
        training: object = place
        if results[place].history:
            training = (place.parent, results[place].benchmark)
        last[training] = place
    return {place: result for place, result in results.items() if place in last.values()}
