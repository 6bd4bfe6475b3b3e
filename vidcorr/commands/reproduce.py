"""The flags and the call of `vidcorr reproduce`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.runs.benchmark_choice import read_on
from ..experiments.runs.flags import Flag, several
from ..videos.files import require_one_of

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.published import Published

ON = "benchmarks and their data, as davis=/data/DAVIS"
FLAGS = (
    Flag("rows", "rows to repeat on the data of --on, else to list (default: list all)", nargs="*", metavar="ROW"),
    Flag("--all", "repeat all rows with weights; those that --output holds are not run again", action="store_true"),
    several("--on", "NAME=FOLDER", ON),
    Flag("--output", "folder of results (default: %(default)s)", type=Path, default="reproduced"),
)


def run(flags: Namespace) -> None:
    """Run the command.

    Raises:
        ValueError: for a user's mistake, or if a row failed.
    """
    benchmarks = read_on(flags.on)

    from ..experiments.reports.reproduce import lacks_weights, list_of_rows, reproduce

    rows = rows_of_names(flags.rows)
    if not benchmarks or not (flags.rows or flags.all):
        print(list_of_rows(rows), end="")
        return
    missing = list(filter(lacks_weights, rows))
    if missing:
        print(f"left out for want of weights:\n{list_of_rows(missing)}", flush=True)
    reproduce([row for row in rows if row not in missing], benchmarks, flags.output)


def rows_of_names(names: Collection[str]) -> list[Published]:
    """Return the published rows of short names; of no names all rows that have one.

    Raises:
        ValueError: for an unknown name.
    """
    from ..results.published import published_rows

    rows = [row for row in published_rows() if row.short_name]
    short_names = dict.fromkeys(row.short_name for row in rows)
    for name in names:
        require_one_of(short_names, row=name)
    return [row for row in rows if not names or row.short_name in names]
