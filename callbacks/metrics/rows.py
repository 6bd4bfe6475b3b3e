"""Rows of sequences, from which a metric computes its scores."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

RowValues = dict[str, Any]
"""Column → value."""


class SequenceRows(ABC):
    """Keep a row for each sequence and give them back sorted by name, whatever rank they came from.

    Scores therefore do not depend, to the last digit, on how the sequences were distributed. A subclass adds rows in
    `update` and computes `scores` of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # of `RowMetric`, torchmetrics' options
        self._unnamed = 0  # sequences without a name; `forward` of torchmetrics resets its states and counts
        self._kept: list[tuple[str, Any]] = []

    @contextmanager
    def named(self, name: str | None) -> Iterator[str]:
        """Give the name of the sequence that is being added, and let an error of the block begin with it.

        A sequence without a name has its number, `sequence-0001`. Numbers repeat over ranks, which `table` then
        refuses: name the sequences there.
        """
        if not name:
            self._unnamed += 1
            name = f"sequence-{self._unnamed:04d}"
        try:
            yield name
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def add_row(self, name: str, row: Any) -> None:
        """Append the row of a sequence."""
        self._kept.append((name, row))

    def gather(self, from_ranks: Callable[[list[Any]], list[list[Any]]]) -> None:
        """Take the rows of all ranks in place of this rank's.

        Args:
            from_ranks: gives the argument of every rank to every rank, see `Ranks.gather`.
        """
        self._kept = [row for of_rank in from_ranks(self._kept) for row in of_rank]

    def stored(self) -> list[tuple[str, Any]]:
        """Return name and row of each, sorted by name."""
        return self.by_name(self._kept)

    @staticmethod
    def by_name(rows: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return rows in the order of their names."""
        return sorted(rows, key=itemgetter(0))

    def table(self) -> dict[str, Any]:
        """Return the rows by name, sorted.

        Raises:
            ValueError: if a name came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        stored = self.stored()
        if twice := [name for name, count in Counter(name for name, _ in stored).items() if count > 1]:
            raise ValueError(
                f"scored more than once: {', '.join(twice[:5])}; name= each sequence, reset() between runs"
            )
        return dict(stored)

    @abstractmethod
    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return the scores of sequences, whose rows are given by name."""

    def compute(self) -> dict[str, float]:
        """Return the scores of all sequences, as fractions; NaN where nothing was scored."""
        return self.scores(self.table())

    def values(self) -> Iterator[tuple[str, str, RowValues]]:
        """Yield video, object (empty where a row is a video's) and the scores of each row."""
        for name, row in self.table().items():
            yield name, "", self.scores({name: row})

    def rows(self) -> list[RowValues]:
        """Return the scores of each sequence, for a CSV."""
        return [{"Sequence": "_".join(filter(None, (video, part))), **values} for video, part, values in self.values()]
