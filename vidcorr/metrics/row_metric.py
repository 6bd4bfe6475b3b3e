"""Base of the torchmetrics classes: rows of sequences, gathered over ranks bit for bit."""

from __future__ import annotations

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
    row_shape: tuple[int, ...] = (-1,)
    """Shape in which `stored` and `table` give a row; −1 is any size."""
    names: list[Tensor]
    numbers: list[Tensor]
    sizes: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("names", "numbers", "sizes"):
            self.add_state(state, default=[], dist_reduce_fx="cat")
        self._unnamed = 0  # sequences without a name

    def add_row(self, name: str | None, numbers: ArrayLike) -> None:
        """Append the row of a sequence; an array of numbers is flattened.

        Args:
            name: the sequence's name; None: `sequence-0001` and so on, which repeat over ranks, where `table` refuses
                them.
            numbers: the numbers of the row.
        """
        if name is None:
            self._unnamed += 1
            name = f"sequence-{self._unnamed:04d}"
        of_name = list(name.encode())
        of_row = np.asarray(numbers, np.float64).flatten()
        self.names.append(torch.tensor(of_name, dtype=torch.uint8, device=self.device))
        self.numbers.append(torch.from_numpy(of_row).to(self.device))
        self.sizes.append(torch.tensor([[len(of_name), len(of_row)]], device=self.device))

    def scores(self, table: Table) -> dict[str, float]:
        """Return the scores of sequences, as fractions; NaN for a score without values. A subclass defines it."""
        raise NotImplementedError

    def stored(self) -> list[tuple[str, NDArray[np.float64]]]:
        """Return names and rows, sorted by name: this rank's, or inside `sync_context()` those of all ranks."""
        if not len(self.sizes):
            return []
        sizes = dim_zero_cat(self.sizes).tolist()
        names = dim_zero_cat(self.names).cpu().split([of_name for of_name, _ in sizes])
        numbers = dim_zero_cat(self.numbers).cpu().split([of_row for _, of_row in sizes])
        rows: list[tuple[str, NDArray[np.float64]]] = []
        for name, row in zip(names, numbers, strict=True):
            rows.append((bytes(name.tolist()).decode(), row.numpy().reshape(self.row_shape)))
        return sorted(rows, key=itemgetter(0))

    def table(self) -> Table:
        """Return the rows by name, sorted.

        Raises:
            ValueError: if a name came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        stored = self.stored()
        for (name, _), (other, _) in pairwise(stored):
            if name == other:
                raise ValueError(f"scored more than once: {name}; name each sequence, and reset() between runs")
        return dict(stored)

    def compute(self) -> dict[str, float]:
        """Return the scores of all sequences, as fractions; NaN for a score without values."""
        return self.scores(self.table())

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of scores per sequence, for a CSV."""
        return [{"Sequence": name, **self.scores({name: row})} for name, row in self.table().items()]

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
