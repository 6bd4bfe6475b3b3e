"""Joints of animals on BADJA, tracked by the features of an extractor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.datasets import Badja, PointSequence

from .tap_vid import TapVidBenchmark


class BadjaBenchmark(TapVidBenchmark):
    """Track the joints of BADJA's animals without training, and score them by PCK and TAP-Vid's metrics.

    Logs, as fractions, `badja/PCK@0.2` where the masks are at hand: joints within 0.2 times the square root of the
    animal's area (see `area_counts`); and what `TapVidBenchmark` logs: `badja/average_pts_within_thresh`, … Each
    joint is followed from the first frame in which it is visible. Files as for `TapVidBenchmark`.

    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018).

    Args:
        root: BADJA's folder, or BADJA in a layout of TAP-Vid, see `Badja`.
        masks: folder of the animals' masks where the root does not name them, see `Badja`; None: δ alone.
        kwargs: those of `TapVidBenchmark`: protocol, changes, predictions; and of `BenchmarkCallback`.

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    name = "badja"
    score_names = ("PCK@0.2", *TapVidBenchmark.score_names)

    def __init__(self, root: str | Path, masks: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.masks = masks

    def read(self) -> Sequence[PointSequence]:
        """Open the data set; see `BenchmarkCallback`."""
        return Badja(self.root, self.masks)
