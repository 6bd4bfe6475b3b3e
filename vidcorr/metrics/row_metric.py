"""Base of the torchmetrics classes: rows of sequences, gathered over ranks bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from operator import itemgetter
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

Table = dict[str, NDArray[np.float64]]
"""Name of a sequence → the numbers of its row."""


class RowMetric(Metric):
    """A torchmetrics.Metric over rows of sequences, each a name and its numbers.

    Rows are sorted by name whatever rank they come from, so scores do not depend on the distribution of sequences over
    ranks, to the last digit. A subclass adds rows in `update` and computes `scores` from them.

    Rows live on the CPU unless the metric is moved, so with NCCL as the default backend pass a gloo group:
    `RegionBoundary(process_group=torch.distributed.new_group(backend="gloo"))`.

    Args:
        kwargs: arguments of torchmetrics.Metric, for example `process_group` and `sync_on_compute`.

    Attributes:
        names: bytes of the rows' names, uint8.
        numbers: the rows' numbers, float64.
        sizes: (n, 2) int64: bytes of the name and count of the numbers, row by row.
    """

    full_state_update = False
    higher_is_better = True
    names: list[Tensor]
    numbers: list[Tensor]
    sizes: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("names", default=[], dist_reduce_fx="cat")
        self.add_state("numbers", default=[], dist_reduce_fx="cat")
        self.add_state("sizes", default=[], dist_reduce_fx="cat")
        self._unnamed = 0  # sequences without a name
        self._in_forward = False

    # For subclasses

    @contextmanager
    def named(self, name: str | None) -> Iterator[str]:
        """Yield the name of a sequence, by default `sequence-0001` and so on, and prefix errors of the block with it.

        Default names repeat over ranks, and `table` refuses them: name the sequences of several ranks.
        """
        is_unnamed = not name
        chosen = name or f"sequence-{self._unnamed + 1:04d}"
        try:
            yield chosen
        except ValueError as error:
            raise ValueError(f"{chosen}: {error}") from error
        self._unnamed += is_unnamed  # a refused sequence keeps the count

    def add_row(self, name: str, numbers: ArrayLike) -> None:
        """Append the row of a sequence; an array of numbers is flattened."""
        of_name = np.frombuffer(name.encode(), np.uint8).copy()
        of_row = np.array(numbers, np.float64).ravel()
        sizes = np.array([[of_name.size, of_row.size]], np.int64)
        self.names.append(torch.from_numpy(of_name).to(self.device))
        self.numbers.append(torch.from_numpy(of_row).to(self.device))
        self.sizes.append(torch.from_numpy(sizes).to(self.device))

    def scores(self, table: Table) -> dict[str, float]:
        """Return the scores of sequences, as fractions; NaN for a score without values. A subclass defines it."""
        raise NotImplementedError

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape in which `stored` and `table` give a row; −1 is any size."""
        return (-1,)

    # Use

    def stored(self) -> list[tuple[str, NDArray[np.float64]]]:
        """Return names and rows, sorted by name: this rank's, or inside `sync_context()` those of all ranks."""
        if not len(self.sizes):
            return []
        sizes = dim_zero_cat(self.sizes).cpu().numpy()
        names = dim_zero_cat(self.names).cpu().numpy()
        numbers = dim_zero_cat(self.numbers).cpu().numpy()
        ends = np.concatenate([np.zeros((1, 2), np.int64), sizes.cumsum(axis=0)])
        rows: list[tuple[str, NDArray[np.float64]]] = []
        for (name_start, row_start), (name_end, row_end) in pairwise(ends):
            name = names[name_start:name_end].tobytes().decode()
            rows.append((name, numbers[row_start:row_end].reshape(self.row_shape)))
        return sorted(rows, key=itemgetter(0))

    def table(self) -> Table:
        """Return the rows by name, sorted.

        Raises:
            ValueError: if a name came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        stored = self.stored()
        counts = Counter(name for name, _ in stored)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(
                f"scored more than once: {', '.join(twice[:5])}; give each sequence its name, and reset() between runs"
            )
        return dict(stored)

    def compute(self) -> dict[str, float]:
        """Return the scores of all sequences, as fractions; NaN for a score without values."""
        return self.scores(self.table())

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of scores per sequence, for a CSV."""
        return [{"Sequence": name, **self.scores({name: row})} for name, row in self.table().items()]

    # States

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a sequence and return its scores; torchmetrics resets the states for it and restores them."""
        self._in_forward = True
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._in_forward = False

    def reset(self) -> None:
        """Forget all rows; default names begin again at `sequence-0001`."""
        super().reset()
        if not self._in_forward:
            self._unnamed = 0

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks; for a rank without rows torchmetrics alone would send float32."""
        if isinstance(self.sizes, list):  # a tensor once it is gathered
            self.names.append(torch.zeros(0, dtype=torch.uint8, device=self.device))
            self.numbers.append(torch.zeros(0, dtype=torch.float64, device=self.device))
            self.sizes.append(torch.zeros(0, 2, dtype=torch.int64, device=self.device))
        super().sync(*args, **kwargs)

    def set_dtype(self, dst_type: str | torch.dtype) -> Self:
        """Do nothing: names are bytes, and rows keep all digits in float64."""
        return self
