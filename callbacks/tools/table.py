"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
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
    from ..results.records import tabulate
    from ..results.result import results_below

    results: dict[tuple[str, Path], Result] = {}
    for text in folders:
        name, folder = _named(str(text))
        below = {(name, place): result for place, result in results_below(folder).items()}
        if name:
            _refuse_repeated(f"{name}={folder}", _records(below, scores))
        results |= below
    records = _records(results, scores)
    if not records:
        known = ", ".join(sorted({result.stage_of(key)[1] for result in results.values() for key in result.scores}))
        raise ValueError(f"table: no result has {' or '.join(scores) or 'a score'}; the results have {known or 'none'}")
    table = tabulate(records)
    table = table.with_differences(base) if base else table
    return _with_published(table, records) if published else table


def _records(results: Mapping[tuple[str, Path], Result], scores: Sequence[str]) -> list[Record]:
    """Return the records of results by the user's name and folder."""
    from ..results.records import records_of

    return [record for (name, place), result in results.items() for record in records_of(result, name, scores, place)]


def _refuse_repeated(text: str, records: Sequence[Record]) -> None:
    """Refuse a named folder with two results for the same column: they would count as seeds."""
    counts = Counter((record.name, record.stage.stride, record.column) for record in records)
    for (_, _, column), count in counts.items():
        if count > 1:
            known = f"{text} holds {count} results of {column.benchmark} by the same protocol"
            raise ValueError(f"table: {known}; name a single folder")


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of benchmark results, or a folder above; folders with the same NAME are seeds of a row"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    shown = "score to show, as J-Mean (may be repeated)"
    parser.add_argument("--score", action="append", default=[], metavar="KEY", help=shown)
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


def _with_published(table: Table, records: Sequence[Record]) -> Table:
    from ..results.published import published_beside
    from ..results.records import Cell, Table, heads_of

    rows = {name: dict(row) for name, row in table.rows.items()}
    heads = heads_of(record.column for record in records)
    exact = dict.fromkeys((rec.column, rec.stage.protocol.digest) for rec in records if rec.result.on_test_set)
    for column, digest in exact:
        for published in published_beside(column.benchmark, digest):
            if column.score in published.scores:
                row = rows.setdefault(f"{published.name} [{published.source}]", {})
                row[heads[column]] = Cell((published.scores[column.score],))
    return Table(table.heads, rows, table.base)
