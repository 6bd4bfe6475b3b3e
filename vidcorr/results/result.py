"""The result of a benchmark: the same value in memory and in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Self

from pydantic import Field

from ..description import Input as Input, Network as Network
from ..metrics.declared import Score as Score
from ..videos.digests import text_digest
from ..videos.files import DataError, write_atomically
from .checked import Exact, Facts, Items, Number, Value, plain, read_model
from .csv_files import csv_of_records
from .formats import agreeing, bracketed, grid, listed, one_line, shown
from .provenance import Provenance
from .published import sets_of_papers
from .statistics import Sample, interval

RESULTS_FILE = "results.json"
REPORT = "report.html"
"""Name of the page of a result in its folder."""
THEIRS = ("their masks", "their points", "their boxes")
"""What stands for the weights of predictions of others, which have no protocol of ours."""
FORMAT = 1
"""Number of the form of results.json; another is not read."""


class ProtocolFacts(Exact):
    """The protocol of a result, as `EvaluationProtocol.facts` gives it.

    Attributes:
        name: name of the protocol, followed by `+field=value` for every changed field.
        digest: equal for equal protocols.
        fields: name, benchmark and effective values.
        shared_name: name without the fields that the network sets, for example the stride of its features.
        shared: digest without these fields; rows with equal digests are comparable.
    """

    name: str = ""
    digest: str = ""
    fields: Facts = Field(default={})
    shared_name: str = ""
    shared: str = ""


class Setup(Exact):
    """The feature map, the input and the protocol of an evaluated network; a result holds them as `stage`.

    Attributes:
        layer: name of the network's feature map; empty if the network gives a single map.
        stride: pixels per cell of the map; None if nothing is tracked or the network does not declare it.
        input: the RGB that the network got, and who states it; None if it was not recorded.
        protocol: has no name if the benchmark has no protocol.
    """

    layer: str = ""
    stride: int | None = None
    input: Input | None = None
    protocol: ProtocolFacts = ProtocolFacts()


class Row(Exact):
    """The values of a sequence, or of an object in a sequence.

    Attributes:
        video: name of the sequence.
        object: name or number of the object; empty for values of the whole sequence.
        values: column → value; scores are fractions.
        counts: name → numbers of which the benchmark computes its scores, where these are no means of the values:
            counts, areas, curves.
    """

    video: str
    object: str = ""
    values: Mapping[str, Value] = Field(default={})
    counts: Facts = Field(default={})

    @property
    def name(self) -> str:
        """The name of the row: `VIDEO`, or `VIDEO_OBJECT`."""
        return "_".join(filter(None, (self.video, self.object)))

    @property
    def order(self) -> tuple[str, int, str]:
        """Sorting key: video, number of the object (0 for a name), name of the object.

        The video keeps the `_` that stands before the object in the row's name: rows then sort as the file names of the
        official tools do.
        """
        number = int(self.object) if self.object.isdecimal() else 0
        return self.name.removesuffix(self.object), number, self.object


def videos_of(rows: Iterable[Row]) -> list[str]:
    """Return the names of the videos of rows, each once, in order of appearance."""
    return list(dict.fromkeys(row.video for row in rows))


ScoresOf = Callable[[Sequence[Row]], Mapping[str, float]]
"""Function from rows to scores by name, such as `Benchmark.scores`."""


def leave_one_out(rows: Sequence[Row], scores: ScoresOf) -> dict[str, dict[str, float]]:
    """Return name of a score → sequence → the score without this sequence, for a jackknife; empty for one sequence.

    Example:
        >>> rows = [Row(video="bike", values={"J": 0.25}), Row(video="dogs", values={"J": 0.75})]
        >>> leave_one_out(rows, lambda some: {"J": fmean(row.values["J"] for row in some)})
        {'J': {'bike': 0.75, 'dogs': 0.25}}
    """
    found: dict[str, dict[str, float]] = {}
    for left_out in videos_of(rows):
        others = [row for row in rows if row.video != left_out]
        if others:
            for name, score in scores(others).items():
                found.setdefault(name, {})[left_out] = score
    return found


class Evaluated(Exact):
    """Scores of an evaluation within a training, after `epoch` epochs and `step` optimiser steps."""

    epoch: int
    step: int
    scores: dict[str, Number]


ROUNDING = 1e-6
"""Largest difference of a score from the mean of its rows."""
MEANS_OF = {"J&F-Mean": ("J-Mean", "F-Mean")}
"""Score → columns of the rows; the score is the mean of the columns. Any other score has one column, of its name."""


class Result(Exact):
    """The result of a benchmark.

    Attributes:
        benchmark: name of the benchmark.
        network: the evaluated network.
        scores: name → fraction.
        without: for scores that are not means over the rows, such as an IoU over all pixels: name → sequence → the
            score without this sequence.
        stage: feature map, input and protocol.
        rows: values of the sequences, or of their objects.
        sequences: names of the evaluated sequences.
        digests: name of a sequence → digest of its frames and annotations; empty for a result without data on disk.
            Scores with other digests are not compared.
        conditions: what comparable scores share besides the protocol, in words: split, number of sequences, …
        limit_sequences: limit on the number of sequences, if set.
        data: other facts that the scores depend on: year, split, rules, …
        protocol_source: publication of the protocol, and the fields that it leaves open.
        seconds: duration of the evaluation.
        seconds_of: kind of work → seconds of the first rank.
        ranks: number of processes.
        history: all evaluations of the training, this result last; empty outside a training.
        declared: what the benchmark declares of its scores; the first three stand in tables. A score that is not
            declared is a fraction of which more is better.
        doubts: sentences on what is doubtful about the scores, which stand beside them.
        provenance: date, command, machine and versions.
        format: `FORMAT`.

    Raises:
        ValueError: for a value of the wrong type; pydantic's `ValidationError`.
    """

    benchmark: str
    network: Network
    scores: dict[str, Number]
    without: dict[str, dict[str, Number]] = Field(default={})
    stage: Setup = Setup()
    sequences: Items[str] = ()
    digests: dict[str, str] = Field(default={})
    conditions: Items[str] = ()
    limit_sequences: int | None = None
    data: Facts = Field(default={})
    protocol_source: dict[str, str] = Field(default={})
    seconds: float = 0.0
    seconds_of: dict[str, float] = Field(default={})
    ranks: int = 1
    history: Items[Evaluated] = ()
    declared: Items[Score] = ()
    doubts: Items[str] = ()
    provenance: Provenance = Field(default_factory=Provenance)
    rows: Items[Row] = ()
    format: int = FORMAT

    def __repr__(self) -> str:
        """Return a line with benchmark, network, number of sequences, and main scores with their intervals."""
        texts = self.texts(self.scores)
        scores = []
        for key in self.main_scores():
            declared = self.declaration(key)
            ends = bracketed(interval([self.sample(key)], declared), declared)
            scores.append(f"{key} {texts[key]} {ends}".rstrip())
        about = f"{self.benchmark}, {self.network}, {len(self.sequences)} sequences"
        return one_line(f"Result({agreeing(about)}: {', '.join(scores)})")

    __str__ = __repr__  # pydantic's prints all fields

    def print(self) -> None:
        """Print benchmark, network and input in a line, all scores as a table, and a line for each doubt."""
        about_input = self.stage.input.line if self.stage.input else ""
        print(one_line(", ".join(filter(None, (f"{self.benchmark}: {self.network}", about_input)))))
        if not self.scores:
            print("no ground truth, nothing to score")
            return
        texts = self.texts(self.scores)
        print(grid("text", ["", *texts], [[self.benchmark, *texts.values()]]), end="")
        for doubt in self.doubts:
            print(one_line(f"{doubt}."))

    # Files

    def save(self, folder: str | Path) -> None:
        """Write results.json, which is complete, and before it per_sequence.csv, an export for people.

        Both are written atomically, in place of earlier files; the folder is made. Without a row that has values there
        is no per_sequence.csv.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder = Path(folder)
        rows = [{"Sequence": row.name, **plain(row.values)} for row in self.rows if row.values]
        if rows:
            write_atomically(folder / "per_sequence.csv", csv_of_records(rows))
        content = json.dumps(plain(self.model_dump()), indent=1, allow_nan=False)
        write_atomically(folder / RESULTS_FILE, content + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result, equal to the saved one.

        Args:
            path: the result's folder, or its results.json.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if the file is not a result, is of another version or damaged, or has a `contradiction`; the
                message names file and field.
        """
        path = Path(path)
        file = path if path.name == RESULTS_FILE else path / RESULTS_FILE
        result = read_model(cls, file, FORMAT, "is not a results.json of a benchmark, or damaged")
        contradiction = result.contradiction()
        if contradiction:
            raise ValueError(f"{file}: {contradiction}: edited, or declared wrongly?")
        return result

    # What readers ask

    @property
    def is_theirs(self) -> bool:
        """True for predictions of others on disk, which no network of ours and no protocol made."""
        return self.network.weights in THEIRS

    def require_sound(self) -> Self:
        """Return the result itself, after a check of its scores.

        Raises:
            ValueError: if the result has a `contradiction`.
            DataError: if its main scores are all NaN: means over no scored frame. A result without scores passes: it is
                of a test set without truth.
        """
        contradiction = self.contradiction()
        if contradiction:
            raise ValueError(f"{self.benchmark}: {contradiction}: declared wrongly?")
        main = self.main_scores()
        if main and all(isnan(self.scores[key]) for key in main):
            counts = f"no frame counts for {listed(main)}: the annotation holds nothing to score"
            raise DataError(f"{self.benchmark}: {counts}")
        return self

    def contradiction(self) -> str:
        """Return in words the first score that lies beyond its declared bounds or differs from the mean of its rows.

        "" if no score contradicts. The mean is over all rows with a finite value. Scores in `without` are no means over
        rows, so only their bounds are checked. With rows of a single video no mean is checked: `without` is empty then,
        since nothing is left without the video, and does not tell which scores are means.
        """
        for score in self.declared:
            low, high = score.bounds
            value = self.scores.get(score.name, nan)
            if value < low - ROUNDING or value > high + ROUNDING:
                return f"{score.name} is {value:g}, and lies in [{low:g}, {high:g}]"
        has_videos = len({row.video for row in self.rows}) > 1
        for key in (key for key in self.scores if has_videos and key not in self.without):
            means = []  # one per column: J&F-Mean has the columns J-Mean and F-Mean, and a row may lack one of them
            for column in MEANS_OF.get(key, (key,)):
                finite = [value for _, value in self.values_of_rows(column) if isfinite(value)]
                means.append(fmean(finite) if finite else nan)
            if abs(fmean(means) - self.scores[key]) > ROUNDING:  # False for NaN
                return f"{key} is {self.scores[key]:.6g}, and the mean of its rows {fmean(means):.6g}"
        return ""

    @property
    def data_digest(self) -> str:
        """Digest of frames and annotations of all sequences; "" if the result does not record `digests`."""
        lines = [f"{name} {digest}" for name, digest in sorted(self.digests.items())]
        return text_digest("\n".join(lines), 8) if self.digests else ""

    @property
    def on_test_set(self) -> bool:
        """True if the result covers the whole test set that papers use: year, split and number of sequences agree."""
        facts_of_set = sets_of_papers().get(self.benchmark.partition("/")[0])
        if facts_of_set is None or self.limit_sequences is not None:
            return False
        facts = self.data | {"sequences": len(self.sequences)}
        return facts_of_set.items() <= facts.items()

    def main_scores(self) -> list[str]:
        """Return the names of the main scores: those of the first three declared that the result has, else three."""
        declared = [score.name for score in self.declared[:3] if score.name in self.scores]
        return declared or list(self.scores)[:3]

    def declaration(self, key: str) -> Score:
        """Return the declaration of a score; by default, that of a fraction of which more is better."""
        return next((score for score in self.declared if score.name == key), Score(key))

    def texts(self, values: Mapping[str, object]) -> dict[str, str]:
        """Return name → text, as printed everywhere, of scores or a row's values that are floats: no counts."""
        floats = {name: value for name, value in values.items() if isinstance(value, float)}
        return {name: shown(value, self.declaration(name)) for name, value in floats.items()}

    def values_of_rows(self, key: str, of_all: bool = True) -> list[tuple[Row, float]]:
        """Return pairs of a row and its value of a score; J&F of a row is the mean of its J and F.

        If a row lacks the value, the list is empty with `of_all`, and else leaves out the row.

        Example:
            >>> bike, dogs = {"J-Mean": 0.5, "F-Mean": 0.75}, {"J-Mean": 0.25}
            >>> rows = [Row(video="bike", values=bike), Row(video="dogs", values=dogs)]
            >>> result = Result(benchmark="davis", network={"name": "A"}, scores={}, rows=rows)
            >>> [(row.name, value) for row, value in result.values_of_rows("J&F-Mean", of_all=False)]
            [('bike', 0.625)]
        """
        columns = MEANS_OF.get(key, (key,))
        found: list[tuple[Row, float]] = []
        for row in self.rows:
            numbers = [cell for cell in map(row.values.get, columns) if isinstance(cell, int | float)]
            if len(numbers) == len(columns):
                found.append((row, fmean(numbers)))
            elif of_all:
                return []
        return found

    def parts(self, key: str) -> dict[str, str]:
        """Return the parts over which a score is computed, name of a part → its sequence.

        The parts are the rows with a finite value, and none if a row lacks the score. A score that is no mean over rows
        (`without`) has the sequences as parts.
        """
        if key in self.without:
            return {name: name for name in self.without[key]}
        return {row.name: row.video for row, value in self.values_of_rows(key) if isfinite(value)}

    def sample(self, key: str, parts: Collection[str] | None = None) -> Sample:
        """Return a score as a sample of sequences; it is empty without rows, or if a row lacks the score.

        Args:
            key: name of the score.
            parts: names of the parts that count, as the method `parts` returns them; None: all. A score that is no mean
                over rows cannot be computed from some of its parts: the sample is then empty.
        """
        if key in self.without:
            is_whole = parts is None or set(parts) == self.without[key].keys()
            return Sample(self.scores[key], self.without[key] if is_whole else {}, self.network.seed)
        videos: dict[str, list[float]] = {}
        for row, value in self.values_of_rows(key):
            if parts is None or row.name in parts:
                videos.setdefault(row.video, []).append(value)
        return Sample.of_means(videos, self.network.seed)
