"""Curves of a benchmark over training, drawn from the results.json files of one or many runs (VFS, Figures 4 and 5)."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from ..results.stored import Json, epochs_and_step, read_run

TrainingCurve = list[tuple[int, float]]
"""(epochs or steps trained, fraction), in order."""
Unit = Literal["epoch", "step"]
"""Epochs or optimiser steps."""
MARKERS = "os^DvPX*<>"
STYLES = ("-", "--", ":", "-.")
INSIDE = 8
"""Most curves whose legend stands within the axes; that of more stands on their right."""
IN_A_COLUMN = 30
"""Most names in a column of that legend."""


def read_curves(
    run: str | Path, benchmark: str = "davis", score: str = "J&F-Mean", unit: Unit = "epoch"
) -> dict[str, TrainingCurve]:
    """Collect a score over a run, separately for each stage.

    Args:
        run: folder of a run, anywhere below which lies `benchmarks/<benchmark>/epoch=…-step=…/results.json`.
        benchmark: its name.
        score: its key, without the stage.
        unit: of the curve; of several evaluations within an epoch "epoch" takes the last.

    Returns:
        Stage (empty where the benchmark evaluated only one) → curve.

    Raises:
        ValueError: if there are no such results, they are of several runs, or they have no such score.
    """
    points: dict[str, dict[int, float]] = {}
    evaluations = _evaluations(Path(run), benchmark)
    for past in evaluations:
        for key, value in past["scores"].items():
            stage, _, name = key.rpartition("/")
            if name == score:
                points.setdefault(stage, {})[past[unit]] = value
    if not points:
        known = ", ".join(sorted({key.rpartition("/")[2] for past in evaluations for key in past["scores"]}))
        raise ValueError(f"{run}: {benchmark} has no score {score!r}; it has {known}")
    return {stage: list(curve.items()) for stage, curve in sorted(points.items())}


def _evaluations(run: Path, benchmark: str) -> list[Json]:
    """Return epoch, step and scores of each evaluation of a run, in order."""
    found = run.glob(f"**/benchmarks/{benchmark}/epoch=*-step=*/results.json")
    folders = sorted((when, file.parent) for file in found if (when := epochs_and_step(file.parent)))
    if not folders:
        raise ValueError(f"{run}: no benchmarks/{benchmark}/epoch=…-step=…/results.json below it")
    if len(runs := sorted({folder.parents[2] for _, folder in folders})) > 1:
        few = ", ".join(map(str, runs[:3])) + (", …" if len(runs) > 3 else "")
        raise ValueError(f"{run} holds {len(runs)} runs: name one or several ({few})")
    return read_run(folders[-1][1]).epochs()


def figure(
    runs: Sequence[Path],
    output: Path = Path("figure.png"),
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
        `output`.

    Raises:
        ValueError: if a run has no such results.
    """
    if not runs:
        raise ValueError("figure: name at least one folder of a run")
    if unit is None:
        evaluated = [[past["epoch"] for past in _evaluations(Path(run), benchmark)] for run in runs]
        unit = "step" if any(len(set(epochs)) < len(epochs) for epochs in evaluated) else "epoch"
    above = Path(os.path.commonpath([Path(run).resolve().parent for run in runs]))
    names = [str(Path(run).resolve().relative_to(above)) for run in runs]
    curves = {name: read_curves(run, benchmark, score, unit) for name, run in zip(names, runs, strict=True)}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    _draw(curves, Path(output), (unit, f"{benchmark} {score} (%)"), title)
    return Path(output)


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, default=Path("figure.png"), help="figure to write: png, pdf or svg")
    parser.add_argument("--benchmark", default="davis", help="name of the benchmark (default: davis)")
    parser.add_argument("--score", default="J&F-Mean", help="score on the y axis (default: J&F-Mean)")
    parser.add_argument("--title", default="", help="title above the axes")
    parser.add_argument(
        "--unit",
        choices=get_args(Unit),
        help="unit of the x axis (default: epoch, or step where a run was scored several times within an epoch)",
    )
    print(figure(**vars(parser.parse_args(list(args)))))


def _draw(
    curves: Mapping[str, Mapping[str, TrainingCurve]], output: Path, axes_names: tuple[str, str], title: str
) -> None:
    # the object-oriented interface: no window system, and no state that outlives the figure
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = [(run, stage, curve) for run, of_run in curves.items() for stage, curve in of_run.items()]
    runs, stages = list(curves), sorted({stage for _, stage, _ in drawn})
    several = len(stages) > 1
    kinds = stages if several else runs  # by colour and marker; runs of several stages by their line
    columns = 0 if len(drawn) <= INSIDE else -(-len(drawn) // IN_A_COLUMN)
    height = max(4.5, 0.5 + 0.18 * -(-len(drawn) // columns)) if columns else 4.5
    figure = Figure(figsize=(7 + 2 * columns, height), layout="constrained")
    axes = figure.add_subplot(xlabel=axes_names[0], ylabel=axes_names[1], title=title)
    for number, (run, stage, curve) in enumerate(drawn):
        kind = kinds.index(stage if several else run)
        above_it = len(drawn) - 1 - number
        axes.plot(
            [trained for trained, _ in curve],
            [100 * value for _, value in curve],
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
