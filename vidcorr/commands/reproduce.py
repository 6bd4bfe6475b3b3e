"""Repeat published scores with public weights: `evaluate` by a row's network and protocol, the printed score beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag, read_on
from ..near_names import CommandParser
from ..videos.files import require_one_of


def command(args: Sequence[str]) -> None:
    """Run `vidcorr reproduce` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed.
    """
    parser = CommandParser(prog="vidcorr reproduce", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to repeat (default: all rows with weights)")
    on = "benchmarks and their data, as davis=/data/DAVIS (default: list the rows)"
    add_list_flag(parser, "--on", "NAME=FOLDER", on)
    parser.add_argument("--output", type=Path, default="reproduced", help="folder of results (default: %(default)s)")
    flags = parser.parse_args(list(args))
    benchmarks = read_on(flags.on)

    from ..experiments.reproduce import lacks_weights, listed, reproduce
    from ..results.published import published_rows

    rows = [row for row in published_rows() if row.short_name]
    if flags.rows:
        names = dict.fromkeys(row.short_name for row in rows)
        for name in flags.rows:
            require_one_of(names, row=name)
        rows = [row for row in rows if row.short_name in flags.rows]
    if not benchmarks:
        print(listed(rows), end="")
        return
    missing = list(filter(lacks_weights, rows))
    if missing:
        print(f"left out for want of weights:\n{listed(missing)}", flush=True)
    reproduce([row for row in rows if row not in missing], benchmarks, flags.output)
