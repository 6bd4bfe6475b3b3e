"""Rows of sequences, from which a metric computes its scores."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, TypeVar

KeyT = TypeVar("KeyT")
RowT = TypeVar("RowT")
RowValues = dict[str, Any]
"""Column → value."""


class SequenceRows(ABC):
    """Rows of sequences, sorted by name whatever rank they come from.

    Scores therefore do not depend on the distribution of sequences over ranks, to the last digit. A subclass adds rows
    in `update` and computes `scores` from rows.

    Attributes:
        pooled: the scores are no means over the rows, but ratios of sums, or means over groups of rows.
    """

    pooled: bool = False

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # of `RowMetric`, torchmetrics' options
        self._unnamed = 0  # sequences without a name; `forward` of torchmetrics resets its states and counts
        self._kept: list[tuple[str, Any]] = []

    @contextmanager
    def named(self, name: str | None) -> Iterator[str]:
        """Yield the name of a sequence, by default `sequence-0001` and so on, and prefix errors of the block with it.

        Default names repeat over ranks, and `table` refuses them: name the sequences of several ranks.
        """
        if not name:
            self._unnamed += 1
            name = f"sequence-{self._unnamed:04d}"
        try:
            yield name
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def add_row(self, name: str, row: object) -> None:
        """Append the row of a sequence."""
        self._kept.append((name, row))

    def gather(self, from_ranks: Callable[[list[Any]], list[list[Any]]]) -> None:
        """Take the rows of all ranks in place of this rank's.

        Args:
            from_ranks: this rank's rows → the rows of all ranks, see `Ranks.gather`.
        """
        self._kept = [row for of_rank in from_ranks(self._kept) for row in of_rank]

    def stored(self) -> list[tuple[str, Any]]:
        """Return names and rows, sorted by name."""
        return sorted(self._kept, key=itemgetter(0))

    def table(self) -> dict[str, Any]:
        """Return the rows by name, sorted.

        Raises:
            ValueError: if a name came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        stored = self.stored()
        if twice := [name for name, count in Counter(name for name, _ in stored).items() if count > 1]:
            raise ValueError(
                f"scored more than once: {', '.join(twice[:5])}; give each sequence its name, and reset() between runs"
            )
        return dict(stored)

    @abstractmethod
    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return the scores of sequences, from name → row."""

    def compute(self) -> dict[str, float]:
        """Return the scores of all sequences, as fractions; NaN for a score without values."""
        return self.scores(self.table())

    def values(self) -> Iterator[tuple[str, str, RowValues]]:
        """Yield video, object (empty for a row of a whole video) and scores, row by row."""
        for name, row in self.table().items():
            yield name, "", self.scores({name: row})

    def without(self) -> dict[str, dict[str, float]]:
        """Return score → sequence → score of all the others, for a jackknife; empty unless `pooled`."""
        return leave_one_out(self.table(), str, self.scores) if self.pooled else {}

    def rows(self) -> list[RowValues]:
        """Return a line of scores per row, for a CSV."""
        return [{"Sequence": "_".join(filter(None, (video, part))), **values} for video, part, values in self.values()]


def leave_one_out(
    rows: Mapping[KeyT, RowT],
    sequence_of: Callable[[KeyT], str],
    scores: Callable[[dict[KeyT, RowT]], Mapping[str, float]],
) -> dict[str, dict[str, float]]:
    """Return score → sequence → score of all the other sequences.

    Args:
        rows: rows by any key.
        sequence_of: key of a row → its sequence.
        scores: computes the scores of some rows.
    """
    found: dict[str, dict[str, float]] = {}
    for left_out in dict.fromkeys(map(sequence_of, rows)):
        if others := {key: row for key, row in rows.items() if sequence_of(key) != left_out}:
            for name, score in scores(others).items():
                found.setdefault(name, {})[left_out] = score
    return found
