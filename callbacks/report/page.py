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
from typing import Any, Literal

from datamodules.reading.files import write_atomically
from datamodules.reading.mask_files import davis_palette

from ..pictures.animation import TRUTH_SUFFIX, Curve, plain_curves
from ..results.statistics import rows_difference, score_intervals, videos_of
from ..results.stored import Json, epochs_and_step, on_test_set, protocols_of, read_results, read_rows
from .published import published_beside

TITLES = {"davis": "DAVIS", "youtube_vos": "YouTube-VOS", "jhmdb": "JHMDB", "vip": "VIP", "otb": "OTB"}
MATERIAL: Json = {"sequences": [], "ranked_by": [], "shows": "", "charts": [], "text_columns": []}
AT_EACH_END = 3
"""Worst and best sequences whose animations are in the page."""
MOST_BYTES = 8_000_000
"""Of all animations in the page."""
MOST_SCORES = 3
"""Scores that stand above the tables and have intervals."""


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


@dataclass(frozen=True)
class Run:
    """Content of a benchmark run's folder: results.json, per_sequence.csv and report.json."""

    folder: Path
    results: Json
    rows: list[dict[str, str]]
    material: Json

    @property
    def digests(self) -> list[str]:
        """Digests of the protocols that it was measured by."""
        return [protocol["digest"] for protocol in protocols_of(self.results)]

    def main_scores(self) -> list[str]:
        """Return the keys of its most telling scores: the first, those that rank the sequences, then others."""
        scores, ranked_by = list(self.results["scores"]), self.material["ranked_by"]
        ranking = [key for key in scores if key.rpartition("/")[2] in ranked_by]
        return list(dict.fromkeys([*scores[:1], *ranking, *scores]))


def write_material(
    folder: Path,
    sequences: Sequence[str],
    ranked_by: Sequence[str] = (),
    shows: str = "",
    charts: Sequence[Chart] = (),
    text_columns: Sequence[str] = (),
) -> None:
    """Write report.json: what the page needs in addition to results.json, per_sequence.csv and the animations.

    Args:
        folder: folder of the run.
        sequences: names of those that were evaluated.
        ranked_by: columns of a row whose mean says how well a sequence went.
        shows: what is drawn over the frames of animations.
        charts: over all sequences.
        text_columns: columns of per_sequence.csv that hold no fractions.
    """
    plain = [asdict(chart) | {"curves": plain_curves(chart.curves)} for chart in charts]
    content = {"sequences": list(sequences), "ranked_by": list(ranked_by), "shows": shows, "charts": plain}
    write_atomically(folder / "report.json", json.dumps(content | {"text_columns": list(text_columns)}) + "\n")


def write_report(folder: str | Path, beside: Sequence[str | Path] = ()) -> Path:
    """Write report.html into the folder of a benchmark run.

    The table of scores also holds what is found near the run: other epochs of the same training and the other rows of
    `vidcorr compare`; and what papers print, where the whole test set was evaluated.

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
    intervals = score_intervals(run.results["scores"], run.rows, run.material["sequences"])
    compared = [key for key in run.main_scores() if key in intervals][:MOST_SCORES]
    named = [(str(other.results.get("network")), other) for other in compared_runs(run)]
    named += [("/".join(other.folder.resolve().parts[-2:]), other) for other in map(read_run, map(Path, beside))]
    digests = dict.fromkeys(run.digests) if on_test_set(run.results) else {}
    papers = [paper for digest in digests for paper in published_beside(run.results["benchmark"], digest)]
    content = {
        "name": TITLES.get(run.results["benchmark"], run.results["benchmark"]),
        "results": run.results,
        "command": shlex.join(run.results.get("command", [])),
        "protocols": protocols_of(run.results),
        "main": run.main_scores()[:MOST_SCORES],
        "intervals": {key: "[{:.1f}, {:.1f}]".format(*(100 * end for end in intervals[key])) for key in compared},
        "epochs": epochs_of(run),
        "others": [_beside(run, name, other, compared) for name, other in named],
        "published": [{"name": f"{paper.name} ({paper.source})", "scores": dict(paper.scores)} for paper in papers],
        "animations": _animations(run),
        "rows": run.rows,
        **run.material,
    }
    # JSON has no NaN: scores that are not defined become null
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    # within JSON these occur in texts only; escaped, no text can end the script element or open another
    text = json.dumps(plain, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    path = run.folder / "report.html"
    write_atomically(path, (files(__package__) / "page.html").read_text("utf-8").replace("DATA", text, 1))
    return path


def read_run(path: Path) -> Run:
    """Read a benchmark run by its folder or its results.json.

    Raises:
        ValueError: for a file that is damaged or not one of a benchmark; the message names it.
    """
    folder = path.parent if path.name == "results.json" else path
    results, rows = read_results(folder / "results.json"), read_rows(folder / "per_sequence.csv")
    material = folder / "report.json"
    return Run(folder, results, rows, MATERIAL | (read_object(material) if material.is_file() else {}))


def read_object(path: Path) -> Json:
    """Read a JSON file that holds an object.

    Raises:
        ValueError: if it is damaged; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is not a file of a benchmark run")
    return content


