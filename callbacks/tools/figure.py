"""Curves of a benchmark over training, drawn from the results.json files of one or many runs (VFS, Figures 4 and 5)."""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..results.stored import epochs_and_step, read_results

TrainingCurve = list[tuple[int, float]]
"""(epochs or steps trained, fraction), in order."""
Unit = Literal["epoch", "step"]
"""Epochs or optimiser steps."""
MARKERS = "os^DvPX*<>"
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (8, 4)))
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
    files = _evaluations(run, benchmark)
    points: dict[str, dict[int, float]] = defaultdict(dict)
    for trained, file in files:
        for key, value in read_results(file)["scores"].items():
            stage, _, name = key.rpartition("/")
            if name == score:
                points[stage][trained[unit == "step"]] = value
    if not points:
        known = ", ".join(sorted({key.rpartition("/")[2] for key in read_results(files[0][1])["scores"]}))
        raise ValueError(f"{files[0][1]}: has no score {score!r}; it has {known}")
    return {stage: list(curve.items()) for stage, curve in points.items()}


def _evaluations(run: str | Path, benchmark: str) -> list[tuple[tuple[int, int], Path]]:
    """Return epochs and steps trained, and results.json, of each evaluation, in order."""
    pattern = f"**/benchmarks/{benchmark}/epoch=*-step=*/results.json"
    files = sorted((when, file) for file in Path(run).glob(pattern) if (when := epochs_and_step(file.parent)))
    if not files:
        raise ValueError(f"{run}: no benchmarks/{benchmark}/epoch=…-step=…/results.json below it")
    if len(runs := sorted({file.parents[3] for _, file in files})) > 1:
        few = ", ".join(map(str, runs[:3])) + (", …" if len(runs) > 3 else "")
        raise ValueError(f"{run} holds {len(runs)} runs: name one or several ({few})")
    return files


def figure(
    runs: Sequence[Path],
    output: Path = Path("figure.png"),
    benchmark: str = "davis",
    score: str = "J&F-Mean",
    title: str = "",
    unit: Unit | None = None,
) -> Path:
    """Draw a benchmark's score over training, a curve for each stage of each run.

    Of curves that coincide one is the border of the other, see `nesting`.

    Args:
        runs: folders of runs.
        output: the picture, png, pdf or svg.
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
    names = _names([Path(run) for run in runs])
    unit = unit or ("step" if any(_within_an_epoch(run, benchmark) for run in runs) else "epoch")
    curves = {name: read_curves(run, benchmark, score, unit) for name, run in zip(names, runs, strict=True)}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    _draw(curves, Path(output), (unit, f"{benchmark} {score} (%)"), title)
    return Path(output)


def _within_an_epoch(run: Path, benchmark: str) -> bool:
    epochs = [epochs for (epochs, _), _ in _evaluations(run, benchmark)]
    return len(set(epochs)) < len(epochs)


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, default=Path("figure.png"), help="picture to write: png, pdf or svg")
    parser.add_argument("--benchmark", default="davis", help="name of the benchmark (default: davis)")
    parser.add_argument("--score", default="J&F-Mean", help="score on the y axis (default: J&F-Mean)")
    parser.add_argument("--title", default="", help="title above the axes")
    parser.add_argument(
        "--unit",
        choices=get_args(Unit),
        help="unit of the x axis (default: epoch, or step where a run was scored several times within an epoch)",
    )
    print(figure(**vars(parser.parse_args(list(args)))))


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that distinguish the runs."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _draw(
    curves: Mapping[str, Mapping[str, TrainingCurve]], output: Path, axes_names: tuple[str, str], title: str
) -> None:
    # the object-oriented interface: no window system, and no state that outlives the picture
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = [(run, stage, curve) for run, of_run in curves.items() for stage, curve in sorted(of_run.items())]
    runs, stages = list(curves), sorted({stage for _, stage, _ in drawn})
    kinds = stages if len(stages) > 1 else runs  # by colour and marker; runs of several stages by their line
    colours = _colours(len(kinds))
    columns = 0 if len(drawn) <= INSIDE else -(-len(drawn) // IN_A_COLUMN)
    height = max(4.5, 0.5 + 0.18 * -(-len(drawn) // columns)) if columns else 4.5
    picture = Figure(figsize=(7 + 2 * columns, height), layout="constrained")
    axes = picture.add_subplot(xlabel=axes_names[0], ylabel=axes_names[1], title=title)
    below = nesting([curve for *_, curve in drawn])
    step = min(2.0, 12 / max(1, *below))
    for (run, stage, curve), depth in zip(drawn, below, strict=True):
        name = " ".join(part for part in (run if len(runs) > 1 or not stage else "", stage) if part)
        kind = kinds.index(stage if len(stages) > 1 else run)
        style = STYLES[runs.index(run) % len(STYLES)] if len(stages) > 1 else "-"
        trained, values = zip(*curve, strict=True)
        axes.plot(
            trained,
            [100 * value for value in values],
            linestyle=style,
            linewidth=1.5 + step * depth,
            marker=MARKERS[kind % len(MARKERS)],
            markersize=4 + 1.5 * step * depth,
            color=colours[kind],
            zorder=2 - depth / len(drawn),
            label=name,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if columns:
        picture.legend(fontsize="small", loc="outside right upper", ncols=columns)
    else:
        axes.legend(fontsize="small")
    picture.savefig(output, dpi=150)


def nesting(curves: Sequence[TrainingCurve]) -> list[int]:
    """Return how many levels each curve lies below those that are drawn after it and would hide it.

    Two curves coincide where they differ by at most 0.5 % of the range of all values, about the width of a line, from
    one evaluation to the next, or in the only point of one. Drawn wider by a step per level, each shows as a border.

    Args:
        curves: in the order in which they are drawn.

    Example:
        >>> rising, falling = [(0, 0.1), (1, 0.2)], [(0, 0.2), (1, 0.1)]
        >>> nesting([rising, falling, rising, rising])
        [2, 0, 1, 0]
    """
    values = [value for curve in curves for _, value in curve]
    tolerance = 0.005 * (max(values) - min(values))
    levels: list[int] = []
    for number in reversed(range(len(curves))):
        later = zip(curves[number + 1 :], levels, strict=True)
        above = [level for curve, level in later if _coincide(curves[number], curve, tolerance)]
        levels.insert(0, 1 + max(above, default=-1))
    return levels


def _coincide(curve: TrainingCurve, other: TrainingCurve, tolerance: float) -> bool:
    (x, y), (other_x, other_y) = (np.array(each).T for each in (curve, other))
    trained = np.union1d(x, other_x)
    trained = trained[(trained >= max(x[0], other_x[0])) & (trained <= min(x[-1], other_x[-1]))]
    close = np.abs(np.interp(trained, x, y) - np.interp(trained, other_x, other_y)) <= tolerance
    return bool((close[1:] & close[:-1]).any() or (min(len(x), len(other_x)) == 1 and close.any()))


def _colours(count: int) -> list[Any]:
    """Return distinct colours: matplotlib's ten, or more of them in the order of a rainbow."""
    from matplotlib import colormaps

    return [f"C{number}" if count <= 10 else colormaps["turbo"]((number + 0.5) / count) for number in range(count)]
