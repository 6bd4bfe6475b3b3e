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
from itertools import combinations
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
        >>> column.about, column.title, column.label, column.head
        ('vfs, 20 sequences', 'davis (vfs, 20 sequences)', 'J-Mean', 'davis J-Mean (vfs, 20 sequences)')
        >>> printed = column._replace(published=True)
        >>> printed.label, printed.head
        ('J-Mean, paper', 'davis J-Mean (vfs, 20 sequences), paper')
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
    def label(self) -> str:
        """Name of the score; published numbers add ", paper"."""
        return f"{self.score}, paper" if self.published else self.score

    @property
    def head(self) -> str:
        """Benchmark and score, then protocol and conditions in brackets; published numbers add ", paper"."""
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
        """The network without its seed: the recipe of its training, else the network's name.

        A recipe is a digest of a training's configuration without seeds. For predictions of others the origin is their
        kind, such as "their masks".
        """
        network = self.result.network
        if self.result.is_theirs:
            return network.weights
        return network.recipe or network.row

    @property
    def shared_by_seeds(self) -> str:
        """The recipe of the training; records of one name with equal texts are seeds of one row.

        A recipe is a digest of a training's configuration without seeds. Random weights have no recipe: "". Loaded
        weights without a recipe may be of any training, so their text is their seed, and no other seed joins their row.
        """
        network = self.result.network
        if network.loaded and not network.recipe:
            return f"seed {network.seed}"
        return network.recipe

    def is_copy_of(self, other: "ScoreRecord") -> bool:
        """Return True if two records have equal scores, equal views (stage, stride, input), and the same weights.

        Weights without a digest count as the same if their seeds are equal.
        """
        network, others = self.result.network, other.result.network
        is_same_network = network.digest == others.digest and (bool(network.digest) or self.seed == other.seed)
        return is_same_network and self.view == other.view and self.result.scores == other.result.scores

    @property
    def rules(self) -> str:
        """The rules of scoring as JSON text; predictions of others are compared with ours only if the texts are equal.

        The rules are `data["rules"]` of the result. If they have no entry `frames`, as those of points, the text holds
        query mode, query stride and scored size instead. Each comes from the rules, or else from the protocol; it is
        null if both lack it.
        """
        rules = self.result.data.get("rules") or {}
        if "frames" in rules:
            return json.dumps(rules, sort_keys=True)
        stated = self.result.stage.protocol.fields | rules
        return json.dumps([stated.get(name) for name in ("query_mode", "query_stride", "scored_size")])

    def apart(self, other: "ScoreRecord") -> str:
        """Return in words why this score may not be compared with another sequence by sequence; "" if it may.

        They must share rules, and conditions without the number of sequences. They must share the protocol too, unless
        one side is predictions of others, which have no protocol.
        """
        own, column = self.column, other.column
        has_protocol = not (self.result.is_theirs or other.result.is_theirs)
        if has_protocol and own.protocol != column.protocol:  # digests may differ under one name
            return f"is by {'another protocol' if own.by in ('', column.by) else own.by}"
        if self.rules != other.rules:
            return "is by other rules of scoring"
        # COUNT is the number of sequences at the end of the conditions
        is_on_same = COUNT.sub("", own.conditions) == COUNT.sub("", column.conditions)
        return "" if is_on_same else f"is on {own.conditions}"

    @property
    def features(self) -> str:
        """Stage and stride of the network's features, "res4, stride 8"; "" if the network declares neither."""
        stage = self.result.stage
        stride = f"stride {stage.stride}" if stage.stride is not None else ""
        return ", ".join(filter(None, (stage.layer, stride)))

    @property
    def view(self) -> str:
        """Stage and stride of the features, and the RGB that the network gets, joined by commas."""
        rgb = self.result.stage.input.rgb if self.result.stage.input else ""
        return ", ".join(filter(None, (self.features, rgb)))

    @cached_property
    def column(self) -> Column:
        """Column of the score; scores with equal columns are comparable.

        The column names the protocol by `shared_name` and its digest by `shared`, which leave out what the network sets
        (the stride, for example): rows of other networks are in the same column.

        Example:
            >>> protocol = {"name": "vfs+topk=5", "shared_name": "vfs", "shared": "1f"}
            >>> about = {"stage": {"protocol": protocol}, "conditions": ["val", "1 sequences"], "scores": {}}
            >>> result = Result(benchmark="davis/res3", network={"name": "A"}, **about)
            >>> ScoreRecord(result, "J-Mean").column[:5]
            ('davis', 'J-Mean', 'vfs', 'val, 1 sequence', '1f')
        """
        result = self.result
        protocol = result.stage.protocol
        names = " ".join(sorted({row.name for row in result.rows}))  # of the scored sequences or objects
        return Column(
            benchmark=self.benchmark or result.data_set,
            score=self.key,
            by=protocol.shared_name,
            conditions=agreeing(", ".join(result.conditions)),  # "1 sequences" becomes "1 sequence"
            protocol=protocol.shared,
            names=text_digest(names, 8) if names else "",
            data=result.data_digest,
        )


COUNT = re.compile(r"(, )?[0-9]+ \w+$")
"""The number of sequences at the end of conditions, as in "val, 20 sequences"."""
TOLD_APART = {"protocol": attrgetter("protocol"), "sequences": attrgetter("names"), "data": attrgetter("data")}
"""What may differ between columns of one title, in words → function that returns its digest from a column."""


def records_of(
    result: Result, scores: Iterable[str], row: str = "", place: Path = Path(), **more: Any
) -> list[ScoreRecord]:
    """Return a record per named score; names that the result lacks are left out.

    Args:
        row: the user's name for the row, or empty.
        **more: other fields of `ScoreRecord`.
    """
    return [ScoreRecord(result, key, row, place, **more) for key in scores if key in result.scores]


