"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import add_list_flag

if TYPE_CHECKING:  # it imports pydantic, which would delay the help
    from ..results.tables import Table, TableFormat

FORMATS: dict[str, TableFormat] = {"md": "md", "csv": "csv", "tex": "tex", "latex": "tex"}
"""Format of the command line → format of `render`."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    if flags.page is not None:
        _write_page(flags)
        return
    if flags.paper and flags.format == "csv":
        raise ValueError("table --paper: prints Markdown or LaTeX")

    from ..experiments.table import with_published
    from ..results.tables import render, render_as_in_papers

    table = _study(flags) if flags.study else _gathered(flags)
    if flags.base:
        table = table.with_differences(flags.base)
    if flags.published:
        table = with_published(table)
    table = table.renamed(read_names(flags.name, table))
    format = FORMATS[flags.format]
    text = render_as_in_papers(table, format, flags.intervals) if flags.paper else render(table, format)
    print(text, end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; with NAME=, its seeds and folders of the same NAME are a row"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    add_list_flag(parser, "--score", "KEY", "scores, as J-Mean")
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    parser.add_argument("--published", action="store_true", help="add published scores of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    paper = "as a paper prints it: short heads, protocol and features in the caption"
    parser.add_argument("--paper", action="store_true", help=paper)
    add_list_flag(parser, "--name", "ROW=NAME", "names to print for rows")
    parser.add_argument("--intervals", action="store_true", help="with --paper: add 95 %% intervals")
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    page = "write the results beside published ones as a page, DIR/results.html, instead of a printed table"
    parser.add_argument("--page", metavar="DIR", help=page)
    return parser


def _write_page(flags: argparse.Namespace) -> None:
    """Write the page of the results in folders and print its path."""
    if flags.paper or flags.study or flags.base or flags.name or flags.format != "md":
        raise ValueError("table --page: takes folders and --score only; published rows are always on the page")

    from ..experiments.table import gather_records, last_records
    from ..results.results_page import write_results_page

    records = gather_records(flags.folders, flags.score, several=True)
    print(write_results_page(last_records(records), flags.page))


def _study(flags: argparse.Namespace) -> Table:
    """Return the table of a study."""
    if len(flags.folders) > 1:
        raise ValueError("table --study: give a single folder")

    from ..experiments.study import read_study
    from ..experiments.study_table import study_table

    return study_table(read_study(flags.study), Path(flags.folders[0]), flags.score)


def _gathered(flags: argparse.Namespace) -> Table:
    """Return the table of results in folders."""
    from ..experiments.table import gather_records
    from ..results.tables import tabulate

    return tabulate(gather_records(flags.folders, flags.score, several=flags.paper))


def read_names(texts: Sequence[str], table: Table) -> dict[str, str]:
    """Read texts `ROW=NAME`, in which both parts may contain `=`: the longest ROW that names a row of the table.

    Raises:
        ValueError: for another text.
    """
    names: dict[str, str] = {}
    for text in texts:
        places = [place for place, letter in enumerate(text) if letter == "="]
        rows = [text[:place] for place in places if len(table.matches(text[:place])) == 1]
        if not rows:
            raise ValueError(f"--name {text}: write ROW=NAME, with a row of {'; '.join(table.rows)}")
        names[rows[-1]] = text.removeprefix(f"{rows[-1]}=")
    return names
