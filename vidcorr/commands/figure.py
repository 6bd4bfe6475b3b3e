"""The flags and the call of `vidcorr figure`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag, several

FOLDERS = "folder of a result with predictions, or a folder above; NAME= names the row"
ON = "benchmark and folder of its data, as davis=FOLDER"
FRAMES = "frames, a column each, counted from 0 (default: five, evenly spaced)"
OUTPUT = "file to write: .png; .pdf or .svg, whose text stays text (default: figure.png)"
FLAGS = (
    Flag("results", FOLDERS, nargs="+", metavar="[NAME=]RESULT"),
    Flag("--on", ON, required=True, metavar="NAME=FOLDER"),
    several("--sequences", "NAME", "sequences, a block of rows each (default: the first two in all)"),
    several("--frames", "N", FRAMES, int),
    Flag("--output", OUTPUT, type=Path, default=Path("figure.png"), metavar="FILE"),
)


def run(flags: Namespace) -> None:
    """Draw the saved predictions of results, over the frames of a benchmark, into a picture; print its path.

    Raises:
        UsageError, ValueError, OSError: for a user's mistake.
    """
    from ..experiments.reports.figure import figure
    from ..results.pictures.plots import write_figure

    write_figure(flags.output, figure(flags.results, flags.on, flags.sequences, flags.frames))
    print(flags.output)