def uniquely_titled(columns: Collection[Column]) -> dict[Column, Column]:
    """Return column → the column to show, so that no two have the same title.

    Columns of one title get digests of what differs between them, such as "data 3f2a9c01", into their conditions.

    Example:
        >>> columns = [Column("davis", "J-Mean", "vfs", data="3f2a"), Column("davis", "J-Mean", "vfs", data="9c01")]
        >>> [column.title for column in uniquely_titled(columns).values()]
        ['davis (vfs, data 3f2a)', 'davis (vfs, data 9c01)']
    """
    of_title: dict[str, list[Column]] = {}
    for column in columns:
        of_title.setdefault(column.title, []).append(column)
    unique = {}
    for column in columns:
        conditions = [column.conditions]
        for kind, digest_of in TOLD_APART.items():  # protocol, sequences, data
            digests = set(map(digest_of, of_title[column.title]))
            if len(digests) > 1:
                conditions.append(f"{kind} {digest_of(column) or 'not recorded'}")
        unique[column] = column._replace(conditions=", ".join(filter(None, conditions)))
    return unique


def walk_once(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder and all folders below it from the top down, also through links, but enter each folder once.

    Yields:
        The folder, the names of the folders in it, and the names of its files. The caller may remove names of folders
        from the list: these are not entered.
    """
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
    """Read every results.json in a folder and below it.

    Hidden folders are not entered, nor folders beside a results.json: they hold the masks and pictures of that result.
    A folder that several links lead to is read once.

    Args:
        tell: called with a sentence for each file that cannot be read.

    Returns:
        Folder of a results.json → result, sorted by folder.
    """
    found: dict[Path, Result] = {}
    for place, below, files in walk_once(folder):
        below[:] = [name for name in sorted(below) if not name.startswith(".")]  # such as .ipynb_checkpoints
        if RESULTS_FILE in files:
            below.clear()  # enter none of them
            try:
                found[place] = Result.load(place)
            except (ValueError, OSError) as error:
                tell(f"Left out: {message_of(error)}")
    return dict(sorted(found.items()))


def named_results(text: str | Path, tell: Callable[[str], object] = print_fault) -> tuple[str, dict[Path, Result]]:
    """Read the results in the folders that a user names; of the evaluations during a training, only the last.

    Args:
        text: `FOLDER` or `NAME=FOLDER`; FOLDER may be a pattern, as in `NAME=runs/seed-*`, or a results.json.
        tell: called with a sentence for each file that cannot be read.

    Returns:
        NAME, or "" without one; and folder of a results.json → result.

    Raises:
        ValueError: if there is no such folder, or the folders of a NAME hold no results.json.
    """
    parts = str(text).split("=")
    # the first "=" before a folder that exists ends the NAME, which may hold "=" and "/": "w/o colour", "n=2"
    for number in range(len(parts)):
        name, pattern = "=".join(parts[:number]), "=".join(parts[number:])
        folders = [pattern] if Path(pattern).exists() else sorted(glob(pattern))  # a shell leaves NAME=PATTERN
        if folders:
            break
    else:
        raise ValueError(f"{text}: there is no such folder")
    results: dict[Path, Result] = {}
    faults: list[str] = []
    for folder in map(Path, folders):
        results |= results_below(folder.parent if folder.name == RESULTS_FILE else folder, faults.append)
    if name and not results and not faults:  # a name needs a result; faults are told below instead
        raise ValueError(f"{text}: no result in this folder")
    for fault in faults:
        tell(fault)
    return name, _last_evaluations(results)


def records(*folders: str | Path) -> list[Json]:
    """Return the scores of results in folders as records, for example for `pandas.DataFrame`.

    Args:
        *folders: folders of results, or folders above; `NAME=FOLDER` names the row.

    Returns:
        A record per score, with the keys `row`, `network`, `weights` (a digest), `seed`, `benchmark`, `score`,
        `conditions`, `data` (a digest), `protocol`, `date`, `folder`, `value` (a fraction, or in the score's unit), and
        `interval`, the ends of its 95 % interval, or None. Files that cannot be read are named on standard error.

    Raises:
        ValueError: if there is no such folder.
    """
    records: list[Json] = []
    for folder in folders:
        row, results = named_results(folder)
        for place, result in results.items():
            for each in records_of(result, result.scores, row, place):
                of_column = {name: getattr(each.column, name) for name in ("benchmark", "score", "conditions", "data")}
                names = {"row": each.name, "network": result.network.row, "weights": result.network.digest}
                ends = interval([result.sample(each.key)], result.declaration(each.key))
                value = {"value": result.scores[each.key], "interval": ends}
                origin = {"protocol": result.stage.protocol.name, "date": result.provenance.date, "folder": str(place)}
                records.append({**names, "seed": each.seed, **of_column, **origin, **value})
    return records


def _last_evaluations(results: dict[Path, Result]) -> dict[Path, Result]:
    """Return the results, folder → result, without the earlier evaluations of each training.

    Two results are compared if their folders lie side by side, and benchmark and seed are equal. If both are of one
    training, the result with fewer steps is left out. They are of one training if their recipes (digests of the
    configuration) and first evaluations are equal. They are also if the longer history begins with all evaluations of
    the shorter one, at least one of them after step 0: a training resumed with another length has another recipe.
    """
    # benchmark and seed in a folder → largest step, length of the history, and place of each result
    side_by_side: dict[tuple[object, ...], list[tuple[int, int, Path]]] = {}
    training_of: dict[Path, tuple[str, str]] = {}  # place of a result → recipe and first evaluation
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
