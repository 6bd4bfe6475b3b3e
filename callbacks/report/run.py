"""Content of a benchmark run's folder, and the scores shown next to it in its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pictures.film import TRUTH_SUFFIX
from ..statistics.uncertainty import videos_of
from ..stored_results import Json, epochs_and_step, on_test_set, protocols_of, read_results, read_rows, read_shaped
from .published import published_beside

# Shapes of the files next to results.json, see `stored_results.misfit`
NUMBERS = [None, float]
CURVES = {str: (NUMBERS, NUMBERS)}
FILM: Json = {"sequence": str, "kind": str, "columns": int, "frames": [int], "size": (int, int), "curves": CURVES}
CHART: Json = {"title": str, "x": str, "y": str, "kind": str, "curves": CURVES, "labels": [str]}
MATERIAL: Json = {"sequences": [str], "ranked_by": [str], "shows": str, "charts": [CHART]}


@dataclass(frozen=True)
class ReportedRun:
    """Content of a run's folder: its files, and films with their scores, the sequence with the lowest score first."""

    folder: Path
    results: Json
    rows: list[dict[str, str]]
    material: Json
    films: list[Json]


@dataclass(frozen=True)
class ScoreLine:
    """A line of the table of scores: "this", "ours" or "theirs"."""

    name: str
    scores: Mapping[str, float]
    kind: str = "ours"


def read_run(folder: Path) -> ReportedRun:
    """Read the files of a run; a film without its picture is left out.

    Raises:
        ValueError: for a file that is damaged or not one of a benchmark; the message names it.
    """
    results, rows = read_results(folder / "results.json"), read_rows(folder / "per_sequence.csv")
    material = _material(folder)
    ranks, objects = scores_by_sequence(rows, material["ranked_by"], material["sequences"])
    films = []
    for path in sorted((folder / "films").rglob("*.json")):
        film = read_shaped(path, "film of a benchmark", FILM)
        name, kind = film["sequence"], film["kind"]
        picture, truth = path.with_suffix(".webp"), path.with_suffix(TRUTH_SUFFIX)
        if name in material["sequences"] and picture.is_file():
            film |= {"name": f"{name} ({kind})" if kind else name, "sheets": [picture, truth][: 1 + truth.is_file()]}
            films.append(film | {"score": ranks.get(name), "objects": objects.get(name, {})})
    films.sort(key=lambda film: (film["score"] is None, film["score"] or 0, str(film["sheets"][0])))
    return ReportedRun(folder, results, rows, material, films)


def read_beside(run: ReportedRun, path: Path) -> ReportedRun:
    """Read another run of the same benchmark, without its films, by its folder or its results.json.

    Raises:
        ValueError: if it is damaged, or another benchmark's.
    """
    folder = path.parent if path.name == "results.json" else path
    results = read_results(folder / "results.json")
    if results["benchmark"] != run.results["benchmark"]:
        benchmarks = f"{results['benchmark']}, the report is of {run.results['benchmark']}"
        raise ValueError(f"{folder / 'results.json'}: is a result of {benchmarks}")
    return ReportedRun(folder, results, read_rows(folder / "per_sequence.csv"), _material(folder), [])


def _material(folder: Path) -> Json:
    path = folder / "report.json"
    empty: Json = {"sequences": [], "ranked_by": [], "shows": "", "charts": []}
    return read_shaped(path, "report.json of a benchmark", MATERIAL) if path.is_file() else empty


