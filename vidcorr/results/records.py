"""Scores of results as records, and the columns of comparable scores that they belong to.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the input belong
to the network and are part of the row's name.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import message_of
from ..videos.digests import text_digest
from .checked import Json
from .formats import agreeing
from .result import RESULTS_FILE, Result
from .statistics import interval


class Column(NamedTuple):
    """Properties that comparable scores share, and their texts.

    Attributes:
        benchmark: name of the benchmark's data set.
        score: name of the score.
        by: name of the protocol without fields that the network sets.
        conditions: conditions of the benchmark, in words.
        protocol: digest of the protocol without these fields.
        names: digest of the names of sequences and objects; empty if the result has no rows.
        data: digest of frames and annotations; empty if the result does not know it.
        published: the numbers are printed ones, beside measured scores.

    Example:
        >>> column = Column("davis", "J-Mean", "vfs", "20 sequences")
        >>> column.title, column._replace(published=True).head
        ('davis (vfs, 20 sequences)', 'davis J-Mean (vfs, 20 sequences), paper')
    """

    benchmark: str
    score: str
    by: str = ""
    conditions: str = ""
    protocol: str = ""
    names: str = ""
    data: str = ""
    published: bool = False

    @property
    def about(self) -> str:
        """Protocol and conditions, joined by a comma."""
        return ", ".join(filter(None, (self.by, self.conditions)))

    @property
    def title(self) -> str:
        """Benchmark, then protocol and conditions in brackets."""
        return f"{self.benchmark} ({self.about})" if self.about else self.benchmark

    @property
    def head(self) -> str:
        """Benchmark and score, then protocol and conditions in brackets; published numbers add ", paper"."""
        return self._replace(benchmark=f"{self.benchmark} {self.score}").title + ", paper" * self.published


@dataclass(frozen=True, eq=False)
class ScoreRecord:
    """A score of a result, in a row of a table.

    Attributes:
        result: result that contains the score.
        key: name of the score.
        row: the user's name for the row, or empty.
        place: folder of the result; empty for a result in memory.
        benchmark: name of the benchmark in the column; "" takes the data set of the result.
        trained: the row stands for a training, sampled by its seeds.
    """

    result: Result
    key: str
    row: str = ""
    place: Path = Path()
    benchmark: str = ""
    trained: bool = False

    @property
    def seed(self) -> int | None:
        """Seed of the training, or of random weights; None if unknown."""
        return self.result.network.seed

    @property
    def of_seed(self) -> str:
        """The seed in words, ` of seed 3`; empty if it is unknown."""
        return "" if self.seed is None else f" of seed {self.seed}"

    @property
    def name(self) -> str:
        """Name of the row: the user's name, else the network without its seed.

        A user's name for predictions of others gets their kind: "theirs (their masks)".
        """
        network = self.result.network
        if self.row and self.result.is_theirs:
            return f"{self.row} ({network.weights})"
        return self.row or network.row

    @property
    def origin(self) -> str:
        """Recipe of the training, which all seeds of a name share; else the architecture.

        A recipe is a digest of a training's configuration without seeds. Random weights, and networks whose
        architecture has no name, have the name of the network here; predictions of others have their kind.
        """
        network = self.result.network
        if self.result.is_theirs:
            return network.weights
        return network.recipe or (network.spec if network.loaded else "") or network.row

    def has_weights_of(self, other: "ScoreRecord") -> bool:
        """Return True for the same weights; those without a digest are the same if seeds and all scores are equal."""
        network, others = self.result.network, other.result.network
        if network.digest or others.digest:
            return network.digest == others.digest
        is_same = (self.seed, network.row) == (other.seed, others.row)
        return is_same and self.result.scores == other.result.scores

    def is_copy_of(self, other: "ScoreRecord") -> bool:
        """Return True for the same weights, view and scores."""
        own, others = (self.view, self.result.scores), (other.view, other.result.scores)
        return own == others and self.has_weights_of(other)

    @property
    def rules(self) -> str:
        """The rules of scoring as JSON text; predictions of others are compared with ours only if the texts are equal.

        The rules are `data["rules"]` of the result. If they have no entry `frames`, as those of points, the text holds
        query mode, query stride and scored size instead, each from the rules, or else from the protocol.
        """
        rules = self.result.data.get("rules") or {}
        if "frames" in rules:
            return json.dumps(rules, sort_keys=True)
        stated = self.result.stage.protocol.fields | rules
        return json.dumps([stated.get(name) for name in ("query_mode", "query_stride", "scored_size")])

    def apart(self, other: "ScoreRecord") -> str:
        """Return in words why this score may not be compared with another sequence by sequence; "" if it may.

        Both need the same rules, the same conditions but for the number of sequences, and the same protocol, unless
        one side is predictions of others, which have none.

        Example:
            >>> def record(*conditions):
            ...     result = Result(benchmark="davis", network={"name": "A"}, scores={}, conditions=conditions)
            ...     return ScoreRecord(result, "J-Mean")
            >>> ours = record("2017", "val", "20 sequences")
            >>> ours.apart(record("2017", "val", "9 sequences")), ours.apart(record("2016", "val", "20 sequences"))
            ('', 'is of 2017, not of 2016')
        """
        own, column = self.column, other.column
        has_protocol = not (self.result.is_theirs or other.result.is_theirs)
        if has_protocol and own.protocol != column.protocol:  # digests may differ under one name
            return f"is by {'another protocol' if own.by in ('', column.by) else own.by}"
        if self.rules != other.rules:
            return "is by other rules of scoring"
        ours, theirs = self.result.conditions[:-1], other.result.conditions[:-1]
        only_ours = ", ".join(word for word in ours if word not in theirs)
        only_theirs = ", ".join(word for word in theirs if word not in ours)
        told = f"of {only_ours}" * bool(only_ours), f"not of {only_theirs}" * bool(only_theirs)
        return f"is {', '.join(filter(None, told))}" * any(told)

    @property
    def view(self) -> tuple[str, str]:
        """Stage and stride of the features, "res4, stride 8", and the RGB that the network gets; "" if not stated."""
        stage = self.result.stage
        stride = f"stride {stage.stride}" if stage.stride is not None else ""
        return ", ".join(filter(None, (stage.layer, stride))), stage.input.rgb if stage.input else ""

    @cached_property
    def column(self) -> Column:
        """Column of the score; scores with equal columns are comparable.

        It names the protocol by `shared_name` and its digest by `shared`, which leave out what the network sets (the
        stride, for example): rows of other networks are in the same column.
        """
        result = self.result
        protocol = result.stage.protocol
        names = " ".join(sorted({row.name for row in result.rows}))
        return Column(
            benchmark=self.benchmark or result.benchmark.partition("/")[0],
            score=self.key,
            by=protocol.shared_name,
            conditions=agreeing(", ".join(result.conditions)),  # "1 sequences" becomes "1 sequence"
            protocol=protocol.shared,
            names=text_digest(names, 8) if names else "",
            data=result.data_digest,
        )


def records_of(
    result: Result, scores: Iterable[str], row: str = "", place: Path = Path(), **more: Any
) -> list[ScoreRecord]:
    """Return a record per named score that the result has; other arguments are those of `ScoreRecord`."""
    return [ScoreRecord(result, key, row, place, **more) for key in scores if key in result.scores]


def walk_once(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder and all below it from the top down, also through links, entering each folder once; as `os.walk`."""
    entered: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in entered:  # by another link, which may lead to a folder above
            below.clear()
            continue
        entered.add(place)
        yield Path(folder), below, files


