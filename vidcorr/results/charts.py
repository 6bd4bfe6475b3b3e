"""Charts over all sequences of a result, from the counts of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..datasets.jhmdb import JOINTS
from ..metrics.box_tracking import ERRORS, OVERLAPS, mean_curves
from ..metrics.keypoints import pck_of_joints
from ..metrics.point_tracking import PIXEL_THRESHOLDS
from .checked import Json
from .pictures.animations import Curve, plain_curves
from .result import Row

JOINT_THRESHOLDS = (0.1, 0.2)
"""Thresholds in the chart of joints, the first ones of the metric."""


@dataclass(frozen=True)
class Chart:
    """Curves or bars over one axis.

    Attributes:
        title: title of the chart.
        x: name of the x axis, or of the bars.
        y: name of the measure, a fraction shown in per cent.
        curves: name → curve; the x of a bar is the index of its label.
        labels: labels of the bars.
        kind: "lines" or "bars".
        span: range of the y axis; None fits the range to the values.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Curve]
    labels: Sequence[str] = ()
    kind: Literal["lines", "bars"] = "lines"
    span: tuple[float, float] | None = (0.0, 1.0)

    def plain(self) -> Json:
        """Return the chart as JSON."""
        return asdict(self) | {"curves": plain_curves(self.curves)}


def charts_of(rows: Sequence[Row]) -> list[Chart]:
    """Return the charts of rows with counts of boxes (`curves`), joints (`joints`) or points (`over_time`)."""
    charts: list[Chart] = []
    for name, chart in (("curves", _of_boxes), ("joints", _of_joints), ("over_time", _of_points)):
        counts = [row.counts[name] for row in rows if name in row.counts]
        if counts:
            charts += chart(counts)
    return charts


def _of_boxes(counts: Sequence[Any]) -> list[Chart]:
    """Return OTB's curves of success and precision."""
    success, precision = mean_curves(counts)
    overlaps = OVERLAPS.tolist()
    errors = ERRORS.tolist()
    return [
        Chart("Success", "overlap threshold", "success rate", {"success": (overlaps, success.tolist())}),
        Chart("Precision", "location error (px)", "precision", {"precision": (errors, precision.tolist())}),
    ]


def _of_joints(counts: Sequence[Any]) -> list[Chart]:
    """Return PCK by joint of JHMDB."""
    bars: dict[str, Curve] = {}
    for threshold, fractions in zip(JOINT_THRESHOLDS, pck_of_joints(counts).tolist(), strict=False):
        bars[f"PCK@{threshold:g}"] = range(len(JOINTS)), fractions
    return [Chart("Each joint", "joint", ", ".join(bars), bars, JOINTS, "bars")]


def _of_points(counts: Sequence[Any]) -> list[Chart]:
    """Return visible points within TAP-Vid's thresholds by frames from their query."""
    longest = max(len(count[0]) for count in counts)
    total = np.zeros((1 + len(PIXEL_THRESHOLDS), longest), np.int64)
    for count in counts:
        own = np.array(count, np.int64)
        total[:, : own.shape[1]] += own
    frames = np.flatnonzero(total[0])
    if not len(frames):
        return []
    curves: dict[str, Curve] = {}
    for threshold, within in zip(PIXEL_THRESHOLDS, total[1:], strict=True):
        curves[f"within {threshold} px"] = frames.tolist(), (within[frames] / total[0, frames]).tolist()
    return [Chart("Error over time", "frames from the query", "visible points", curves)]
