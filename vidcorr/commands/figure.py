"""Draw scores of a benchmark: curves over training, or bars of single evaluations."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--output", default="figure.png", help="png, pdf or svg to write (default: figure.png)")
    parser.add_argument("--benchmark", default="davis", help="name of the benchmark (default: davis)")
    parser.add_argument("--score", default="J&F-Mean", help="score on the y axis (default: J&F-Mean)")
    parser.add_argument("--title", default="", help="title above the axes")
    default = "epoch, or step if a run has several scores within an epoch"
    parser.add_argument("--unit", choices=("epoch", "step"), help=f"unit of the x axis (default: {default})")
    flags = parser.parse_args(list(args))

    from ..experiments.figure import figure

    print(figure(**vars(flags)))
