"""Scores of results as records, and the columns of comparable scores that they belong to.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the input belong
to the network and are part of the row's name.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from operator import attrgetter
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

    The texts of a column are, for example: `about` "vfs, 20 sequences", `title` "davis (vfs, 20 sequences)", `label`
    "J-Mean", or "J-Mean, paper" of published numbers, and `head` "davis J-Mean (vfs, 20 sequences), paper".

    Attributes:
        benchmark: name of the benchmark's data set.
        score: name of the score.
        by: name of the protocol without fields that the network sets.
        conditions: conditions of the benchmark, in words.
        protocol: digest of the protocol without these fields.
        names: digest of the names of sequences and objects; empty if the result has no rows.
        data: digest of frames and annotations; empty if the result does not know it.
        published: the numbers are printed ones, beside measured scores.
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
        """Protocol and conditions."""
        return ", ".join(filter(None, (self.by, self.conditions)))

    @property
    def title(self) -> str:
        """Benchmark, protocol and conditions."""
        return f"{self.benchmark} ({self.about})" if self.about else self.benchmark

    @property
    def label(self) -> str:
        """Score, and whether the numbers are printed ones."""
        return f"{self.score}, paper" if self.published else self.score

    @property
    def head(self) -> str:
        """Benchmark, score, protocol and conditions, and whether the numbers are printed ones."""
        title = self._replace(benchmark=f"{self.benchmark} {self.score}").title
        return f"{title}, paper" if self.published else title


@dataclass(frozen=True, eq=False)
class ScoreRecord:
    """A score of a result, in a row of a table.

    Attributes:
        result: result that contains the score.
        key: name of the score.
        row: the user's name for the row, or empty.
        place: folder of the result; empty for a result in memory.
        benchmark: name of the column's benchmark, or empty: the data set of the result.
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
        """Name of the row: the user's, else the network without its seed; it says whose predictions are no network."""
        network = self.result.network
        if self.row and self.result.is_theirs:
            return f"{self.row} ({network.weights})"
        return self.row or network.row

    @property
    def origin(self) -> str:
        """The network of a row, whatever its seed: the recipe of its training, else its name.

        Of predictions of others it is their kind, "their masks".
        """
        network = self.result.network
        return network.weights if self.result.is_theirs else network.recipe or network.row

    @property
    def shared_by_seeds(self) -> str:
        """The text by which seeds join one row: the recipe of their training; "" of random weights.

        Of loaded weights without a known recipe it is their seed, so that no other seed joins their row.
        """
        network = self.result.network
        if network.loaded and not network.recipe:
            return f"seed {network.seed}"
        return network.recipe

    def is_copy_of(self, other: "ScoreRecord") -> bool:
        """Return whether two records have the scores of the same weights, or of one seed without known weights."""
        network, others = self.result.network, other.result.network
        is_same_network = network.digest == others.digest and (bool(network.digest) or self.seed == other.seed)
        return is_same_network and self.view == other.view and self.result.scores == other.result.scores

    @property
    def rules(self) -> str:
        """The rules of scoring as JSON, which predictions of others must share with ours.

        They are the `rules` of the result's data; if these name no frames, as of points, then query mode, query stride
        and scored size of the rules or the protocol.
        """
        rules = self.result.data.get("rules") or {}
        if "frames" in rules:
            return json.dumps(rules, sort_keys=True)
        stated = self.result.stage.protocol.fields | rules
        return json.dumps([stated.get(name) for name in ("query_mode", "query_stride", "scored_size")])

    def pairs_with(self, other: "ScoreRecord") -> bool:
        """Return whether two scores may be compared sequence by sequence: they share protocol, rules and conditions.

        Predictions of others have no protocol, and share data and rules alone.
        """
        ours, theirs = self.column, other.column
        if self.result.is_theirs or other.result.is_theirs:
            ours, theirs = ours._replace(protocol=""), theirs._replace(protocol="")
        kinds = {(each.benchmark, each.score, each.protocol, COUNT.sub("", each.conditions)) for each in (ours, theirs)}
        return len(kinds) == 1 and self.rules == other.rules

    @property
    def features(self) -> str:
        """Stage and stride of the network's features, in words; empty if the network declares none."""
        stage = self.result.stage
        stride = f"stride {stage.stride}" if stage.stride is not None else ""
        return ", ".join(filter(None, (stage.layer, stride)))

    @property
    def view(self) -> str:
        """The features and the network's input, in words."""
        rgb = self.result.stage.input.rgb if self.result.stage.input else ""
        return ", ".join(filter(None, (self.features, rgb)))

    @cached_property
    def column(self) -> Column:
        """Column of the score; scores with equal columns are comparable."""
        result = self.result
        protocol = result.stage.protocol
        names = " ".join(sorted({row.name for row in result.rows}))
        return Column(
            benchmark=self.benchmark or result.data_set,
            score=self.key,
            by=protocol.shared_name,
            conditions=agreeing(", ".join(result.conditions)),
            protocol=protocol.shared,
            names=text_digest(names, 8) if names else "",
            data=result.data_digest,
        )


