"""Base of the torchmetrics classes: rows of sequences, gathered over ranks bit for bit."""

from __future__ import annotations

from abc import abstractmethod
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
        packed: the rows, float64: the number of bytes of the name, the number of numbers, the bytes, the numbers.
    """

    full_state_update = False
    higher_is_better = True
    row_shape: tuple[int, ...] = (-1,)
    """Shape in which `stored` and `table` give a row; −1 is any size."""
    packed: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("packed", default=[], dist_reduce_fx="cat")
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
        row = np.concatenate([[len(of_name), len(of_row)], of_name, of_row])
        self.packed.append(torch.from_numpy(row).to(self.device))

    @abstractmethod
    def scores(self, table: Table) -> dict[str, float]:
        """Return the scores of sequences, as fractions; NaN for a score without values."""

    def stored(self) -> list[tuple[str, NDArray[np.float64]]]:
        """Return names and rows, sorted by name: this rank's, or inside `sync_context()` those of all ranks."""
        rows: list[tuple[str, NDArray[np.float64]]] = []
        left = dim_zero_cat(self.packed).cpu().numpy() if len(self.packed) else np.empty(0)
        while len(left):
            of_name, of_row = left[:2].astype(int).tolist()
            name, row, left = np.split(left[2:], [of_name, of_name + of_row])
            rows.append((bytes(name.astype(np.uint8)).decode(), row.reshape(self.row_shape)))
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
        if isinstance(self.packed, list):  # a tensor once it is gathered
            self.packed.append(torch.zeros(0, dtype=torch.float64, device=self.device))
        super().sync(*args, **kwargs)

    def set_dtype(self, dst_type: str | torch.dtype) -> Self:
        """Do nothing: names are bytes, and rows keep all digits in float64."""
        return self
