"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..results.rendering import FORMATS, render


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; with NAME=, its seeds and folders of the same NAME are a row"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    shown = "score to show, as J-Mean (may be repeated)"
    parser.add_argument("--score", action="append", default=[], metavar="KEY", help=shown)
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    parser.add_argument("--published", action="store_true", help="add published scores of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    flags = parser.parse_args(list(args))
    if flags.study:
        if len(flags.folders) > 1 or flags.score or flags.published or flags.base:
            raise ValueError("table --study: give a single folder, without --score and --base, which are the study's")

        from ..experiments.study import read_study
        from ..experiments.study_table import study_table

        table = study_table(read_study(flags.study), Path(flags.folders[0]))
    else:
        from ..experiments.table import gather_results

        table = gather_results(flags.folders, flags.score, flags.published, flags.base)
    print(render(table, flags.format), end="")
