"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
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
    """Make a table of the results in folders.

    A row is a network, and a stage if a result has several, over its seeds. The scores of a column share benchmark,
    protocol (by its digest), sequences and split. Results that are not seeds of the same row get separate rows, with
    their folders in the names.

    Args:
        folders: folders of benchmark results, or folders above. `NAME=FOLDER` names the row; several folders with the
            same name are seeds of the row.
        scores: keys without a stage, for example `J&F-Mean`; by default the first score of every benchmark.
        published: add published scores for the same benchmark, sequences and protocol.
        base: base row for differences, or empty.

    Raises:
        ValueError: if a folder holds no results, a file is damaged, no result has any of the scores, the base row is
            unknown, or a named folder holds two results for the same column.
    """
    from ..results.records import records_of, tabulate
    from ..results.result import results_below

    results: dict[tuple[str, Path], Result] = {}
    records: list[Record] = []
    for text in folders:
        name, folder = _named(str(text))
        below = {(name, place): result for place, result in results_below(folder).items()}
        found = [record for (_, place), result in below.items() for record in records_of(result, name, scores, place)]
        taken: dict[tuple[object, ...], Path] = {}
        for record in found if name else ():
            key = (record.name, record.stage.stride, record.column)
            if (other := taken.setdefault(key, record.place)) != record.place:
                twice = f"two results of {record.column.benchmark} by the same protocol, {other} and {record.place}"
                raise ValueError(f"table: {name}={folder} holds {twice}; name a single folder")
        records += [record for record in found if (name, record.place) not in results]
        results |= below
    if not records:
        known = ", ".join(sorted({result.stage_of(key)[1] for result in results.values() for key in result.scores}))
        raise ValueError(f"table: no result has {' or '.join(scores) or 'a score'}; the results have {known or 'none'}")
    table = tabulate(records)
    table = table.with_differences(base) if base else table
    return _with_published(table) if published else table


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="folder of benchmark results, or a folder above; folders with the same NAME are seeds of a row",
    )
    parser.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="KEY",
        help="score to show, as J-Mean (may be repeated)",
    )
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    parser.add_argument("--published", action="store_true", help="add published scores of the same data and protocol")
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
    """Split `NAME=FOLDER`; the path of an existing folder may contain `=`."""
    name, equals, folder = text.partition("=")
    return ("", Path(text)) if not equals or "/" in name or Path(text).exists() else (name, Path(folder))


def _with_published(table: Table) -> Table:
    from ..results.published import published_beside
    from ..results.records import Cell

    shown = [(head, rec) for row in table.rows.values() for head, cell in row.items() for rec in cell.records]
    exact = dict.fromkeys(
        (head, rec.column, rec.stage.protocol.digest) for head, rec in shown if rec.result.on_test_set
    )
    rows = {name: dict(row) for name, row in table.rows.items()}
    for head, column, digest in exact:
        for published in published_beside(column.benchmark, digest):
            if column.score in published.scores:
                row = rows.setdefault(f"{published.name} [{published.source}]", {})
                row[head] = Cell(published=published.scores[column.score])
    return replace(table, rows=rows)