def print_fault(fault: str) -> None:
    """Print to standard error a sentence about a file that was left out."""
    print(fault, file=sys.stderr)


def results_below(folder: Path, tell: Callable[[str], object] = print_fault) -> dict[Path, Result]:
    """Read every results.json in a folder and below it: folder of a results.json → result, sorted by folder.

    Hidden folders are not entered, nor folders beside a results.json: they hold the masks and pictures of that result.
    A folder that several links lead to is read once. `tell` is called with a sentence for each file that cannot be
    read.
    """
    found: dict[Path, Result] = {}
    for place, below, files in walk_once(folder):
        below[:] = [name for name in sorted(below) if not name.startswith(".")]
        if RESULTS_FILE in files:
            below.clear()
            try:
                found[place] = Result.load(place)
            except (ValueError, OSError) as error:
                tell(f"Left out: {message_of(error)}")
    return dict(sorted(found.items()))


def named_results(text: str | Path, tell: Callable[[str], object] = print_fault) -> tuple[str, dict[Path, Result]]:
    """Read the results in the folders that a user names; of the evaluations during a training, only the last.

    Args:
        text: `FOLDER` or `NAME=FOLDER`; FOLDER may be a pattern, as in `NAME=runs/seed-*`, or a results.json.
        tell: as `results_below`.

    Returns:
        NAME, or "" without one; and folder of a results.json → result.

    Raises:
        ValueError: if there is no such folder, or the folders of a NAME hold no results.json.
    """
    parts = str(text).split("=")
    # the first "=" before a folder that exists ends the NAME, which may hold "=" and "/": "w/o colour", "n=2"
    for number in range(len(parts)):
        name, pattern = "=".join(parts[:number]), os.path.expanduser("=".join(parts[number:]))
        folders = [pattern] if os.path.exists(pattern) else sorted(glob(pattern))  # a shell leaves NAME=PATTERN
        if folders:
            break
    else:
        raise ValueError(f"{text}: there is no such folder")
    results: dict[Path, Result] = {}
    faults: list[str] = []
    for folder in map(Path, folders):
        results |= results_below(folder.parent if folder.name == RESULTS_FILE else folder, faults.append)
    if name and not results and not faults:
        raise ValueError(f"{text}: no result in this folder")
    for fault in faults:
        tell(fault)
    return name, _last_evaluations(results)


