"""The rows of intervals and paired tests of a report: this run, and the runs compared with it."""

from collections.abc import Sequence
from typing import NamedTuple

from ..statistics.uncertainty import rows_difference, score_intervals
from .run import ReportedRun, same_protocols


class Uncertainty(NamedTuple):
    """The table of intervals: scores, and rows of kind ("this", "ours"), name and a cell for each score."""

    columns: list[str]
    rows: list[tuple[str, str, list[str]]]


def uncertainty_of(run: ReportedRun, beside: Sequence[ReportedRun] = ()) -> Uncertainty | None:
    """Return the table; None where no score is the mean of rows per sequence.

    Args:
        run: the run of the report.
        beside: runs to test against.
    """
    intervals = score_intervals(run.results["scores"], run.rows, run.material["sequences"])
    if not intervals:
        return None
    columns = list(intervals)[:3]
    own = [f"[{100 * low:.1f}, {100 * high:.1f}]" for low, high in map(intervals.__getitem__, columns)]
    rows = [("this", "this run", own)]
    for other in {other.folder.resolve(): other for other in beside}.values():
        cells = ["another protocol"] * len(columns)
        if same_protocols(other, run):
            found = [rows_difference(run.rows, other.rows, key, run.material["sequences"]) for key in columns]
            cells = ["other sequences" if each is None else each.in_points for each in found]
        rows.append(("ours", str(other.results.get("network") or other.folder.resolve().name), cells))
    return Uncertainty(columns, rows)
