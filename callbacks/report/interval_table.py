"""The table of intervals and paired tests of a report: this run, and the runs compared with it."""

from collections.abc import Iterable, Sequence
from html import escape

from ..metrics.uncertainty import rows_difference, score_intervals
from .run import ReportedRun, read_beside, same_protocols

TABLE_NOTE = (
    "95 % intervals by bootstrap over sequences, the objects of one together; differences are this run minus the "
    "other, paired by sequence, p by sign flips. Runs under another protocol are not tested."
)


def uncertainty_table(run: ReportedRun, beside: Sequence[ReportedRun] = ()) -> str:
    """Return the table as HTML; empty where no score is the mean of rows per sequence.

    Args:
        run: the run of the report.
        beside: runs to test against, in addition to the other rows of a `vidcorr compare`.
    """
    intervals = score_intervals(run.results["scores"], run.rows, run.material["sequences"])
    if not intervals:
        return ""
    keys = list(intervals)[:3]
    head = "".join(f"<th>{escape(key)}</th>" for key in ("", *keys))
    own = "".join(f"<td>[{100 * low:.1f}, {100 * high:.1f}]</td>" for low, high in (intervals[key] for key in keys))
    body = [f'<tr class="this"><td>this run</td>{own}</tr>']
    others = {other.folder.resolve(): other for other in (*_compared(run), *beside)}
    body += [_row(run, other, keys) for other in others.values()]
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{table}</div><p class="note">{TABLE_NOTE}</p>'


def _row(run: ReportedRun, other: ReportedRun, keys: Iterable[str]) -> str:
    name = str(other.results.get("network") or other.folder.resolve().name)
    cells = ["another protocol" for _ in keys]
    if same_protocols(other, run):
        found = [rows_difference(run.rows, other.rows, key, run.material["sequences"]) for key in keys]
        cells = ["other sequences" if each is None else each.in_points for each in found]
    return f'<tr class="ours"><td>{escape(name)}</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _compared(run: ReportedRun) -> list[ReportedRun]:
    """Return the other rows of a `vidcorr compare` that this run is a row of."""
    own = run.folder.resolve()
    above = own.parent.parent
    files = sorted(above.glob(f"*/{own.name}/results.json")) if (above / "compare.json").is_file() else []
    return [read_beside(run, file) for file in files if file.parent != own]
