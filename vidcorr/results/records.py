"""Scores of results as records, and the columns of comparable scores that they belong to.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the normalisation belong
to the network and are part of the row's name.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .result import RESULTS_FILE, Result, Stage
from .statistics import ScoresBySequence, mean_score

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


def results_below(folder: Path) -> dict[Path, Result]:
    """Read a results.json, or every results.json in or below a folder; return folder → result, sorted.

    Raises:
        ValueError: if no results.json is found, or a file is damaged.
    """
    files = [folder] if folder.name == RESULTS_FILE and folder.is_file() else sorted(folder.rglob(RESULTS_FILE))
    if not files:
        raise ValueError(f"{folder}: no results.json of a benchmark in or below it")
    return {file.parent: Result.load(file) for file in files}
