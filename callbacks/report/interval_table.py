"""The table of intervals and paired tests of a report: this run, and the runs beside it."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..metrics.intervals import Difference
from ..metrics.uncertainty import rows_difference, score_intervals
from ..stored_results import Json, protocols_of, read_results, read_rows
from .run import ReportedRun

NOTE = (
    "95 % intervals by bootstrap over sequences, the objects of one together; differences are this run minus the "
    "other, paired by sequence, p by sign flips. Runs under another protocol are not tested."
)


def uncertainty_table(run: ReportedRun, beside: Sequence[Path] = ()) -> str:
    """Return the table as HTML; empty where no score is the mean of rows per sequence.

    Args:
        run: the run of the report.
        beside: folders of runs to test against, beside the other rows of a `vidcorr compare`.
    """
    sequences = run.material["sequences"]
    intervals = score_intervals(run.results["scores"], run.rows, sequences)
    if not intervals:
        return ""
    keys = list(intervals)[:3]
    head = "".join(f"<th>{escape(key)}</th>" for key in ("", *keys))
    own = "".join(f"<td>[{100 * low:.1f}, {100 * high:.1f}]</td>" for low, high in (intervals[key] for key in keys))
    body = [f'<tr class="this"><td>this run</td>{own}</tr>']
    for folder in dict.fromkeys((*_compared(run), *map(Path, beside))):
        body.append(_row(run, folder, keys, sequences))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{table}</div><p class="note">{NOTE}</p>'


def _row(run: ReportedRun, folder: Path, keys: Iterable[str], sequences: Sequence[str]) -> str:
    folder = folder.parent if folder.name == "results.json" else folder
    other = read_results(folder / "results.json")
    name = str(other.get("network") or folder.resolve().name)
    if _digests(other) != _digests(run.results):
        cells = "".join("<td>another protocol</td>" for _ in keys)
    else:
        rows = read_rows(folder / "per_sequence.csv")
        cells = "".join(f"<td>{_shown(rows_difference(run.rows, rows, key, sequences))}</td>" for key in keys)
    return f'<tr class="ours"><td>{escape(name)}</td>{cells}</tr>'


def _digests(results: Json) -> list[str]:
    return [str(protocol["digest"]) for protocol in protocols_of(results)]


def _compared(run: ReportedRun) -> list[Path]:
    """Return the folders of the other rows of a `vidcorr compare` that this run is a row of."""
    above = run.folder.resolve().parent.parent
    if not (above / "compare.json").is_file():
        return []
    found = (file.parent for file in above.glob("*/*/results.json") if file.parent.name == run.folder.resolve().name)
    return sorted(folder for folder in found if folder != run.folder.resolve())


def _shown(difference: Difference | None) -> str:
    return "other sequences" if difference is None else difference.in_points
