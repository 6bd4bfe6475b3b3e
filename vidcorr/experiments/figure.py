"""Figures of a benchmark's scores: curves over training, or bars of single evaluations."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib import colormaps
from matplotlib.figure import Figure  # the object-oriented interface: no window system, and no state that stays
from matplotlib.ticker import MaxNLocator

from ..results.records import score_of
from ..results.result import Result, results_below
from ..videos.files import save_figure


class Point(NamedTuple):
    """A score, as a fraction, after a number of epochs and optimiser steps."""

    epoch: int
    step: int
    score: float


Unit = Literal["epoch", "step"]
"""Unit of the x axis: epochs or optimiser steps."""
MARKERS = "os^DvPX*<>"
STYLES = ("-", "--", ":", "-.")
INSIDE = 8
"""Most curves with a legend inside the axes; with more curves the legend is on the right."""
IN_A_COLUMN = 30
"""Most names in a column of the legend on the right."""


def read_results(place: Path, benchmark: str = "davis") -> dict[str, Result]:
    """Read the results of a benchmark below a folder.

    Args:
        place: folder of a training or of evaluations, or a folder above.
        benchmark: name of the benchmark.

    Returns:
        Name → result: for trainings the last result of each, which holds the history; without trainings all results.

    Raises:
        ValueError: if the folder has no results.
    """
    results = {folder: result for folder, result in results_below(place).items() if result.benchmark == benchmark}
    if not results:
        raise ValueError(f"{place}: no results.json of {benchmark} below it")
    trainings: dict[Path, list[Result]] = {}
    for folder, result in results.items():
        if result.history:
            trainings.setdefault(folder.parent, []).append(result)
    last = {run: max(of_run, key=lambda result: result.history[-1].step) for run, of_run in trainings.items()}
    shown = last or results
    return {"" if len(shown) == 1 else str(folder.relative_to(place)): result for folder, result in shown.items()}


def curves_of(result: Result, score: str = "J&F-Mean") -> dict[str, list[Point]]:
    """Return a score over a training.

    Args:
        result: the last result of the training.
        score: key of the score, without the stage.

    Returns:
        Stage → points in time order; a single stage has the empty name.

    Raises:
        ValueError: if the result lacks the score.
    """
    curves: dict[str, list[Point]] = {}
    for past in result.history:
        for key, value in past.scores.items():
            stage, name = result.stage_of(key)
            if name == score:
                curves.setdefault(stage, []).append(Point(past.epoch, past.step, value))
    if not curves:
        known = sorted({result.stage_of(key)[1] for key in result.scores})
        raise ValueError(f"{result.benchmark} has no score {score!r}; it has {', '.join(known)}")
    return dict(sorted(curves.items()))


def figure(
    runs: Sequence[str | Path],
    output: str | Path = "figure.png",
    benchmark: str = "davis",
    score: str = "J&F-Mean",
    title: str = "",
    unit: Unit | None = None,
) -> Path:
    """Draw a benchmark's score over training, with a curve per stage and run; see VFS, Figures 4 and 5.

    If no run is a training, draw evaluations as bars with 95 % intervals.

    Args:
        runs: folders of runs, at least one.
        output: file of the figure: png, pdf or svg.
        benchmark: name of the benchmark.
        score: key of the score, without the stage.
        title: title of the figure.
        unit: unit of the x axis; by default epochs, or steps if a run has several evaluations within an epoch.

    Returns:
        Path of the figure.

    Raises:
        ValueError: without runs, if a run lacks the results, or if only some of the runs are trainings.
    """
    if not runs:
        raise ValueError("figure: name at least one run")
    folders = [Path(run).resolve() for run in runs]
    above = Path(os.path.commonpath([folder.parent for folder in folders]))
    results = {
        " ".join(filter(None, (str(folder.relative_to(above)), name))): result
        for folder in folders
        for name, result in read_results(folder, benchmark).items()
    }
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not any(result.history for result in results.values()):
        _draw_bars(results, path, score, f"{benchmark} {score} (%)", title)
        return path
    if single := [name for name, result in results.items() if not result.history]:
        raise ValueError(f"figure: {single[0]} is not a training, other runs are; draw them in separate figures")
    curves = {name: curves_of(result, score) for name, result in results.items()}
    if unit is None:
        drawn = [points for of_run in curves.values() for points in of_run.values()]
        unit = "step" if any(len({point.epoch for point in points}) < len(points) for points in drawn) else "epoch"
    _draw(curves, path, unit, f"{benchmark} {score} (%)", title)
    return path


def _draw_bars(results: Mapping[str, Result], output: Path, score: str, label: str, title: str) -> None:
    """Draw a bar per stage and result, with its 95 % interval over sequences if known."""
    bars = {}
    for name, result in results.items():
        records = score_of(result, score, Path(name))
        for record in records:
            stage = record.stage.layer if len(records) > 1 else ""
            bars[", ".join(filter(None, (name if len(results) > 1 else record.name, stage)))] = record
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(bars)), layout="constrained")
    axes = figure.add_subplot(xlabel=label, title=title)
    for place, record in enumerate(bars.values()):
        axes.barh(place, 100 * record.value, color="C0")
        if ends := record.result.interval(record.key):
            axes.plot([100 * end for end in ends], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, output)


def _draw(
    curves: Mapping[str, Mapping[str, Sequence[Point]]], output: Path, unit: Unit, score: str, title: str
) -> None:
    """Draw a curve per run and stage, with a legend."""
    drawn = [(run, stage, points) for run, of_run in curves.items() for stage, points in of_run.items()]
    runs, stages = list(curves), sorted({stage for _, stage, _ in drawn})
    several = len(stages) > 1
    kinds = stages if several else runs  # by colour and marker; runs of several stages by their line
    columns = 0 if len(drawn) <= INSIDE else math.ceil(len(drawn) / IN_A_COLUMN)
    height = max(4.5, 0.5 + 0.18 * min(len(drawn), IN_A_COLUMN))
    figure = Figure(figsize=(7 + 2 * columns, height), layout="constrained")
    axes = figure.add_subplot(xlabel=unit, ylabel=score, title=title)
    for number, (run, stage, points) in enumerate(drawn):
        kind = kinds.index(stage if several else run)
        above_it = len(drawn) - 1 - number
        curve = {getattr(point, unit): 100 * point.score for point in points}  # the last score of an epoch counts
        axes.plot(
            list(curve),
            list(curve.values()),
            linestyle=STYLES[runs.index(run) % len(STYLES)] if several else "-",
            marker=MARKERS[kind % len(MARKERS)],
            markersize=4 + min(1.5, 10 / len(drawn)) * above_it,  # where curves coincide, all markers show
            color=f"C{kind}" if len(kinds) <= 10 else colormaps["turbo"]((kind + 0.5) / len(kinds)),
            label=" ".join(part for part in (run if len(runs) > 1 or not stage else "", stage) if part),
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if columns:
        figure.legend(fontsize="small", loc="outside right upper", ncols=columns)
    else:
        axes.legend(fontsize="small")
    save_figure(figure, output)
