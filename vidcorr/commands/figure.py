"""Draw the masks of results side by side: rows of methods and the truth, columns of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag
from ..near_names import CommandParser


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr figure", description=__doc__)
    folders = "folder of a result with predictions, or a folder above; NAME= names the row"
    parser.add_argument("results", nargs="+", metavar="[NAME=]RESULT", help=folders)
    on = "benchmark and folder of its data, as davis=FOLDER"
    parser.add_argument("--on", required=True, metavar="NAME=FOLDER", help=on)
    add_list_flag(parser, "--sequences", "NAME", "sequences, a block of rows each (default: the first two in all)")
    frames = "frames, a column each, counted from 0 (default: five, evenly spaced)"
    add_list_flag(parser, "--frames", "N", frames, int)
    output = "file to write: .png; .pdf or .svg, whose text stays text (default: figure.png)"
    parser.add_argument("--output", type=Path, default=Path("figure.png"), metavar="FILE", help=output)
    flags = parser.parse_args(list(args))

    from ..experiments.figure import figure
    from ..results.pictures.plots import write_figure

    write_figure(flags.output, figure(flags.results, flags.on, flags.sequences, flags.frames))
    print(flags.output)
