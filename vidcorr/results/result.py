"""The result of a benchmark: the same value in memory and in a folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from pydantic import Field

from ..description import Input as Input, Network as Network
from ..metrics.declared import Score as Score
from ..videos.digests import text_digest
from ..videos.files import DataError, write_atomically
from .checked import Exact, Facts, Items, Json, Number, Value, plain, read_model
from .csv_files import csv_of_records
from .formats import agreeing, bracketed, grid, listed, one_line, shown
from .provenance import Provenance
from .published import sets_of_papers
from .statistics import Sample, interval

RESULTS_FILE = "results.json"
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
        """Sorting key: video, number of the object, name of the object.

        The video has the `_` before an object's name, so that rows sort as the files of the official tools do.
        """
        video = self.name.removesuffix(self.object)
        return video, int(self.object) if self.object.isdecimal() else 0, self.object


def videos_of(rows: Iterable[Row]) -> list[str]:
    """Return the different videos of rows, in their order."""
    return list(dict.fromkeys(row.video for row in rows))


def leave_one_out(
    rows: Sequence[Row], scores: Callable[[Sequence[Row]], Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return score → sequence → score of all the other sequences, for a jackknife.

    Args:
        rows: the rows.
        scores: computes the scores of some rows, for example `Benchmark.scores`.
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
"""Score → columns of the rows; the score is their mean. A score that is not listed has a column of its name."""


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
        """Return benchmark, network and main scores with their intervals, in a line."""
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
        """Print the network and the scores."""
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
        """Write per_sequence.csv, an export for people, and then the complete results.json; both atomically.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.csv_rows()
        if rows:
            write_atomically(folder / "per_sequence.csv", csv_of_records(rows))
        content = json.dumps(plain(self.model_dump()), indent=1, allow_nan=False)
        write_atomically(folder / RESULTS_FILE, content + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result, equal to the saved one, from its folder or its results.json.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if the file is not a result, of another version, damaged, or contradicts itself; the message
                names file and field.
        """
        path = Path(path)
        file = path if path.name == RESULTS_FILE else path / RESULTS_FILE
        result = read_model(cls, file, FORMAT, "is not a results.json of a benchmark, or damaged")
        result.require_consistent(file)
        return result

    def csv_rows(self) -> list[Json]:
        """Return the lines of per_sequence.csv: rows with values; an undefined value is None."""
        return [{"Sequence": row.name, **plain(row.values)} for row in self.rows if row.values]

    # What readers ask

    @property
    def is_theirs(self) -> bool:
        """True for predictions of others on disk, which no network of ours and no protocol made."""
        return self.network.weights in THEIRS

    def require_consistent(self, place: object) -> None:
        """Raise ValueError, which begins with a place, for a `contradiction`."""
        contradiction = self.contradiction()
        if contradiction:
            raise ValueError(f"{place}: {contradiction}: edited, or declared wrongly?")

    def contradiction(self) -> str:
        """Return in words which score is beyond its declared bounds, or not the mean of its rows; "" if none is.

        Scores of rows of a single video are not compared with these: nothing then tells a mean from a ratio of sums.
        """
        for score in self.declared:
            low, high = score.bounds
            value = self.scores.get(score.name, nan)
            if value < low - ROUNDING or value > high + ROUNDING:
                return f"{score.name} is {value:g}, and lies in [{low:g}, {high:g}]"
        of_means = [key for key in self.scores if key not in self.without and len(videos_of(self.rows)) > 1]
        for key in of_means:
            means = []  # of each column, whose rows without a value need not be those of the other
            for column in MEANS_OF.get(key, (key,)):
                finite = [value for _, value in self.values_of_rows(column) if isfinite(value)]
                means.append(fmean(finite) if finite else nan)
            if abs(fmean(means) - self.scores[key]) > ROUNDING:
                return f"{key} is {self.scores[key]:.6g}, and the mean of its rows {fmean(means):.6g}"
        return ""

    @property
    def data_set(self) -> str:
        """Name of the data: the part of the benchmark's name before a slash, `davis` of `davis/res3`."""
        return self.benchmark.partition("/")[0]

    @property
    def data_digest(self) -> str:
        """Digest of the data of all sequences; empty without digests."""
        lines = [f"{name} {digest}" for name, digest in sorted(self.digests.items())]
        return text_digest("\n".join(lines), 8) if self.digests else ""

    @property
    def on_test_set(self) -> bool:
        """True if the result states the facts of a test set of papers, and covers it."""
        wanted = sets_of_papers().get(self.data_set)
        if wanted is None or self.limit_sequences is not None:
            return False
        facts = self.data | {"sequences": len(self.sequences)}
        return wanted.items() <= facts.items()

    def main_scores(self) -> list[str]:
        """Return the names of at most three scores, as the benchmark declares them."""
        declared = [score.name for score in self.declared[:3] if score.name in self.scores]
        return declared or list(self.scores)[:3]

    def declaration(self, key: str) -> Score:
        """Return what the benchmark declares of a score, or that it is a fraction of which more is better."""
        return next((score for score in self.declared if score.name == key), Score(key))

    def texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return scores, or the values of a row, as they are printed everywhere: in per cent, or in the score's unit.

        Args:
            values: name → value; those that are no floats, such as counts, are left out.
        """
        floats = {name: value for name, value in values.items() if isinstance(value, float)}
        return {name: shown(value, self.declaration(name)) for name, value in floats.items()}

    def flat_scores(self) -> dict[str, float]:
        """Return the scores, and those of sequences and objects (`J/bike/1`), as a flat dictionary."""
        scores = dict(self.scores)
        for row in self.rows:
            for column, value in row.values.items():
                if isinstance(value, float):
                    place = (column.removesuffix("-Mean"), row.video, row.object)
                    scores["/".join(filter(None, place))] = value
        return scores

    def values_of_rows(self, key: str, of_all: bool = True) -> list[tuple[Row, float]]:
        """Return the rows with the single values behind a score.

        Args:
            key: a key of `scores`. J&F is the mean of J and F.
            of_all: no row, if one lacks the values; False: leave such rows out.
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

    def scores_by_sequence(self, key: str) -> dict[str, float]:
        """Return sequence → mean of the defined values behind a score in its rows; without one it is left out."""
        values: dict[str, list[float]] = {}
        for row, value in self.values_of_rows(key, of_all=False):
            # where an object is a sequence, its row has the object's name
            name = row.name if row.name in self.sequences else row.video
            if not isnan(value):
                values.setdefault(name, []).append(value)
        return {name: fmean(of_name) for name, of_name in values.items()}

    def parts(self, key: str) -> dict[str, str]:
        """Return what a score is computed of, name → sequence: rows with a finite value; sequences if it is no mean."""
        if key in self.without:
            return {name: name for name in self.without[key]}
        return {row.name: row.video for row, value in self.values_of_rows(key) if isfinite(value)}

    def sample(self, key: str, parts: Collection[str] | None = None) -> Sample:
        """Return a score as a sample of sequences: empty, if the result has no values by sequence for it.

        Args:
            key: a key of `scores`.
            parts: names of the `parts` that count; None: all. From some of them a score that is no mean cannot be
                computed: the sample is empty.
        """
        if key in self.without:
            is_whole = parts is None or set(parts) == self.without[key].keys()
            return Sample(self.scores[key], self.without[key] if is_whole else {}, self.network.seed)
        videos: dict[str, list[float]] = {}
        for row, value in self.values_of_rows(key):
            if parts is None or row.name in parts:
                videos.setdefault(row.video, []).append(value)
        return Sample.of_means(videos, self.network.seed)


def require_scored(result: Result) -> Result:
    """Return a result. Every score passes here: one whose main scores are all means over no scored frame is refused.

    Raises:
        DataError: if the main scores are all undefined; a test set without truth has no scores, which is right.
    """
    main = result.main_scores()
    if main and all(isnan(result.scores[key]) for key in main):
        cause = "the annotation holds nothing to score"
        raise DataError(f"{result.benchmark}: no frame counts for {listed(main)}: {cause}")
    return result


def require_writable(folder: Path) -> None:
    """Make a folder and check that it can be written.

    Raises:
        OSError: if the folder cannot be made or written; the error names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass
