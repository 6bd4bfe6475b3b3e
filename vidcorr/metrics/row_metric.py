"""Base of the torchmetrics classes: rows of sequences, gathered over ranks bit for bit."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from typing import Any

import torch.distributed as dist
from torchmetrics import Metric


class RowMetric(Metric):
    """A torchmetrics.Metric over rows of sequences: a name, and what was measured.

    Rows are sorted by name whatever rank they come from, so scores do not depend on the distribution of sequences over
    ranks, to the last digit. Rows are gathered as pickles, over `process_group` or the default group.

    Args:
        measure: prediction and target, and further arguments of `update` → the row of a sequence.
        scores: rows of sequences → scores, as fractions; NaN for a score without values.
        kwargs: arguments of torchmetrics.Metric, for example `process_group` and `sync_on_compute`.
    """

    full_state_update = False
    higher_is_better = True
    row_of_frame = False
    """True: a row is of a frame, and has the name of the frame's sequence; False: each name has one row."""

    def __init__(
        self, measure: Callable[..., Any], scores: Callable[[Sequence[Any]], dict[str, float]], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.measure = measure
        self.scores = scores
        self._rows: list[tuple[str, Any]] = []  # name of a sequence, and its row
        self._unnamed = 0  # number of sequences without a given name

    def update(self, prediction: Any, target: Any, *, name: str | None = None, **options: Any) -> None:
        """Add the row of a sequence.

        Args:
            prediction: the prediction, as `measure` takes it.
            target: the annotation, as `measure` takes it.
            name: the sequence's name; None: `sequence-0001` and so on. With several ranks always give names: two ranks
                would both use `sequence-0001`, and `table` refuses a name that comes twice.
            options: further arguments of `measure`.

        Raises:
            ValueError: from `measure`, if the arguments do not fit.
        """
        if name is None:
            self._unnamed += 1
            name = f"sequence-{self._unnamed:04d}"
        self._rows += self.named_rows(name, self.measure(prediction, target, **options))

    def named_rows(self, name: str, measured: Any) -> list[tuple[str, Any]]:
        """Return (name, row) pairs of a sequence from what `measure` returns: by default a single row."""
        return [(name, measured)]

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Add the row of a sequence, with the arguments of `update`, and return the scores of this sequence alone."""
        before = len(self._rows)
        self.update(*args, **kwargs)
        return self.scores([row for _, row in self._rows[before:]])

    def reset(self) -> None:
        """Forget all rows."""
        super().reset()
        self._rows = []
        self._unnamed = 0

    def table(self) -> dict[str, list[Any]]:
        """Return name → rows, sorted by names: of this rank, or inside `sync_context()` of all ranks.

        Raises:
            ValueError: if a sequence came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        table: dict[str, list[Any]] = {}
        for name, row in sorted(self._rows, key=itemgetter(0)):
            if name in table and not self.row_of_frame:  # frames of a sequence share its name
                raise ValueError(f"scored more than once: {name}; name each sequence, and reset() between runs")
            table.setdefault(name, []).append(row)
        return table

    def compute(self) -> dict[str, float]:
        """Return the scores of all sequences, as fractions; NaN for a score without values."""
        return self.scores(list(chain.from_iterable(self.table().values())))

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of scores per sequence, for a CSV."""
        return [{"Sequence": name, **self.scores(rows)} for name, rows in self.table().items()]

    @contextmanager
    def sync_context(  # type: ignore[override]  # of the arguments of torchmetrics.Metric, the three that matter here
        self, process_group: Any = None, should_sync: bool = True, should_unsync: bool = True, **_: Any
    ) -> Generator[None]:
        """Hold the rows of all ranks during a block, which every rank must enter.

        Args:
            process_group: the ranks; None: the metric's own group.
            should_sync: gather the rows; False: the block has this rank's rows.
            should_unsync: hold this rank's rows again after the block.
        """
        of_this_rank = self._rows
        if should_sync and dist.is_available() and dist.is_initialized():
            group = process_group or self.process_group
            of_ranks: list[Any] = [None] * dist.get_world_size(group)
            dist.all_gather_object(of_ranks, of_this_rank, group=group)
            self._rows = list(chain.from_iterable(of_ranks))
        try:
            yield
        finally:
            if should_unsync:
                self._rows = of_this_rank
