"""The flags and the call of `vidcorr reproduce`."""

from argparse import Namespace

from ..experiments.runs.benchmark_choice import read_on
from ..experiments.runs.flags import Flag, folder, several

ON = "benchmarks and their data, as davis=/data/DAVIS"
FLAGS = (
    Flag("rows", "rows to repeat on the data of --on, else to list (default: list all)", nargs="*", metavar="ROW"),
    Flag("--all", "repeat all rows with weights; those that --output holds are not run again", action="store_true"),
    several("--on", "NAME=FOLDER", ON),
    Flag("--output", "folder of results (default: %(default)s)", type=folder, default="reproduced"),
)


def run(flags: Namespace) -> None:
    """Evaluate the networks of published rows, and print our scores beside the published scores.

    Without `--on`, or with neither rows nor `--all`, the rows are listed. Rows whose weights are not to be had are
    named.
    """
    benchmarks = read_on(flags.on)

    from ..experiments.reports.published_scores import lacks_weights, list_of_rows, reproduce, rows_named

    rows = rows_named(flags.rows)
    if not benchmarks or not (flags.rows or flags.all):
        print(list_of_rows(rows), end="")
        return
    missing = list(filter(lacks_weights, rows))
    if missing:
        print(f"left out for want of weights:\n{list_of_rows(missing)}", flush=True)
    reproduce([row for row in rows if row not in missing], benchmarks, flags.output)
