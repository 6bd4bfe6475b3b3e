"""report.html: one page, complete in itself, that shows what a benchmark run left in its folder.

This module gathers the numbers and the animations into one JSON; the script in page.html draws it.
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Literal

from datamodules.reading.files import write_atomically
from datamodules.reading.mask_files import davis_palette

from ..pictures.animation import TRUTH_SUFFIX, Curve, plain_curves
from ..results.published import published_beside
from ..results.statistics import difference, interval_of
from ..results.stored import Checked, Json, Run, read_as, read_run

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
        """Return the chart as report.json holds it."""
        return asdict(self) | {"curves": plain_curves(self.curves)}


def write_report(folder: str | Path, beside: Sequence[str | Path] = ()) -> Path:
    """Write report.html into the folder of a benchmark run.

    The table of scores also holds the earlier epochs of the same training, and what papers print where the whole test
    set was evaluated.

    Args:
        folder: with results.json, and per_sequence.csv, report.json and animations/ where the benchmark has them.
        beside: results.json files of other runs, or their folders, for the tables and the charts.

    Returns:
        The page.

    Raises:
        ValueError: if a folder holds no results of a benchmark, a file in it is damaged, or a run to compare is another
            benchmark's.
    """
    run = read_run(Path(folder))
    main, scores = run.main_scores(), run.results["scores"]
    compared = (key for key in scores if key in main)
    intervals = {key: ends for key in compared if (ends := interval_of(run.values(key), scores[key]))}
    digests = dict.fromkeys(protocol["digest"] for protocol in run.protocols) if run.on_test_set else {}
    papers = [paper for digest in digests for paper in published_beside(run.results["benchmark"], digest)]
    content = {
        "name": TITLES.get(run.results["benchmark"], run.results["benchmark"]),
        "results": run.results,
        "command": shlex.join(run.results.get("command", [])),
        "protocols": run.protocols,
        "main": main,
        "intervals": {key: f"[{100 * low:.1f}, {100 * high:.1f}]" for key, (low, high) in intervals.items()},
        "epochs": run.epochs(),
        "others": [_beside(run, read_run(Path(other)), list(intervals)) for other in beside],
        "published": [{"name": f"{paper.name} ({paper.source})", "scores": dict(paper.scores)} for paper in papers],
        "animations": _animations(run),
        "rows": run.rows,
        **run.report.model_dump(),
    }
    # JSON has no NaN: scores that are not defined become null
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    # within JSON these occur in texts only; escaped, no text can end the script element or open another
    text = json.dumps(plain, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    path = run.folder / "report.html"
    write_atomically(path, (files(__package__) / "page.html").read_text("utf-8").replace("DATA", text, 1))
    return path


def _beside(run: Run, other: Run, compared: Sequence[str]) -> Json:
    """Return what the page shows of another run: its scores, epochs, charts, and the paired tests of some scores.

    Raises:
        ValueError: if it is another benchmark's.
    """
    if other.results["benchmark"] != run.results["benchmark"]:
        benchmarks = f"{other.results['benchmark']}, the report is of {run.results['benchmark']}"
        raise ValueError(f"{other.folder / 'results.json'}: is a result of {benchmarks}")
    same = [each["digest"] for each in other.protocols] == [each["digest"] for each in run.protocols]
    differences = {}
    for key in compared if same else ():
        theirs = other.values(key)
        found = difference([run.values(key)], [theirs]) if theirs else None
        differences[key] = "other sequences" if found is None else found.in_points
    return {
        "name": "/".join(other.folder.resolve().parts[-2:]),
        "scores": other.results["scores"],
        "protocols": ", ".join(protocol["name"] for protocol in other.protocols) or "none",
        "same": same,
        "differences": differences,
        "epochs": other.epochs(),
        "charts": other.report.charts,
    }


def _animations(run: Run) -> list[Json]:
    """Return the animations of a run, the sequence with the lowest score first; the worst and the best have images."""
    scores, objects = scores_by_sequence(run)
    palette = davis_palette().tolist()
    animations: list[tuple[Json, Path]] = []
    for path in sorted((run.folder / "animations").rglob("*.json")):
        animation = read_as(path, "file of an animation", Checked)
        name, kind = str(animation.get("sequence")), animation.get("kind")
        if name in run.report.sequences and path.with_suffix(".webp").is_file():
            of_objects = sorted(objects.get(name, {}).items())
            animation["objects"] = [(number, palette[number % 256], score) for number, score in of_objects]
            animation |= {"name": f"{name} ({kind})" if kind else name, "score": scores.get(name), "images": []}
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


def scores_by_sequence(run: Run) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return a score for each sequence, and one for each of its objects where rows are of objects.

    A score is the mean of the columns that rank the sequences, over the rows of the last stage.
    """
    scores: dict[str, float] = {}
    objects: dict[str, dict[int, float]] = {}
    for name, rows in run.rows_by_video(run.rows[-1].get("Stage", "") if run.rows else "").items():
        values = [[float(row[column]) for column in run.report.ranked_by if row.get(column)] for row in rows]
        if ranked := [value for own in values for value in own]:
            scores[name] = fmean(ranked)
        numbers = [row["Sequence"][len(name) + 1 :] for row in rows]
        pairs = zip(numbers, values, strict=True)
        objects[name] = {int(number): fmean(own) for number, own in pairs if number.isdecimal() and own}
    return scores, objects
