"""A torchmetrics base whose state is one row per sequence, gathered over ranks bit for bit."""

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class RowMetric(Metric):
    """Keep a row for each sequence and give them back sorted by name, whatever rank they came from.

    Scores therefore do not depend, to the last digit, on how the sequences were distributed. A subclass adds rows in
    `update` and computes `scores` of them. Rows live on the CPU unless the metric is moved, so with NCCL as the default
    backend pass a gloo group: `RegionBoundary(process_group=torch.distributed.new_group(backend="gloo"))`.

    Args:
        kwargs: those of torchmetrics.Metric, among them `process_group` and `sync_on_compute`.
    """

    full_state_update = False
    higher_is_better = True
    lines: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unnamed = 0  # sequences without a name; `forward` resets the states and the count of updates
        # torchmetrics gathers tensors only: a row is a line of JSON, which keeps each digit of a float, as bytes
        self.add_state("lines", default=[], dist_reduce_fx="cat")

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
        """Append the row of a sequence: numbers, or lists or dictionaries of them."""
        line = json.dumps([name, row]) + "\n"
        self.lines.append(torch.frombuffer(bytearray(line.encode()), dtype=torch.uint8).to(self.device))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks; for a rank without rows torchmetrics alone would send float32."""
        if isinstance(self.lines, list):  # a tensor once it is gathered
            self.lines.append(torch.zeros(0, dtype=torch.uint8, device=self.device))
        super().sync(*args, **kwargs)

    def stored(self) -> list[tuple[str, Any]]:
        """Return name and row of each, sorted by name; inside `sync_context()` those of all ranks."""
        content = dim_zero_cat(self.lines).cpu().numpy().tobytes() if len(self.lines) else b""
        return sorted(map(json.loads, content.splitlines()), key=itemgetter(0))

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

    def rows(self) -> list[dict[str, Any]]:
        """Return the scores of each sequence, for a CSV: of this rank, inside `sync_context()` of all ranks."""
        return [{"Sequence": name, **self.scores({name: row})} for name, row in self.table().items()]
