"""Gather results.json files into one table: Markdown, CSV or LaTeX, one column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.writing.files import write_atomically

from ..results.rendering import FORMATS, render

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.records import Record, Table
    from ..results.result import Result


def gather_results(
    folders: Sequence[str | Path], scores: Sequence[str] = (), published: bool = False, base: str = ""
) -> Table:
    """Read the results in folders and line up the numbers that compare.

    A row is a network (and a stage, where there are several), over its seeds. A column holds numbers of one benchmark,
    one protocol with all its values (its digest), and the same sequences of the same split. Two results that
    are not seeds of one row never meet in a cell: each has its own row, whose name includes its folder.

    Args:
        folders: folders of benchmark runs, or any folders above them; `NAME=FOLDER` names the row, and several folders
            of one name are its seeds.
        scores: keys without their stage, such as `J&F-Mean`; none takes the first score of each benchmark.
        published: add the rows that papers print for the same benchmark, sequences and protocol.
        base: row that differences are from; empty: none.

    Raises:
        ValueError: if a folder holds no results, a file is none, no result has one of the scores, there is no such
            base row, or a named folder holds two results of one column; one line.
    """
    from ..results.records import records_of, tabulate
    from ..results.result import results_below

    results: dict[tuple[str, Path], Result] = {}
    records: list[Record] = []
    for each in folders:
        name, folder = _named(str(each))
        below = {(name, place): result for place, result in results_below(folder).items()}
        own = [one for (_, place), result in below.items() for one in records_of(result, name, scores, place)]
        taken: dict[tuple[object, ...], Path] = {}
        for one in own if name else ():
            if (other := taken.setdefault((one.name, one.stage.stride, one.column), one.place)) != one.place:
                twice = f"two results of {one.column.benchmark} by one protocol, {other} and {one.place}"
                raise ValueError(f"table: {name}={folder} holds {twice}; name the one that is meant")
        records += [one for one in own if (name, one.place) not in results]
        results |= below
    if not records:
        known = ", ".join(sorted({found.stage_of(key)[1] for found in results.values() for key in found.scores}))
        raise ValueError(f"table: no result has {' or '.join(scores) or 'a score'}; there are {known or 'none'}")
    table = tabulate(records)
    table = table.with_differences(base) if base else table
    return _with_published(table, records) if published else table


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="folders of benchmark runs, or any folder above them; those with one NAME are the seeds of one row",
    )
    parser.add_argument(
        "--score", action="append", default=[], metavar="KEY", help="score to show, such as J-Mean; may be repeated"
    )
    parser.add_argument("--base", default="", metavar="ROW", help="row from which to show each row's difference")
    parser.add_argument("--published", action="store_true", help="add published rows of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    parser.add_argument("--output", type=Path, nargs="+", default=[], help="files to write: .md, .csv or .tex")
    flags = parser.parse_args(list(args))
    if wrong := [path for path in flags.output if path.suffix.removeprefix(".") not in FORMATS]:
        raise ValueError(f"--output {wrong[0]}: the name has to end in .md, .csv or .tex")
    table = gather_results(flags.folders, flags.score, flags.published, flags.base)
    for path in flags.output:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render(table, path.suffix.removeprefix(".")))
    print(render(table, flags.format), end="")


def _named(text: str) -> tuple[str, Path]:
    """Return the name and the folder of `NAME=FOLDER`; a folder that is there may have `=` in its name."""
    name, equals, folder = text.partition("=")
    return ("", Path(text)) if not equals or "/" in name or Path(text).exists() else (name, Path(folder))


def _with_published(table: Table, records: Sequence[Record]) -> Table:
    from ..results.published import published_beside
    from ..results.records import Cell, Table, heads_of

    rows = {name: dict(row) for name, row in table.rows.items()}
    heads = heads_of(one.column for one in records)
    exact = {(one.column, one.stage.protocol.digest): heads[one.column] for one in records if one.result.on_test_set}
    for (column, digest), head in exact.items():
        for published in published_beside(column.benchmark, digest):
            if column.score in published.scores:
                row = rows.setdefault(f"{published.name} [{published.source}]", {})
                row[head] = Cell((published.scores[column.score],))
    return Table(table.heads, rows, table.base)
