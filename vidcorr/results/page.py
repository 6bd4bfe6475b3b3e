"""Self-contained page: report.html of a result and the animations in its folder.

This module collects scores and animations in a JSON, and the script in page.html draws it.
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from math import isnan
from pathlib import Path
from statistics import fmean

from ..metrics.box_tracking import ERRORS, OVERLAPS, mean_curves
from ..videos.files import write_atomically
from .checked import Json, plain
from .formats import bracketed
from .pictures.animations import TRUTH_SUFFIX
from .published import published_beside
from .result import MEANS_OF, Result, Row
from .statistics import FEWEST_SEQUENCES, HOW

AT_EACH_END = 3
"""Number of worst, and of best, sequences with animations in the page."""


def write_report(folder: str | Path, result: Result | None = None) -> Path:
    """Write report.html into the folder of a result.

    The table of scores includes earlier epochs of the training, and published scores if the result covers the whole
    test set.

    Args:
        folder: folder of the result, with animations/ if the benchmark draws them.
        result: the result; by default the folder's.

    Returns:
        Path of the page.

    Raises:
        ValueError: if the folder holds no result or a damaged file.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    main = result.main_scores()
    intervals = {key: bracketed(result.interval(key)).strip() for key in main}
    content: Json = {
        "result": result.model_dump(exclude={"rows", "without"}),
        "network": str(result.network),
        "command": shlex.join(result.provenance.command),
        "main": main,
        "how": f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences.",
    }
    content["intervals"] = {key: ends for key, ends in intervals.items() if ends}
    content["published"] = _published(result)
    content["charts"] = charts_of(result.rows)
    content["ranked_by"] = ranking_columns(result)
    content["texts"] = text_columns(result.rows)
    content["animations"] = _animations(folder, result)
    content["rows"] = result.records()
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no text ends the script element
    path = folder / "report.html"
    template = (files(__package__) / "page.html").read_text("utf-8")
    write_atomically(path, template.replace("DATA", text, 1))
    return path


def _published(result: Result) -> list[Json]:
    """Return the published rows of the result's protocol, if the result covers the whole test set."""
    if not result.on_test_set:
        return []
    rows = []
    for paper in published_beside(result.data_set, result.stage.protocol.shared):
        doubt = f"; doubt: {paper.doubt}" if paper.doubt else ""
        rows.append({"name": f"{paper.name} ({paper.source}{doubt})", "scores": dict(paper.scores)})
    return rows


def charts_of(rows: Sequence[Row]) -> list[Json]:
    """Return OTB's curves of success and precision, for rows that have them."""
    counts = [row.counts["curves"] for row in rows if "curves" in row.counts]
    if not counts:
        return []
    success, precision = mean_curves(counts)
    return [
        _chart("success", "overlap threshold", OVERLAPS.tolist(), success.tolist()),
        _chart("precision", "location error (px)", ERRORS.tolist(), precision.tolist()),
    ]


def _chart(name: str, axis: str, x: Sequence[float], y: Sequence[float]) -> Json:
    return {"title": name.title(), "x": axis, "y": name, "curves": {name: (x, y)}, "span": (0, 1)}


def ranking_columns(result: Result) -> list[str]:
    """Return the columns whose mean ranks the sequences: of the first score that is a mean of columns, else J and F."""
    known = set().union(*(row.values for row in result.rows))
    for columns in (*(MEANS_OF.get(name, (name,)) for name in result.scores), ("J-Mean", "F-Mean")):
        if known.issuperset(columns):
            return list(columns)
    return []


def text_columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns that hold no fractions: texts, truth values and counts."""
    found: set[str] = set()
    for row in rows:
        found |= {name for name, value in row.values.items() if not isinstance(value, float)}
    return sorted(found)


def scores_by_sequence(result: Result) -> dict[str, float]:
    """Return sequence → mean over the `ranking_columns` of its rows."""
    columns = ranking_columns(result)
    values: dict[str, list[float]] = {}
    for row in result.rows:
        name = row.name if row.name in result.sequences else row.video  # an object may be followed by itself
        cells = map(row.values.get, columns)
        known = [cell for cell in cells if isinstance(cell, int | float) and not isnan(cell)]
        values.setdefault(name, []).extend(known)
    return {name: fmean(known) for name, known in values.items() if known}


def _animations(folder: Path, result: Result) -> list[Json]:
    """Return the animations of a result, lowest score first, sequences without a score last.

    Only the worst and best sequences have images.
    """
    scores = scores_by_sequence(result)
    animations: list[tuple[Json, Path]] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        animation = json.loads(path.read_text("utf-8"))  # the fields of a `SequenceAnimation`
        name = animation["sequence"]
        if name not in result.sequences:  # of an earlier run in the folder
            continue
        animation["score"] = scores.get(name)
        animation["name"] = f"{name} ({animation['kind']})" if animation["kind"] else name
        animation["images"] = []
        animations.append((animation, path))
    animations.sort(key=_lowest_score_first)
    shown = animations
    if len(animations) > 2 * AT_EACH_END:
        shown = animations[:AT_EACH_END] + animations[-AT_EACH_END:]
    for animation, path in shown:
        for image in (path.with_suffix(".webp"), path.with_suffix(TRUTH_SUFFIX)):
            if image.is_file():
                animation["images"].append(b64encode(image.read_bytes()).decode())
    return [animation for animation, _ in animations]


def _lowest_score_first(pair: tuple[Json, Path]) -> tuple[bool, float]:
    """Return a sort key of an animation: the lowest score first, none last."""
    score = pair[0]["score"]
    return score is None, score or 0.0