COUNT = re.compile(r"(, )?[0-9]+ \w+$")
"""The number of sequences at the end of conditions."""
TOLD_APART = {"protocol": attrgetter("protocol"), "sequences": attrgetter("names"), "data": attrgetter("data")}
"""What may differ between columns of one title, in words → its digest."""


def records_of(
    result: Result, scores: Iterable[str], row: str = "", place: Path = Path(), **more: Any
) -> list[ScoreRecord]:
    """Return records of the scores that a result has.

    Args:
        result: the result.
        scores: names of scores.
        row: the user's name for the row, or empty.
        place: folder of the result.
        **more: other fields of `ScoreRecord`.
    """
    return [ScoreRecord(result, key, row, place, **more) for key in scores if key in result.scores]


def uniquely_titled(columns: Collection[Column]) -> dict[Column, Column]:
    """Return column → itself, with digests in its conditions where another column has the same title."""
    of_title: dict[str, list[Column]] = {}
    for column in columns:
        of_title.setdefault(column.title, []).append(column)
    unique = {}
    for column in columns:
        told = [column.conditions]
        for kind, digest_of in TOLD_APART.items():
            digests = set(map(digest_of, of_title[column.title]))
            if len(digests) > 1:
                told.append(f"{kind} {digest_of(column) or 'not recorded'}")
        unique[column] = column._replace(conditions=", ".join(filter(None, told)))
    return unique


def walk_once(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield folder, names of its folders and of its files as `os.walk` does, also through links, each folder once."""
    entered: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in entered:  # by another link, which may lead to a folder above
            below.clear()
            continue
        entered.add(place)
        yield Path(folder), below, files


def print_fault(fault: str) -> None:
    """Print what is left out, and why, on the standard error."""
    print(fault, file=sys.stderr)


def results_below(folder: Path, tell: Callable[[str], object] = print_fault) -> dict[Path, Result]:
    """Read every results.json in or below a folder, hidden folders left out; return folder → result, sorted.

    Folders in one with a results.json are not entered: they hold its masks and pictures. Links are followed once.

    Args:
        folder: the folder.
        tell: takes a sentence for each file that cannot be read.
    """
    found: dict[Path, Result] = {}
    for place, below, files in walk_once(folder):
        below[:] = [name for name in sorted(below) if not name.startswith(".")]  # such as .ipynb_checkpoints
        if RESULTS_FILE in files:
            below.clear()
            try:
                found[place] = Result.load(place)
            except (ValueError, OSError) as error:
                tell(f"Left out: {message_of(error)}")
    return dict(sorted(found.items()))


def named_results(text: str | Path, tell: Callable[[str], object] = print_fault) -> tuple[str, dict[Path, Result]]:
    """Read the results of `FOLDER` or `NAME=FOLDER`; return the name, or an empty text, and folder → result.

    FOLDER may be a pattern, `NAME=runs/seed-*`. Of a training, whose evaluations lie side by side, the last evaluation
    is returned.

    Args:
        text: the text.
        tell: as of `results_below`.

    Raises:
        ValueError: if there is no such folder, or a named folder holds no result.
    """
    name, equals, pattern = str(text).partition("=")
    if not equals or "/" in name:
        name, pattern = "", str(text)
    folders = [pattern] if Path(pattern).exists() else sorted(glob(pattern))  # a shell leaves NAME=PATTERN as it is
    if not folders:
        raise ValueError(f"{text}: there is no such folder")
    results: dict[Path, Result] = {}
    faults: list[str] = []
    for folder in folders:
        results |= results_below(Path(folder), faults.append)
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
        A record per score: row, network, digest of the weights, seed, benchmark, score, conditions, digest of the data,
        protocol, date, folder, value (a fraction, or in the score's unit) and the ends of its 95 % interval, or None.
        Files that cannot be read are named on standard error.

    Raises:
        ValueError: if there is no such folder.
    """
    found: list[Json] = []
    for folder in folders:
        row, results = named_results(folder)
        for place, result in results.items():
            for each in records_of(result, result.scores, row, place):
                of_column = {name: getattr(each.column, name) for name in ("benchmark", "score", "conditions", "data")}
                names = {"row": each.name, "network": result.network.row, "weights": result.network.digest}
                ends = interval([result.sample(each.key)], result.declaration(each.key))
                value = {"value": result.scores[each.key], "interval": ends}
                made = {"protocol": result.stage.protocol.name, "date": result.provenance.date, "folder": str(place)}
                found.append({**names, "seed": each.seed, **of_column, **made, **value})
    return found


def _last_evaluations(results: dict[Path, Result]) -> dict[Path, Result]:
    """Return folder → result without the earlier evaluations of each training, whose folders lie side by side.

    Evaluations of a training have one seed, recipe and first evaluation.
    """
    of_trainings: dict[Path, int] = {}  # folder of a result → step of its evaluation
    for place, result in results.items():
        if result.history:
            of_trainings[place] = max(past.step for past in result.history)
    last: dict[tuple[object, ...], Path] = {}
    for place in sorted(of_trainings, key=of_trainings.__getitem__):  # a later one replaces an earlier one
        result = results[place]
        training = result.network.seed, result.network.recipe, repr(result.history[0])
        last[place.parent, result.benchmark, *training] = place
    earlier = of_trainings.keys() - last.values()
    return {place: result for place, result in results.items() if place not in earlier}
