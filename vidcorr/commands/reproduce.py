"""The flags and the call of `vidcorr reproduce`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.benchmark_choice import read_on
from ..experiments.flags import Flag, several
from ..videos.files import require_one_of

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

    from ..experiments.reproduce import lacks_weights, list_of_rows, reproduce
    from ..results.published import published_rows

    rows = [row for row in published_rows() if row.short_name]
    if flags.rows:
        names = dict.fromkeys(row.short_name for row in rows)
        for name in flags.rows:
            require_one_of(names, row=name)
        rows = [row for row in rows if row.short_name in flags.rows]
    if not benchmarks or not (flags.rows or flags.all):
        print(list_of_rows(rows, flags.output), end="")
        return
    missing = list(filter(lacks_weights, rows))
    if missing:
        print(f"left out for want of weights:\n{list_of_rows(missing, flags.output)}", flush=True)
    reproduce([row for row in rows if row not in missing], benchmarks, flags.output)