def scores_by_sequence(
    rows: Sequence[Mapping[str, str]], ranked_by: Sequence[str], sequences: Sequence[str]
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


def score_lines(
    run: ReportedRun, rows: Sequence[ReportedRun] = (), beside: Sequence[ReportedRun] = ()
) -> list[ScoreLine]:
    """Return the lines of the table: this run, its other epochs, other runs, and those printed in papers.

    Args:
        run: the run of the report.
        rows: result of `compared_rows`.
        beside: runs to compare with.
    """
    lines = _by_stage("this run", run.results["scores"], "this")
    for epoch, step, scores in _epochs(run):
        if scores is not run.results["scores"]:
            lines += _by_stage(f"epoch {epoch}, step {step}" if step else "before training", scores)
    for row in rows:
        lines += _by_stage(row.results["network"], row.results["scores"])
    for other in beside:
        lines += _by_stage(_name_beside(other, run), other.results["scores"])
    digests = dict.fromkeys(protocol["digest"] for protocol in protocols_of(run.results))
    for digest in digests if on_test_set(run.results) else ():
        for paper in published_beside(run.results["benchmark"], digest):
            lines.append(ScoreLine(f"{paper.name} ({paper.source})", dict(paper.scores), "theirs"))
    return lines


def progress_charts(run: ReportedRun, beside: Sequence[ReportedRun] = ()) -> list[Json]:
    """Return a chart of the first score over the training, where there are results of other epochs.

    Args:
        run: its training; one that was resumed is one curve.
        beside: other runs, whose trainings are drawn in the same chart.
    """
    own = _epochs(run)
    measure = next((key.rpartition("/")[2] for _, _, scores in own for key in scores), "")
    curves = _curves_of(own, measure)
    if not any(len(epochs) > 1 for epochs, _ in curves.values()):
        return []
    for other in beside:
        name = _name_beside(other, run)
        curves |= {f"{name}, {key}": curve for key, curve in _curves_of(_epochs(other), measure).items()}
    title = f"{measure} over the training"
    return [{"title": title, "x": "epochs", "y": measure, "curves": curves, "kind": "lines", "span": None}]


def _curves_of(results: Sequence[tuple[int, int, Mapping[str, float]]], measure: str) -> dict[str, list[list[float]]]:
    """Return a curve over the epochs for each stage's score of a measure."""
    curves: dict[str, list[list[float]]] = {}
    for epoch, _, scores in results:
        for key, value in scores.items():
            if key.rpartition("/")[2] == measure:
                epochs, values = curves.setdefault(key, [[], []])
                epochs.append(epoch)
                values.append(value)
    return curves


def overlaid_charts(run: ReportedRun, beside: Sequence[ReportedRun] = ()) -> list[Json]:
    """Return the run's charts, with the curves of compared runs that have the same chart and protocol."""
    charts: list[Json] = [dict(chart, curves=dict(chart["curves"])) for chart in run.material["charts"]]
    for other in beside:
        if same_protocols(other, run):
            name, others = _name_beside(other, run), {chart["title"]: chart for chart in other.material["charts"]}
            for chart in charts:
                twin = others.get(chart["title"])
                if twin and (twin["kind"], twin["labels"]) == (chart["kind"], chart["labels"]):
                    chart["curves"] |= {f"{name}, {key}": curve for key, curve in twin["curves"].items()}
    return charts


def _epochs(run: ReportedRun) -> list[tuple[int, int, Mapping[str, float]]]:
    """Return epochs trained, step and scores of this run and of those of the same training, in order.

    They lie next to it; for a run that was resumed in another folder, results.json holds the earlier ones.
    """
    past = run.results.get("history", [])
    found = {result["step"]: (result["epoch"], result["step"], result["scores"]) for result in past}
    own = run.folder.resolve()
    if epochs_and_step(own) is not None:
        for file in own.parent.glob("epoch=*-step=*/results.json"):
            if trained := epochs_and_step(file.parent):
                scores = run.results["scores"] if file.parent == own else read_results(file)["scores"]
                found[trained[1]] = (*trained, scores)
    return [found[step] for step in sorted(found)]


def compared_rows(run: ReportedRun) -> list[ReportedRun]:
    """Return the other rows of a `vidcorr compare` that this run is a row of, in its order."""
    own = run.folder.resolve()
    file = own.parent.parent / "compare.json"
    names = list(read_shaped(file, "compare.json", {str: {}})) if file.is_file() else []
    files = own.parent.parent.glob(f"*/{own.name}/results.json") if names else ()
    others = [read_beside(run, other) for other in files if other.parent != own]
    named = {other.results.get("network"): other for other in others}
    return [named[name] for name in names if name in named]


def same_protocols(one: ReportedRun, other: ReportedRun) -> bool:
    """Return whether two runs were measured by the same protocols."""
    first, second = ([protocol.get("digest") for protocol in protocols_of(run.results)] for run in (one, other))
    return first == second


def _name_beside(other: ReportedRun, run: ReportedRun) -> str:
    name = "/".join(other.folder.resolve().parts[-2:])
    names = ", ".join(str(protocol["name"]) for protocol in protocols_of(other.results)) or "none"
    return name if same_protocols(other, run) else f"{name} (another protocol: {names})"


def _by_stage(name: str, scores: Mapping[str, float], kind: str = "ours") -> list[ScoreLine]:
    stages: dict[str, dict[str, float]] = {}
    for key, value in scores.items():
        stage, _, score = key.rpartition("/")
        stages.setdefault(stage, {})[score] = value
    return [ScoreLine(f"{name}, {stage}" if stage else name, found, kind) for stage, found in stages.items()]
