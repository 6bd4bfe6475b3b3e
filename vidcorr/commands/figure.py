"""Draw the predictions of results side by side: rows of methods and the truth, columns of frames."""

import argparse
from collections.abc import Sequence
from pathlib import Path

WIDEST = 4096
"""Limit of a frame's width in pixels: a wider figure does not fit into memory."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr figure`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr figure", description=__doc__)
    folders = "folder of a result with predictions, or a folder above; NAME= names the row"
    parser.add_argument("results", nargs="+", metavar="[NAME=]RESULT", help=folders)
    names = "sequences, a block of rows each (default: the first two)"
    parser.add_argument("--sequences", nargs="+", default=[], metavar="NAME", help=names)
    frames = "frames, a column each, counted from 0 (default: five, evenly spaced)"
    parser.add_argument("--frames", nargs="+", type=int, default=[], metavar="N", help=frames)
    on = "benchmark and folder of its data, as davis=FOLDER (default: the folder in the benchmark's config)"
    parser.add_argument("--on", default="", metavar="NAME[=FOLDER]", help=on)
    parser.add_argument("--width", type=int, default=320, metavar="PIXELS", help="width of a frame (default: 320)")
    output = "file to write, .png or .pdf (default: figure.png)"
    parser.add_argument("--output", type=Path, default=Path("figure.png"), metavar="FILE", help=output)
    flags = parser.parse_args(list(args))
    if flags.width < 16:
        raise ValueError(f"--width {flags.width}: expected at least 16 pixels")
    if flags.width > WIDEST:
        raise ValueError(f"--width {flags.width}: expected at most {WIDEST} pixels")

    from ..experiments.figure import figure_of
    from ..results.pictures.figure import method_figure, require_figure_file, write_figure

    require_figure_file(flags.output)
    blocks = figure_of(flags.results, flags.sequences, flags.frames, flags.on)
    write_figure(flags.output, method_figure(blocks, flags.width))
    print(f"{flags.output}: {len(blocks)} sequence(s), {len(blocks[0].rows)} rows")