def epochs_of(run: Run) -> list[Json]:
    """Return epoch, step and scores of all results of a run's training, in order; `this` marks the run itself.

    They lie next to it; for a run that was resumed in another folder, its results.json holds the earlier ones.
    """
    found = {past["step"]: {**past, "this": False} for past in run.results.get("history", [])}
    own = run.folder.resolve()
    if epochs_and_step(own) is not None:
        for file in own.parent.glob("epoch=*-step=*/results.json"):
            if trained := epochs_and_step(file.parent):
                scores, this = read_results(file)["scores"], file.parent == own
                found[trained[1]] = {"epoch": trained[0], "step": trained[1], "scores": scores, "this": this}
    return [found[step] for step in sorted(found)]


def compared_runs(run: Run) -> list[Run]:
    """Return the other rows of a `vidcorr compare` that this run is a row of, in its order."""
    own = run.folder.resolve()
    file = own.parent.parent / "compare.json"
    if not file.is_file():
        return []
    others = [read_run(other) for other in own.parent.parent.glob(f"*/{own.name}/results.json") if other.parent != own]
    named = {other.results.get("network"): other for other in others}
    return [named[name] for name in read_object(file) if name in named]


def _beside(run: Run, name: str, other: Run, compared: Sequence[str]) -> Json:
    """Return what the page shows of another run: its scores, epochs, charts, and the paired tests against this run.

    Raises:
        ValueError: if it is another benchmark's.
    """
    if other.results["benchmark"] != run.results["benchmark"]:
        benchmarks = f"{other.results['benchmark']}, the report is of {run.results['benchmark']}"
        raise ValueError(f"{other.folder / 'results.json'}: is a result of {benchmarks}")
    same = other.digests == run.digests
    differences = {}
    for key in compared if same else ():
        found = rows_difference(run.rows, other.rows, key, run.material["sequences"])
        differences[key] = "other sequences" if found is None else found.in_points
    return {
        "name": name,
        "scores": other.results["scores"],
        "protocols": ", ".join(protocol["name"] for protocol in protocols_of(other.results)) or "none",
        "same": same,
        "differences": differences,
        "epochs": epochs_of(other),
        "charts": other.material["charts"],
    }


def _animations(run: Run) -> list[Json]:
    """Return the animations of a run, the sequence with the lowest score first; the worst and the best have images."""
    scores, objects = scores_by_sequence(run.rows, run.material["ranked_by"], run.material["sequences"])
    palette = davis_palette().tolist()
    animations: list[tuple[Json, Path]] = []
    for path in sorted((run.folder / "animations").rglob("*.json")):
        animation = read_object(path)
        name, kind = str(animation.get("sequence")), animation.get("kind")
        if name in run.material["sequences"] and path.with_suffix(".webp").is_file():
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


def scores_by_sequence(
    rows: Sequence[Mapping[str, Any]], ranked_by: Sequence[str], sequences: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return a score for each sequence, and one for each of its objects where rows are of objects.

    A score is the mean of some columns, over the rows of the last stage.

    Args:
        rows: rows of per_sequence.csv; "Sequence" is a sequence's name, or that and "_" and an object's number.
        ranked_by: the columns.
        sequences: names.
    """
    values: dict[str, list[float]] = {}
    objects: dict[str, dict[int, float]] = {}
    videos = videos_of([row["Sequence"] for row in rows], sequences)
    for row in rows:
        own = [float(row[column]) for column in ranked_by if row.get(column)]
        if own and row.get("Stage", "") == rows[-1].get("Stage", ""):
            name = videos[row["Sequence"]]
            values.setdefault(name, []).extend(own)
            number = row["Sequence"][len(name) + 1 :]
            if number.isdecimal():
                objects.setdefault(name, {})[int(number)] = sum(own) / len(own)
    return {name: sum(found) / len(found) for name, found in values.items()}, objects
