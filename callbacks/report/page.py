"""report.html: one page, complete in itself, that shows a result and the animations in its folder.

This module gathers the numbers and the animations into one JSON; the script in page.html draws it.
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from math import isnan
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from datamodules.reading.mask_files import davis_palette
from datamodules.writing.files import write_atomically

from ..pictures.animation import TRUTH_SUFFIX, Curve, plain_curves
from ..results.published import published_beside
from ..results.result import Checked, Facts, Json, Result, plain, read_as
from ..results.statistics import ABOUT_WEIGHTS, FEWEST_SEQUENCES, HOW, difference, interval_of

TITLES = {"davis": "DAVIS", "youtube_vos": "YouTube-VOS", "jhmdb": "JHMDB", "vip": "VIP", "otb": "OTB"}
AT_EACH_END = 3
"""Worst and best sequences whose animations are in the page."""
MOST_BYTES = 8_000_000
"""Of all animations in the page."""


@dataclass(frozen=True)
class Chart:
    """Curves or bars over one axis.

    Attributes:
        title: above it.
        x: what runs along; for bars, what they are.
        y: the measure, a fraction that is shown in per cent.
        curves: name → curve; for bars x is the index of the label.
        labels: labels of the bars.
        kind: "lines" or "bars".
        span: least and largest value of the axis; None fits it to the values.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Curve]
    labels: Sequence[str] = ()
    kind: Literal["lines", "bars"] = "lines"
    span: tuple[float, float] | None = (0.0, 1.0)

    def plain(self) -> Json:
        """Return the chart as a result holds it."""
        return asdict(self) | {"curves": plain_curves(self.curves)}


class Animation(Checked):
    """The file beside the images of an animation, see `SequenceAnimation`."""

    sequence: str
    kind: str = ""
    columns: int
    frames: list[int]
    size: list[int]
    curves: Facts = Field(default_factory=dict)


def write_report(
    folder: str | Path, beside: Mapping[str, Result] = MappingProxyType({}), result: Result | None = None
) -> Path:
    """Write report.html into the folder of a result.

    The table of scores also holds the earlier epochs of the same training, and what papers print where the whole test
    set was evaluated.

    Args:
        folder: with animations/ where the benchmark has them.
        beside: name → other results of the benchmark, for the tables and the charts.
        result: what the page shows; None reads the one in the folder.

    Returns:
        The page.

    Raises:
        ValueError: if the folder holds no result, a file in it is damaged, or a result beside it is another
            benchmark's.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    main, scores = result.main_scores(), result.scores
    compared = (key for key in scores if key in main)
    ends_of = {key: interval_of(result.values(key), scores[key], result.stage_of(key)[1]) for key in compared}
    intervals = {key: f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" for key, ends in ends_of.items() if ends}
    digests = dict.fromkeys(protocol.digest for protocol in result.protocols) if result.on_test_set else {}
    papers = [paper for digest in digests for paper in published_beside(result.benchmark, digest)]
    others = [_beside(result, name, other, list(ends_of)) for name, other in beside.items()]
    content = {
        "result": result.model_dump(exclude={"rows"}),
        "name": TITLES.get(result.benchmark, result.benchmark),
        "network": str(result.network),
        "command": shlex.join(result.provenance.command),
        "main": main,
        "intervals": intervals,
        "how": f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences. {ABOUT_WEIGHTS}",
        "others": others,
        "published": [{"name": f"{paper.name} ({paper.source})", "scores": dict(paper.scores)} for paper in papers],
        "animations": _animations(folder, result),
        "rows": result.records(),
    }
    # within JSON these occur in texts only; escaped, no text can end the script element or open another
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    path = folder / "report.html"
    write_atomically(path, (files(__package__) / "page.html").read_text("utf-8").replace("DATA", text, 1))
    return path


def _beside(result: Result, name: str, other: Result, compared: Sequence[str]) -> Json:
    """Return what the page shows of another result: scores, epochs, charts, and the paired tests of some scores.

    Raises:
        ValueError: if it is another benchmark's.
    """
    if other.benchmark != result.benchmark:
        raise ValueError(f"{name}: is a result of {other.benchmark}, the report is of {result.benchmark}")
    own, theirs = ([protocol.shared or protocol.digest for protocol in each.protocols] for each in (result, other))
    same = own == theirs
    differences = {}
    for key in compared if same else ():
        found = difference([result.values(key)], [other.values(key)])
        differences[key] = "other sequences" if found is None else found.in_points
    strides = {stage.stride for each in (result, other) for stage in each.stages.values()} - {None}
    stride = ", ".join(dict.fromkeys(f"stride {stage.stride}" for stage in other.stages.values() if stage.stride))
    return {
        "name": f"{name}, {stride}" if len(strides) > 1 and stride else name,
        "scores": other.scores,
        "protocols": ", ".join(protocol.name for protocol in other.protocols) or "none",
        "same": same,
        "differences": differences,
        "history": [each.model_dump() for each in other.history],
        "charts": other.shown.charts,
    }


def _animations(folder: Path, result: Result) -> list[Json]:
    """Return the animations of a result, the sequence with the lowest score first; the worst and the best have images.

    Sequences without a score come last.
    """
    scores, objects = scores_by_sequence(result)
    palette = davis_palette().tolist()
    animations: list[tuple[Json, Path]] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        found = read_as(path, "file of an animation", Animation)
        name = found.sequence
        if name in result.sequences and path.with_suffix(".webp").is_file():
            of_objects = sorted(objects.get(name, {}).items())
            colours = [(number, palette[number % 256], score) for number, score in of_objects]
            title = f"{name} ({found.kind})" if found.kind else name
            animation = found.model_dump() | {
                "name": title,
                "score": scores.get(name),
                "objects": colours,
                "images": [],
            }
            animations.append((animation, path))
    animations.sort(key=lambda pair: (pair[0]["score"] is None, pair[0]["score"] or 0))
    room = MOST_BYTES
    few = len(animations) <= 2 * AT_EACH_END
    for animation, path in animations if few else animations[:AT_EACH_END] + animations[-AT_EACH_END:]:
        images = [image for image in (path.with_suffix(".webp"), path.with_suffix(TRUTH_SUFFIX)) if image.is_file()]
        room -= sum(image.stat().st_size for image in images) * 4 // 3  # in base64
        if room >= 0:
            animation["images"] = [b64encode(image.read_bytes()).decode() for image in images]
    return [animation for animation, _ in animations]


def scores_by_sequence(result: Result) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return a score for each sequence, and one for each of its objects where rows are of numbered objects.

    A score is the mean of the columns that rank the sequences, over the rows of the last stage.
    """
    values: dict[str, list[float]] = {}
    objects: dict[str, dict[int, float]] = {}
    for row in result.rows:
        if row.stage == result.rows[-1].stage:
            cells = (row.values.get(column) for column in result.shown.ranked_by)
            ranked = [cell for cell in cells if isinstance(cell, int | float) and not isnan(cell)]
            name = row.name if row.name in result.sequences else row.video  # an object may be followed by itself
            values.setdefault(name, []).extend(ranked)
            if ranked and row.object.isdecimal() and name == row.video:
                objects.setdefault(name, {})[int(row.object)] = fmean(ranked)
    return {name: fmean(ranked) for name, ranked in values.items() if ranked}, objects
