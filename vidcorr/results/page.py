"""Self-contained page: report.html of a result and the animations in its folder.

For a report, this module collects scores and animations in a JSON, and the script in page.html draws it.
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import isnan
from pathlib import Path
from statistics import fmean
from types import MappingProxyType

from ..videos.files import write_atomically
from .charts import charts_of
from .checked import Json, plain
from .formats import bracketed
from .pictures.animations import TRUTH_SUFFIX
from .pictures.overlays import DAVIS_COLOURS
from .published import published_beside
from .result import MEANS_OF, Result, Row
from .statistics import ABOUT_WEIGHTS, FEWEST_SEQUENCES, HOW, Difference, difference

BEFORE = "before training"
"""Name of the result before the first step."""
AT_EACH_END = 3
"""Number of worst, and of best, sequences with animations in the page."""


def write_report(
    folder: str | Path,
    beside: Mapping[str, Result | str | Path] = MappingProxyType({}),
    result: Result | None = None,
) -> Path:
    """Write report.html into the folder of a result.

    The page begins with the scores and their differences from the result before the training; without one, from the
    first result of `beside`. The table of scores includes earlier epochs of the training, and published scores if the
    result covers the whole test set.

    Args:
        folder: folder of the result, with animations/ if the benchmark draws them.
        beside: name → other result of the benchmark, or the folder of one, for tables and charts.
        result: the result; by default the folder's.

    Returns:
        Path of the page.

    Raises:
        ValueError: if a folder holds no result or a damaged file, or if a result of `beside` belongs to another
            benchmark.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    others = _before_training(folder, result)
    for name, other in beside.items():
        others[name] = other if isinstance(other, Result) else Result.load(other)
    main = result.main_scores()
    compared = [_beside(result, name, other, main) for name, other in others.items()]
    intervals = {key: bracketed(result.interval(key)).strip() for key in main}
    content = {
        "result": result.model_dump(exclude={"rows", "without"}),
        "network": str(result.network),
        "command": shlex.join(result.provenance.command),
        "main": main,
        "intervals": {key: ends for key, ends in intervals.items() if ends},
        "how": f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences.",
        "compared": _about(compared),
        "others": compared,
        "published": _published(result),
        "charts": [chart.plain() for chart in charts_of(result.rows)],
        "ranked_by": ranking_columns(result),
        "texts": text_columns(result.rows),
        "animations": _animations(folder, result),
        "rows": result.records(),
    }
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no text ends the script element
    path = folder / "report.html"
    template = (files(__package__) / "page.html").read_text("utf-8")
    write_atomically(path, template.replace("DATA", text, 1))
    return path


def _about(compared: Sequence[Json]) -> str:
    """Return what the differences from other results mean; an empty text without other results."""
    if not compared:
        return ""
    about = f"Differences are this run minus the other, paired by sequence. {ABOUT_WEIGHTS}"
    untested = dict.fromkeys(reason for other in compared for reason in other["untested"])
    if untested:
        about += f" A difference without an interval is not tested: {' or '.join(untested)}."
    return about


def ranking_columns(result: Result) -> list[str]:
    """Return the columns whose mean ranks the sequences: of the first score that is a mean of columns, else J and F."""
    known = set().union(*(row.values for row in result.rows))
    for columns in (*(MEANS_OF.get(name, (name,)) for name in result.scores), ("J-Mean", "F-Mean")):
        if known.issuperset(columns):
            return list(columns)
    return []


def text_columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns that hold no fractions: texts, truth values and counts."""
    found: dict[str, None] = {}
    for row in rows:
        for name, value in row.values.items():
            if not isinstance(value, float):
                found[name] = None
    return list(found)


def _published(result: Result) -> list[Json]:
    """Return the published rows of the result's protocol, if the result covers the whole test set."""
    if not result.on_test_set:
        return []
    rows = []
    for paper in published_beside(result.data_set, result.stage.protocol.digest):
        rows.append({"name": f"{paper.name} ({paper.source})", "scores": dict(paper.scores)})
    return rows


def _before_training(folder: Path, result: Result) -> dict[str, Result]:
    """Return the result before the first step of the same training, in a folder beside; empty without one."""
    first = min(folder.resolve().parent.glob("*/results.json"), default=None)  # `BenchmarkCallback` numbers the folders
    if first is None or len(result.history) < 2 or result.history[0].step:
        return {}
    before = Result.load(first)
    if before.history[-1:] != result.history[:1]:
        return {}
    return {BEFORE: before}


def _beside(result: Result, name: str, other: Result, compared: Sequence[str]) -> Json:
    """Return the page's content for another result: scores, epochs, charts, and paired tests of `compared` scores.

    Raises:
        ValueError: if the results belong to different benchmarks.
    """
    if other.data_set != result.data_set:
        raise ValueError(f"{name}: is a result of {other.benchmark}, but the report is of {result.benchmark}")
    is_comparable = result.stage.protocol.shared == other.stage.protocol.shared
    differences = {}
    untested = []
    if not is_comparable:
        compared = ()
    for key in compared:
        change = _difference(result, other, key)
        if change is None:
            differences[key] = "other sequences"
            continue
        differences[key] = change.figures
        if change.lacks:
            untested.append(change.lacks)
    return {
        "name": name,
        "scores": other.scores,
        "protocol": other.stage.protocol.name or "none",
        "same": is_comparable,
        "differences": differences,
        "untested": untested,
        "history": [past.model_dump() for past in other.history],
        "charts": [chart.plain() for chart in charts_of(other.rows)],
    }


def _difference(result: Result, other: Result, key: str) -> Difference | None:
    """Return the difference of two results in a score; None if they have other sequences."""
    sample = result.sample(key)
    other_sample = other.sample(key)
    if _row_names(result) != _row_names(other) or sample is None or other_sample is None:
        return None
    return difference([sample], [other_sample])


def _row_names(result: Result) -> set[str]:
    return {row.name for row in result.rows}


def _animations(folder: Path, result: Result) -> list[Json]:
    """Return the animations of a result, lowest score first, sequences without a score last.

    Only the worst and best sequences have images.
    """
    scores, objects = scores_by_sequence(result)
    palette = DAVIS_COLOURS.tolist()
    animations: list[tuple[Json, Path]] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        animation = json.loads(path.read_text("utf-8"))  # the fields of a `SequenceAnimation`
        name = animation["sequence"]
        kind = animation.get("kind")
        if name not in result.sequences or not path.with_suffix(".webp").is_file():
            continue
        of_objects = []
        for number, score in sorted(objects.get(name, {}).items()):
            of_objects.append((number, palette[number % 256], score))
        animation["name"] = name
        if kind:
            animation["name"] += f" ({kind})"
        animation["score"] = scores.get(name)
        animation["objects"] = of_objects
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


def scores_by_sequence(result: Result) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return sequence → score, and sequence → object → score for rows of numbered objects.

    A score is the mean over the `ranking_columns`.
    """
    columns = ranking_columns(result)
    values: dict[str, list[float]] = {}
    objects: dict[str, dict[int, float]] = {}
    for row in result.rows:
        cells = map(row.values.get, columns)
        ranked = [cell for cell in cells if isinstance(cell, int | float) and not isnan(cell)]
        name = row.name if row.name in result.sequences else row.video  # an object may be followed by itself
        values.setdefault(name, []).extend(ranked)
        if ranked and row.object.isdecimal() and name == row.video:
            objects.setdefault(name, {})[int(row.object)] = fmean(ranked)
    scores = {name: fmean(ranked) for name, ranked in values.items() if ranked}
    return scores, objects
