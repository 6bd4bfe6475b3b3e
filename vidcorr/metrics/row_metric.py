"""Base of the torchmetrics classes: rows of sequences as a state, gathered over ranks bit for bit."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMetric(Metric):
    """A torchmetrics.Metric over rows of sequences: a name, and what was measured.

    Rows are sorted by name whatever rank they come from, so scores do not depend on the distribution of sequences over
    ranks, to the last digit. The state is a list of records, each the bytes of a line of JSON, whose numbers are exact.

    Args:
        measure: prediction and target, and further arguments of `update` → the row of a sequence.
        scores: rows of sequences → scores, as fractions; NaN for a score without values.
        score: the one score that `compute` returns, for `self.log` and for torchmetrics' wrappers; None: all.
        kwargs: arguments of torchmetrics.Metric, for example `process_group` and `sync_on_compute`.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    adds_frames = False
    """True: a row is of a frame, and has the name of the frame's sequence; False: each name has one row."""
    records: list[Tensor]

    def __init__(
        self,
        measure: Callable[..., Any],
        scores: Callable[[Sequence[Any]], Mapping[str, float]],
        score: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        known = scores([])
        if score is not None and score not in known:
            raise ValueError(f"score must be one of {', '.join(known)}, got {score!r}")
        self.measure = measure
        self.scores = scores
        self.score = score
        self.add_state("records", default=[], dist_reduce_fx="cat")

    def update(self, prediction: object, target: object, *, name: str | None = None, **options: object) -> None:
        """Add the row of a sequence.

        Args:
            prediction: the prediction, as `measure` takes it.
            target: the annotation, as `measure` takes it.
            name: the sequence's name; sequences without one are numbered.
            options: further arguments of `measure`.
        """
        # arguments of `measure` belong to a record, so that MetricCollection never takes one metric's for another's
        settings = self.measure.keywords if isinstance(self.measure, partial) else {}
        record = [name, settings, self.measure(prediction, target, **options)]
        line = json.dumps(record, default=lambda value: value.tolist()) + "\n"
        self.records.append(torch.frombuffer(bytearray(line.encode()), dtype=torch.uint8).to(self.device))

    def named_rows(self, name: str, measured: Any) -> list[tuple[str, Any]]:
        """Return (name, row) pairs of a sequence from what `measure` returned: by default a single row."""
        return [(name, measured)]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the rows of all ranks, also of a rank without a sequence."""
        self.records.append(torch.empty(0, dtype=torch.uint8, device=self.device))
        super().sync(*args, **kwargs)

    def table(self) -> dict[str, list[Any]]:
        """Return name → rows, sorted by names: of this rank, or inside `sync_context()` of all ranks.

        Raises:
            ValueError: if a sequence came twice, as it does when a sampler pads the ranks with repeated sequences.
        """
        # gathered: a single tensor
        records = [self.records] if isinstance(self.records, Tensor) else self.records
        lines = b"".join(record.cpu().numpy().tobytes() for record in records).splitlines()
        rows: list[tuple[str, Any]] = []
        unnamed = 0
        for name, _, measured in map(json.loads, lines):
            if name is None:
                unnamed += 1
                name = f"sequence-{unnamed:04d}"
            rows += self.named_rows(name, measured)
        table: dict[str, list[Any]] = {}
        for name, row in sorted(rows, key=lambda named: named[0]):
            if name in table and not self.adds_frames:
                raise ValueError(f"scored more than once: {name}; name each sequence, and reset() between runs")
            table.setdefault(name, []).append(row)
        return table

    def compute(self) -> dict[str, Tensor] | Tensor:
        """Return the scores of all sequences, float64 fractions, or the one `score`; NaN for a score without values."""
        scores = self.scores(list(chain.from_iterable(self.table().values())))
        tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in scores.items()}
        return tensors if self.score is None else tensors[self.score]

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of scores per sequence, for a CSV."""
        return [{"Sequence": name, **self.scores(rows)} for name, rows in self.table().items()]

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw `val`, a value of `compute` or a list of them; as torchmetrics' metrics do, with matplotlib."""
        return self._plot(val, ax)
