"""Curves of a benchmark over training, drawn from the results.json files of one or many runs (VFS, Figures 4 and 5)."""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..stored_results import epochs_and_step, read_results

TrainingCurve = list[tuple[int, float]]
"""(epochs trained, fraction), in order."""


def read_curves(run: str | Path, benchmark: str = "davis", score: str = "J&F-Mean") -> dict[str, TrainingCurve]:
    """Collect a score over the epochs of a run, separately for each stage.

    Args:
        run: folder of a run, anywhere below which lies `benchmarks/<benchmark>/epoch=…-step=…/results.json`.
        benchmark: its name.
        score: its key, without the stage.

    Returns:
        Stage (empty where the benchmark evaluated only one) → curve.

    Raises:
        ValueError: if there are no such results, they are of several runs, or they have no such score.
    """
    files = sorted(Path(run).glob(f"**/benchmarks/{benchmark}/epoch=*-step=*/results.json"))
    if not files:
        raise ValueError(f"{run}: no benchmarks/{benchmark}/epoch=…-step=…/results.json below it")
    if len(runs := sorted({file.parents[3] for file in files})) > 1:
        few = ", ".join(map(str, runs[:3])) + (", …" if len(runs) > 3 else "")
        raise ValueError(f"{run} holds {len(runs)} runs: name one or several ({few})")
    points: dict[str, dict[int, float]] = defaultdict(dict)
    for file in files:
        if (trained := epochs_and_step(file.parent)) is None:
            continue
        for key, value in read_results(file)["scores"].items():
            stage, _, name = key.rpartition("/")
            if name == score:
                points[stage][trained[0]] = value
    if not points:
        known = ", ".join(sorted({key.rpartition("/")[2] for key in read_results(files[0])["scores"]}))
        raise ValueError(f"{files[0]}: has no score {score!r}; it has {known}")
    return {stage: sorted(curve.items()) for stage, curve in points.items()}


def figure(
    runs: Sequence[Path],
    output: Path = Path("figure.png"),
    benchmark: str = "davis",
    score: str = "J&F-Mean",
    title: str = "",
) -> Path:
    """Draw a benchmark's score over the epochs, a curve for each stage of each run.

    Args:
        runs: folders of runs.
        output: the picture, png, pdf or svg.
        benchmark: its name.
        score: its key, without the stage.
        title: above the curves.

    Returns:
        `output`.

    Raises:
        ValueError: if a run has no such results.
    """
    if not runs:
        raise ValueError("figure: name at least one folder of a run")
    names = _names([Path(run) for run in runs])
    curves = {name: read_curves(run, benchmark, score) for name, run in zip(names, runs, strict=True)}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    _draw(curves, Path(output), f"{benchmark} {score} (%)", title)
    return Path(output)


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("figure.png"),
        help="picture to write: png, pdf or svg (default: figure.png)",
    )
    parser.add_argument("--benchmark", default="davis", help="name of the benchmark (default: davis)")
    parser.add_argument("--score", default="J&F-Mean", help="score on the y axis (default: J&F-Mean)")
    parser.add_argument("--title", default="", help="title above the axes")
    print(figure(**vars(parser.parse_args(list(args)))))


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that distinguish the runs."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _draw(curves: Mapping[str, Mapping[str, TrainingCurve]], output: Path, axis: str, title: str) -> None:
    # the object-oriented interface: no window system, and no state that outlives the picture
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7, 4.5), layout="constrained")
    axes = picture.add_subplot(xlabel="epoch", ylabel=axis, title=title)
    stages = sorted({stage for of_run in curves.values() for stage in of_run})
    styles = ("-", "--", ":", "-.")
    for number, (run, of_run) in enumerate(curves.items()):
        for stage, curve in sorted(of_run.items()):
            name = " ".join(part for part in (run if len(curves) > 1 or not stage else "", stage) if part)
            # stages by colour and runs by line, or runs by colour where there is one stage
            colour = f"C{(stages.index(stage) if len(stages) > 1 else number) % 10}"
            style = styles[number % len(styles)] if len(stages) > 1 else "-"
            epochs, values = zip(*curve, strict=True)
            axes.plot(epochs, [100 * value for value in values], style, color=colour, marker="o", ms=3, label=name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    picture.savefig(output, dpi=150)
