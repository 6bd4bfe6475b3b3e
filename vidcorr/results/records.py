"""Scores of results as records, and the columns of comparable scores that they belong to.

Scores are comparable if benchmark, protocol, data and sequences agree. The feature stride and the input belong
to the network and are part of the row's name.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from ..videos.digests import text_digest
from .result import RESULTS_FILE, Result


class Column(NamedTuple):
    """Properties that comparable scores share.

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
    def setting(self) -> tuple[str, str]:
        """Protocol and conditions; comparable lines of a grid share them."""
        return self.by, self.conditions

    @property
    def about(self) -> str:
        """Protocol and conditions."""
        return ", ".join(filter(None, self.setting))

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
        about = f" ({self.about})" if self.about else ""
        return f"{self.benchmark} {self.score}{about}{', paper' if self.published else ''}"


@dataclass(frozen=True)
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
    def name(self) -> str:
        """Name of the row: the user's, else the network without its seed."""
        return self.row or self.result.network.row

    @property
    def weights(self) -> str:
        """Recipe of the training, which the seeds of a row share.

        Loaded weights of an unknown recipe share their seed alone, so that no other seed is of their row.
        """
        network = self.result.network
        if network.loaded and not network.recipe:
            return f"seed {network.seed}"
        return network.recipe

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
            conditions=", ".join(result.conditions),
            protocol=protocol.shared,
            names=text_digest(names, 8) if names else "",
            data=result.data_digest,
        )


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
    """Return column → the column with a title of its own, which has the digests that tell it from others."""
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


def results_below(folder: Path) -> dict[Path, Result]:
    """Read every results.json in or below a folder, hidden folders left out; return folder → result, sorted.

    Folders in one with a results.json are not entered: they hold its masks and pictures.

    Raises:
        ValueError: if a file is damaged.
    """
    found: dict[Path, Result] = {}
    for place, below, files in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".")]  # such as .ipynb_checkpoints
        if RESULTS_FILE in files:
            found[Path(place)] = Result.load(Path(place, RESULTS_FILE))
            below.clear()
    return dict(sorted(found.items()))


def named_results(text: str | Path) -> tuple[str, dict[Path, Result]]:
    """Read the results of `FOLDER` or `NAME=FOLDER`; return the name, or an empty text, and folder → result.

    FOLDER may be a pattern, `NAME=runs/seed-*`. Of a training, whose evaluations lie side by side, the last evaluation
    is returned.

    Raises:
        ValueError: if there is no such folder, a named folder holds no result, or a file is damaged.
    """
    name, equals, pattern = str(text).partition("=")
    if not equals or "/" in name:
        name, pattern = "", str(text)
    folders = [pattern] if Path(pattern).exists() else sorted(glob(pattern))  # a shell leaves NAME=PATTERN as it is
    if not folders:
        raise ValueError(f"{text}: there is no such folder")
    results: dict[Path, Result] = {}
    for folder in folders:
        results |= results_below(Path(folder))
    if name and not results:
        raise ValueError(f"{text}: no result in this folder")
    return name, _last_evaluations(results)


def _last_evaluations(results: dict[Path, Result]) -> dict[Path, Result]:
    """Return folder → result without the earlier evaluations of each training, whose folders lie side by side."""

    def step_of(place: Path) -> int:
        """Return the optimiser step of an evaluation."""
        return max(past.step for past in results[place].history)

    of_trainings = [place for place, result in results.items() if result.history]
    last: dict[tuple[Path, str], Path] = {}  # folder of the evaluations, benchmark → folder of the last
    for place in sorted(of_trainings, key=step_of):  # a later one replaces an earlier one
        last[place.parent, results[place].benchmark] = place
    kept = dict(results)
    for place in set(of_trainings).difference(last.values()):
        del kept[place]
    return kept


def refuse_repeated(records: Iterable[ScoreRecord], with_views: bool = True, is_folder: bool = False) -> None:
    """Refuse two results of a seed for the same column, and view, of a row that the user names.

    An unknown seed is only refused in results of one folder; folders that the user names one by one are its seeds.
    """
    places: dict[tuple[object, ...], Path] = {}
    for record in records:
        view = record.view if with_views else ""
        first = places.setdefault((record.row, view, record.column, record.seed), record.place)
        if record.row and first != record.place and (is_folder or record.seed is not None):
            of_seed = "" if record.seed is None else f" of seed {record.seed}"
            twice = f"two results{of_seed} of {record.column.benchmark}, {first} and {record.place}"
            raise ValueError(f"{record.row} has {twice}; name one of them, or give each a row")
