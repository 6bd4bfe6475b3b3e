"""Repeat published scores with public weights: `evaluate` by a row's network and protocol, the printed score beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import BenchmarkChoice, add_list_flag, read_on
from ..near_names import CommandParser
from ..videos.files import require_one_of

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.published import Published
    from ..results.records import Column
    from ..results.rendering import Table
    from ..results.result import Result

WIDTH = 100
"""Longest line of the list of rows, characters."""


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


def listed(rows: Sequence[Published]) -> str:
    """Return rows as text: a network with its weights, and below it benchmark, first score, protocol and doubt."""
    networks: dict[str, list[Published]] = {}
    for row in rows:
        networks.setdefault(row.short_name, []).append(row)
    lines = []
    for name, members in networks.items():
        missing = f"{members[0].model} is missing: " if lacks_weights(members[0]) else ""
        lines.append(f"{name}: {missing}{members[0].download}")
        for row in members:
            score, value = next(iter(row.scores.items()))
            doubt = f"; doubt: {row.doubt}" if row.doubt else ""
            lines.append(f"    {row.benchmark} {score} {_in_per_cent(value)} by {row.protocol}{doubt}")
    return "".join(map(_wrapped, lines))


def _wrapped(line: str) -> str:
    """Return a line as lines of at most `WIDTH` characters, further indented; words stay whole."""
    indent = " " * (4 + len(line) - len(line.lstrip()))
    return fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def lacks_weights(row: Published) -> bool:
    """Return whether the file of a row's weights is missing."""
    return row.model.endswith(".ckpt") and not Path(row.model).is_file()


def reproduce(rows: Sequence[Published], benchmarks: Sequence[BenchmarkChoice], output: str | Path) -> Table:
    """Evaluate the networks of published rows by their protocols, and print our scores beside the published ones.

    Args:
        rows: rows whose weights are here.
        benchmarks: benchmarks with their data, each for its rows.
        output: folder of the results.

    Returns:
        The table.

    Raises:
        ValueError: if no row has a printed score; or if a job failed, after all other jobs.
    """
    from ..backbones import EncoderSpec
    from ..experiments.store import Job, scored
    from ..results.rendering import printed

    row_of_job: dict[Job, Published] = {}
    for choice in benchmarks:
        for row in rows:
            if row.benchmark == choice.config:
                benchmark = choice.with_arguments(protocol=row.protocol).build()
                network = EncoderSpec(row.model, pretrained=row.model.startswith("timm:"))
                row_of_job[Job(network, benchmark)] = row
    if not row_of_job:
        raise ValueError(f"no row has a printed score on {', '.join(each.config for each in benchmarks)}")
    with scored(list(row_of_job), output) as results:
        table = printed_and_measured([(row_of_job[job], result) for job, result in results.items()])
        print(printed(table), flush=True)
    return table


def printed_and_measured(results: Sequence[tuple[Published, Result]]) -> Table:
    """Return the table of measured scores with the printed ones beside them, in the digits that the paper prints."""
    from ..results.cells import Cell
    from ..results.records import ScoreRecord
    from ..results.statistics import Difference
    from ..results.tabulate import printed_beside, table_of_cells

    cells: list[tuple[str, Column, Cell]] = []
    equal = []
    partial = []
    for row, result in results:
        for score, value in row.scores.items():
            record = ScoreRecord(result, score, row.short_name)
            digits = len(_in_per_cent(value).partition(".")[2])
            change = Difference(result.scores[score] - value)
            if abs(100 * change.mean) <= 0.5 * 10**-digits + 1e-9:  # rounds to the printed digits
                equal.append(f"{row.short_name} {score}")
            cells.append((row.short_name, record.column, Cell((record,), difference=change, digits=digits)))
            cells.append((row.short_name, *printed_beside(record.column, value, digits)))
        if not result.on_test_set:
            partial.append(f"{row.short_name} on {result.benchmark}")
    notes = ["The difference is from the printed score"]
    if equal:
        notes.append(f"As printed: {', '.join(equal)}")
    if partial:
        notes.append(f"Not the whole test set: {', '.join(partial)}")
    return replace(table_of_cells(cells), notes=tuple(notes))


def _in_per_cent(value: float) -> str:
    """Return a published fraction in per cent, with the digits that the paper prints: 0.523 is 52.3, 0.52 is 52.0."""
    digits = max(1, len(str(value)) - len("0.00"))  # two decimals of the fraction stand before the point of per cent
    return f"{100 * value:.{digits}f}"
