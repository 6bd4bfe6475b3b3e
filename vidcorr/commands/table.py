"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports pydantic, which would delay the help
    from ..results.tables import Table

FORMATS = {"md": "md", "csv": "csv", "tex": "tex", "latex": "tex"}
"""Format of the command line → format of `render`."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    if (flags.name or flags.intervals) and not flags.paper:
        raise ValueError("table: --name and --intervals belong to --paper; without it, NAME=FOLDER names a row")
    if flags.page is not None:
        _write_page(flags)
    else:
        _print_table(flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; with NAME=, its seeds and folders of the same NAME are a row"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    shown = "score to show, as J-Mean (may be repeated)"
    parser.add_argument("--score", action="append", default=[], metavar="KEY", help=shown)
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    parser.add_argument("--published", action="store_true", help="add published scores of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    paper = "as a paper prints it: short heads and names, protocol and features in the caption"
    parser.add_argument("--paper", action="store_true", help=paper)
    name = "with --paper: name to print for a network or row (may be repeated)"
    parser.add_argument("--name", action="append", default=[], metavar="SPEC=NAME", help=name)
    parser.add_argument("--intervals", action="store_true", help="with --paper: add 95 %% intervals")
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    page = "write the results beside published ones as a page, DIR/results.html, instead of a printed table"
    parser.add_argument("--page", metavar="DIR", help=page)
    return parser


def _print_table(flags: argparse.Namespace) -> None:
    """Print the table of a study or of results in folders."""
    table = _study(flags) if flags.study else _gathered(flags)
    if not flags.paper:
        from ..results.rendering import render

        print(render(table, FORMATS[flags.format]), end="")
        return
    if flags.format == "csv" or flags.base:
        raise ValueError("table --paper: prints Markdown or LaTeX, without --base; leave out --base, or --format csv")

    from ..results.paper import paper_table, read_names

    print(paper_table(table, read_names(flags.name, table), flags.intervals, FORMATS[flags.format]), end="")


def _write_page(flags: argparse.Namespace) -> None:
    """Write the page of the results in folders and print its path."""
    if flags.paper or flags.study or flags.base or flags.format != "md":
        raise ValueError("table --page: takes folders and --score only; published rows are always on the page")

    from ..experiments.table import gather_last_records
    from ..results.results_page import write_results_page

    print(write_results_page(gather_last_records(flags.folders, flags.score), flags.page))


def _study(flags: argparse.Namespace) -> Table:
    """Return the table of a study."""
    if len(flags.folders) > 1 or flags.score or flags.published or flags.base:
        raise ValueError("table --study: give a single folder, without --score and --base, which are the study's")

    from ..experiments.study import read_study
    from ..experiments.study_table import study_table

    return study_table(read_study(flags.study), Path(flags.folders[0]))


def _gathered(flags: argparse.Namespace) -> Table:
    """Return the table of results in folders."""
    from ..experiments.table import gather_results

    return gather_results(flags.folders, flags.score, flags.published, flags.base, several=flags.paper)
