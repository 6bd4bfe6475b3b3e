"""The flags and the call of `vidcorr table`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..experiments.flags import FORMAT_FLAGS, Flag, several

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.rendering import Table

FOLDERS = "folder of results, or a folder above; all results under one NAME are one row, their seeds are averaged"
BASE = "base row; other rows show their differences from it"
PUBLISHED = "add published rows of the same whole test set and protocol; html has them always"
OUTPUT = "file to write in place of printing; its ending is the format unless --format names one: board.html"
FLAGS = (
    Flag("folders", FOLDERS, nargs="+", metavar="[NAME=]FOLDER"),
    several("--score", "KEY", "scores, as J-Mean (default: three of each benchmark, or the study's)"),
    Flag("--base", BASE, default="", metavar="ROW"),
    *FORMAT_FLAGS,
    Flag("--published", PUBLISHED, action="store_true"),
    Flag("--output", OUTPUT, type=Path, metavar="FILE"),
    Flag("--study", "show the rows of this study, from the folder of its runs", metavar="FILE"),
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises ValueError or OSError."""
    from ..experiments.table import table
    from ..results.rendering import Format, printed
    from ..videos.files import write_atomically

    output = flags.output
    format = flags.format
    if output and not format and output.suffix[1:] in get_args(Format):
        format = output.suffix[1:]
    if flags.study:
        shown = table_of_study(flags)
    else:
        shown = table(flags.folders, flags.score, flags.published or format == "html")
    if flags.base:
        shown = shown.with_differences(flags.base)
    text = printed(shown, format, flags.intervals, output.parent if output else Path())
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, text)
        print(output)
    else:
        print(text, end="")


def table_of_study(flags: Namespace) -> Table:
    """Return the table of `--study`.

    Raises:
        ValueError: for several folders, or flags that a study replaces.
    """
    from ..experiments.study import read_study, study_table

    if len(flags.folders) > 1:
        raise ValueError(f"table --study: name one folder, that of the study's runs; got {len(flags.folders)}")
    if flags.published:
        raise ValueError("table --study: a study states its published rows: leave --published out")
    return study_table(read_study(flags.study), Path(flags.folders[0]), flags.score)
