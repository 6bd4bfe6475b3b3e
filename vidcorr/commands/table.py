"""Gather results into a table: text in a terminal, Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag
from ..near_names import CommandParser


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))

    from ..experiments.study import read_study, study_table
    from ..experiments.table import table
    from ..results.rendering import printed

    if flags.study:
        if len(flags.folders) > 1:
            raise ValueError(f"table --study: name one folder, that of the study's runs; got {len(flags.folders)}")
        if flags.published:
            raise ValueError("table --study: a study states its published rows: leave --published out")
        shown = study_table(read_study(flags.study), Path(flags.folders[0]), flags.score)
    else:
        shown = table(flags.folders, flags.score, flags.published)
    if flags.base:
        shown = shown.with_differences(flags.base)
    print(printed(shown, flags.format, flags.intervals), end="")


def _parser() -> CommandParser:
    parser = CommandParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; all results under one NAME are one row, their seeds are averaged"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    add_list_flag(parser, "--score", "KEY", "scores, as J-Mean (default: three of each benchmark, or the study's)")
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    add_format_flag(parser)
    published = "add published rows of the same whole test set and protocol"
    parser.add_argument("--published", action="store_true", help=published)
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    return parser


def add_format_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a printed table."""
    form = "format of the printed table (default: text in a terminal, md in a file or pipe); tex needs booktabs and "
    form += "adjustbox, hub is YAML for .eval_results/ of a model page"
    parser.add_argument("--format", choices=["text", "md", "csv", "tex", "hub"], help=form)
    intervals = "print 95 %% intervals (default: in all formats but tex)"
    parser.add_argument("--intervals", action=argparse.BooleanOptionalAction, help=intervals)
