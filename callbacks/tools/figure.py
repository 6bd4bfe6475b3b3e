"""Curves of a benchmark over training, drawn from the results.json files of one or many runs (VFS, Figures 4 and 5)."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args


class Point(NamedTuple):
    """A score on a curve: epochs and optimiser steps trained before it, and a fraction."""

    epoch: int
    step: int
    score: float


Unit = Literal["epoch", "step"]
"""Epochs or optimiser steps."""
MARKERS = "os^DvPX*<>"
STYLES = ("-", "--", ":", "-.")
INSIDE = 8
"""Most curves whose legend stands within the axes; that of more stands on their right."""
IN_A_COLUMN = 30
"""Most names in a column of that legend."""


def read_curves(run: Path, benchmark: str = "davis", score: str = "J&F-Mean") -> dict[str, list[Point]]:
    """Collect a score over a run, separately for each stage.

    Args:
        run: folder of a run, anywhere below which lies `benchmarks/<benchmark>/epoch=…-step=…/results.json`.
        benchmark: its name.
        score: its key, without the stage.

    Returns:
        Stage (empty where the benchmark evaluated only one) → points in order.

    Raises:
        ValueError: if there are no such results, they are of several runs, or they have no such score.
    """
    from ..results.stored import epochs_and_step, read_run

    found = run.glob(f"**/benchmarks/{benchmark}/epoch=*-step=*/results.json")
    folders = sorted((when, file.parent) for file in found if (when := epochs_and_step(file.parent)))
    if not folders:
        raise ValueError(f"{run}: no benchmarks/{benchmark}/epoch=…-step=…/results.json below it")
    if len(runs := sorted({folder.parents[2] for _, folder in folders})) > 1:
        raise ValueError(f"{run} holds {len(runs)} runs: name one or several ({runs[0]}, {runs[1]}, …)")
    curves: dict[str, list[Point]] = {}
    known: set[str] = set()
    for past in read_run(folders[-1][1]).epochs():
        for key, value in past["scores"].items():
            stage, _, name = key.rpartition("/")
            known.add(name)
            if name == score:
                curves.setdefault(stage, []).append(Point(past["epoch"], past["step"], value))
    if not curves:
        raise ValueError(f"{run}: {benchmark} has no score {score!r}; it has {', '.join(sorted(known))}")
    return dict(sorted(curves.items()))


def figure(
    runs: Sequence[str | Path],
    output: str | Path = "figure.png",
    benchmark: str = "davis",
    score: str = "J&F-Mean",
    title: str = "",
    unit: Unit | None = None,
) -> Path:
    """Draw a benchmark's score over training, a curve for each stage of each run.

    Args:
        runs: folders of runs.
        output: the figure, png, pdf or svg.
        benchmark: its name.
        score: its key, without the stage.
        title: above the curves.
        unit: of the x axis; None takes epochs, or steps where a run was evaluated several times within an epoch.

    Returns:
        Path of the figure.

    Raises:
        ValueError: if a run has no such results.
    """
    if not runs:
        raise ValueError("figure: name at least one folder of a run")
    folders = [Path(run).resolve() for run in runs]
    above = Path(os.path.commonpath([folder.parent for folder in folders]))
    curves = {str(folder.relative_to(above)): read_curves(folder, benchmark, score) for folder in folders}
    if unit is None:
        each = [points for of_run in curves.values() for points in of_run.values()]
        unit = "step" if any(len({point.epoch for point in points}) < len(points) for points in each) else "epoch"
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    _draw(curves, path, unit, f"{benchmark} {score} (%)", title)
    return path


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, default=Path("figure.png"), help="figure to write: png, pdf or svg")
    parser.add_argument("--benchmark", default="davis", help="name of the benchmark (default: davis)")
    parser.add_argument("--score", default="J&F-Mean", help="score on the y axis (default: J&F-Mean)")
    parser.add_argument("--title", default="", help="title above the axes")
    default = "epoch, or step where a run was scored several times within an epoch"
    parser.add_argument("--unit", choices=get_args(Unit), help=f"unit of the x axis (default: {default})")
    print(figure(**vars(parser.parse_args(list(args)))))


def _draw(
    curves: Mapping[str, Mapping[str, Sequence[Point]]], output: Path, unit: Unit, score: str, title: str
) -> None:
    # the object-oriented interface: no window system, and no state that outlives the figure
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = [(run, stage, points) for run, of_run in curves.items() for stage, points in of_run.items()]
    runs, stages = list(curves), sorted({stage for _, stage, _ in drawn})
    several = len(stages) > 1
    kinds = stages if several else runs  # by colour and marker; runs of several stages by their line
    columns = 0 if len(drawn) <= INSIDE else -(-len(drawn) // IN_A_COLUMN)
    height = max(4.5, 0.5 + 0.18 * -(-len(drawn) // columns)) if columns else 4.5
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
    figure.savefig(output, dpi=150)
