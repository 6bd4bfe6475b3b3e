"""A torchmetrics base whose state is one row of numbers per name, gathered over ranks bit for bit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

NAME_BYTES = 256
"""Bytes of a stored name: those of a sequence's, 200 at most, and what a metric appends."""


@contextmanager
def named(sequence: str) -> Iterator[None]:
    """Let an error of a block begin with the name of the sequence that is being scored."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{sequence}: {error}") from error


class RowMetric(Metric):
    """Keep rows `(name, values)` and give them back sorted by name, whatever rank they came from.

    Averages taken over `table()` therefore do not depend, to the last digit, on how the sequences were distributed.
    Ranks without a row take part in the gather with an empty table. Rows live on the CPU unless the metric is moved,
    so with NCCL as the default backend pass a gloo group:
    `RegionBoundary(process_group=torch.distributed.new_group(backend="gloo"))`.

    Args:
        width: numbers in a row.
        kwargs: those of torchmetrics.Metric, among them `process_group` and `sync_on_compute`.
    """

    full_state_update = False
    columns: Sequence[str] = ()
    """Names of the values of a row, where these are scores."""
    names: list[Tensor]
    values: list[Tensor]

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self._unnamed = 0  # sequences without a name; `forward` resets the states and the count of updates
        self.add_state("names", default=[], dist_reduce_fx="cat")
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def add_row(self, name: str, values: Sequence[float]) -> None:
        """Append one row; the name must be unique over all ranks, at most 256 bytes of UTF-8 and without NUL."""
        code = name.encode()
        if not code or len(code) > NAME_BYTES or 0 in code:
            raise ValueError(f"a row needs a name of 1 to {NAME_BYTES} bytes without NUL, got {name!r}")
        if len(values) != self.width:
            raise ValueError(f"{name}: a row needs {self.width} values, got {len(values)}")
        padded = torch.zeros(1, NAME_BYTES, dtype=torch.uint8, device=self.device)
        padded[0, : len(code)] = torch.tensor(list(code), dtype=torch.uint8)
        self.names.append(padded)
        self.values.append(torch.tensor([list(values)], dtype=torch.float64, device=self.device))

    def scores_of(self, row: Tensor) -> dict[str, float]:
        """Return the scores of the values (width,) of a row: by default the values, under the names of `columns`."""
        return dict(zip(self.columns, row.tolist(), strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per row of this rank, for a CSV; those of all ranks inside `sync_context()`."""
        return [{"Sequence": name, **self.scores_of(row)} for name, row in self.table().items()]

    def name_or_number(self, name: str | None) -> str:
        """Return the name of the sequence that is being added; where it has none, its number, `sequence-0001`.

        Numbers repeat over ranks, which `table` then refuses: name the sequences there.
        """
        if name:
            return name
        self._unnamed += 1
        return f"sequence-{self._unnamed:04d}"

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks; torchmetrics alone would send a one-dimensional float32 for a rank without rows."""
        if isinstance(self.names, list) and not self.names:  # a tensor once it is gathered
            self.names.append(torch.zeros(0, NAME_BYTES, dtype=torch.uint8, device=self.device))
            self.values.append(torch.zeros(0, self.width, dtype=torch.float64, device=self.device))
        super().sync(*args, **kwargs)

    def stored_names(self) -> list[str]:
        """Return the names of the rows, in the order of the rows."""
        return [bytes(code.tolist()).rstrip(b"\0").decode() for code in dim_zero_cat(self.names).cpu()]

    def total(self) -> Tensor:
        """Return the sum of all rows, (width,) float64, added up in the order of `table`."""
        return sum(self.table().values(), torch.zeros(self.width, dtype=torch.float64))

    def table(self) -> dict[str, Tensor]:
        """Return rows by name, sorted; the values are (width,) float64 on the CPU.

        Inside `compute` the rows of all ranks, outside it those of this rank.

        Raises:
            ValueError: if a name came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        if not len(self.names):
            return {}
        names = self.stored_names()
        values = dim_zero_cat(self.values).cpu()
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(
                f"scored more than once: {', '.join(twice[:5])}; name= each sequence, reset() between runs"
            )
        return {names[i]: values[i] for i in sorted(range(len(names)), key=names.__getitem__)}