def records(*folders: str | Path) -> list[Json]:
    """Return the scores of results in folders as records, for example for `pandas.DataFrame`.

    Args:
        *folders: folders of results, or folders above; `NAME=FOLDER` names the row.

    Returns:
        A record per score, with the keys `row`, `network`, `weights` (a digest), `seed`, `step` (of the training),
        `stage`, `stride`, `benchmark`, `score`, `conditions`, `data` (a digest), `protocol`, `date`, `folder`, `value`
        (a fraction, or in the score's unit), and `low` and `high`, the ends of its 95 % interval; None where unknown.
        Files that cannot be read are named on standard error.

    Raises:
        ValueError: if there is no such folder.
    """
    records: list[Json] = []
    for folder in folders:
        row, results = named_results(folder)
        for place, result in results.items():
            for each in records_of(result, result.scores, row, place):
                network, stage, column = result.network, result.stage, each.column
                record: Json = {"row": each.name, "network": network.row, "weights": network.digest, "seed": each.seed}
                record |= {"step": network.step, "stage": stage.layer, "stride": stage.stride}
                record |= {name: getattr(column, name) for name in ("benchmark", "score", "conditions", "data")}
                record |= {"protocol": stage.protocol.name, "date": result.provenance.date, "folder": str(place)}
                ends = interval([result.sample(each.key)], result.declaration(each.key))
                record["value"] = result.scores[each.key]
                record["low"], record["high"] = ends or (None, None)
                records.append(record)
    return records


def _last_evaluations(results: dict[Path, Result]) -> dict[Path, Result]:
    """Return the results, folder → result, without the earlier evaluations of each training.

    Two results of one benchmark and seed, whose folders lie side by side, are of one training if recipe and first
    evaluation are equal; or if the longer history begins with the whole shorter one, with an evaluation after step 0: a
    training that was resumed with another length has another recipe.
    """
    # benchmark and seed in a folder → largest step, length of the history, and place of each result
    side_by_side: dict[tuple[object, ...], list[tuple[int, int, Path]]] = {}
    training_of: dict[Path, tuple[str, str]] = {}
    for place, result in results.items():
        if result.history:
            training_of[place] = result.network.recipe, repr(result.history[0])
            key = place.parent, result.benchmark, result.network.seed
            steps = [past.step for past in result.history]
            side_by_side.setdefault(key, []).append((max(steps), len(steps), place))
    earlier: set[Path] = set()
    for places in side_by_side.values():
        # in each pair, `later` has at least as many steps
        for (step, length, place), (_, longer, later) in combinations(sorted(places), 2):
            # before the first step all trainings from one start have one score
            goes_on = step > 0 and length < longer and results[place].history == results[later].history[:length]
            if goes_on or training_of[place] == training_of[later]:
                earlier.add(place)
    return {place: result for place, result in results.items() if place not in earlier}
