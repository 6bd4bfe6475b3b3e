"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))

    from ..experiments.study import read_study, study_table
    from ..experiments.table import gather_records
    from ..results.page import write_results_page
    from ..results.tables import render, tabulate

    if flags.page is not None:
        print(write_results_page(gather_records(flags.folders, flags.score), flags.page))
        return
    if flags.study:
        (folder,) = flags.folders
        table = study_table(read_study(flags.study), Path(folder), flags.score)
    else:
        table = tabulate(gather_records(flags.folders, flags.score))
    if flags.base:
        table = table.with_differences(flags.base)
    print(render(table, flags.format), end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; all results under one NAME are one row, their seeds are averaged"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    add_list_flag(parser, "--score", "KEY", "scores, as J-Mean (default: three of each benchmark, or the study's)")
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    form = "format of the printed table (default: md); tex has no intervals, and a caption"
    parser.add_argument("--format", choices=["md", "csv", "tex"], default="md", help=form)
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    page = "write the results beside published ones as a page, DIR/results.html, instead of a printed table"
    parser.add_argument("--page", metavar="DIR", help=page)
    return parser
