"""The flags and the call of `vidcorr table`."""

import sys
from argparse import BooleanOptionalAction, Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag, several
from ..videos.files import user_path

FOLDERS = "folder of results, or a folder above; all results under one NAME are one row, their seeds are averaged"
BASE = "base row; other rows show their differences from it"
FORM = "format of the printed table (default: text in a terminal, md in a file or pipe); html is a page, tex "
FORM += "needs booktabs and adjustbox"
INTERVALS = "print 95 %% intervals (default: in all formats but tex)"
PUBLISHED = "add published rows of the same whole test set and protocol; html has them always"
OUTPUT = "file to write in place of printing; its ending is the format unless --format names one: board.html"
FORMAT_OF_ENDING = {".txt": "text", ".md": "md", ".html": "html", ".csv": "csv", ".tex": "tex"}
"""Ending of a table's file → format of the table."""
FLAGS = (
    Flag("folders", FOLDERS, nargs="+", metavar="[NAME=]FOLDER"),
    several("--score", "KEY", "scores, as J-Mean (default: three of each benchmark, or the study's)"),
    Flag("--base", BASE, default="", metavar="ROW"),
    Flag("--format", FORM, choices=["text", "md", "html", "csv", "tex"]),
    Flag("--intervals", INTERVALS, action=BooleanOptionalAction),
    Flag("--published", PUBLISHED, action="store_true"),
    Flag("--output", OUTPUT, type=user_path, metavar="FILE"),
    Flag("--study", "show the rows of this study, from the folder of its runs", metavar="FILE"),
)


def run(flags: Namespace) -> None:
    """Read results below folders, or of a study, and print them as a table or write it to a file."""
    from ..experiments.reports.result_table import table
    from ..experiments.reports.study_report import read_study, study_table
    from ..results.rendering import print_table, render
    from ..videos.files import write_atomically

    output = flags.output
    format = flags.format
    if output and not format:
        format = FORMAT_OF_ENDING.get(output.suffix.lower())
        if format is None:
            endings = ", ".join(FORMAT_OF_ENDING)
            remedy = f"end it in one of {endings}, or give --format"
            raise ValueError(f"--output {output}: its ending names no form: {remedy}")
    if flags.study:
        if len(flags.folders) > 1:
            raise ValueError(f"table --study: name one folder, that of the study's runs; got {len(flags.folders)}")
        if flags.published:
            raise ValueError("table --study: a study states its published rows: leave --published out")
        shown = study_table(read_study(flags.study), Path(flags.folders[0]), flags.score)
    else:
        # a page always has the published rows
        shown = table(flags.folders, flags.score, with_published=flags.published or format == "html")
    if flags.base:
        shown = shown.with_differences(flags.base)
    if format == "csv":  # CSV has no place for the sentences below a table
        for note in shown.notes:
            print(note, file=sys.stderr)
    if output:
        write_atomically(output, render(shown, format, flags.intervals, start=output.parent))
        print(output)
    else:
        print_table(shown, format, flags.intervals)
