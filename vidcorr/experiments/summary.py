"""The tables and pages of a folder of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.formats import grid
from ..results.page import write_report
from ..results.records import Record, records_of
from ..results.result import RESULTS_FILE, Result
from ..results.tables import Table, footnotes, render, tabulate, text_rows
from ..videos.files import write_atomically

if TYPE_CHECKING:
    from .evaluate import Job


def table_of(results: Mapping[Job, Result], base: str = "", earlier: Sequence[Record] = ()) -> Table:
    """Return the table of the main scores of results, with differences from the first row of the base network.

    Args:
        results: job → its result.
        base: name of the base network; without results of it the table has no differences.
        earlier: further records.
    """
    records: list[Record] = []
    base_rows = set()
    for job, result in results.items():
        records += _main_records(result, job.network.name)
        if base and job.network.name == base:
            base_rows.add(job.network.name)
    table = tabulate([*records, *earlier], trained=False)
    for name, row in table.rows.items():  # a network with several strides has several rows
        if any(record.row in base_rows for cell in row.values() for record in cell.records):
            return table.with_differences(name)
    return table


def _main_records(result: Result, row: str, place: Path = Path()) -> list[Record]:
    return records_of(result, row, result.main_scores(), place)


def show(
    table: Table,
    results: Mapping[Job, Result],
    places: Collection[Path],
    output: Path,
    base: str,
    elsewhere: Sequence[Job],
) -> None:
    """Print the table of results, and write table.md and table.csv with the earlier results of the folder too.

    Args:
        table: the table of the results.
        results: job → its result.
        places: folders of all jobs of this command.
        output: folder with a folder per result.
        base: name of the base network, or empty.
        elsewhere: jobs that another process runs; they are named below the table.
    """
    earlier, notes = _earlier_records(output, places, table)
    notes += [f"Not in the table, because it runs elsewhere: {job.title}" for job in elsewhere]
    print(_markdown(table, notes))
    whole = table_of(results, base, earlier) if earlier else table
    if whole.rows:
        write_atomically(output / "table.md", _markdown(whole, notes))
        write_atomically(output / "table.csv", render(whole, "csv"))
        print(f"{output / 'table.md'}{' has the earlier results of the folder too' if earlier else ''}")


def _earlier_records(output: Path, places: Collection[Path], table: Table) -> tuple[list[Record], list[str]]:
    """Read the results of earlier commands in a folder.

    A result that this command, or a later one, has made again from other data or code is left out.

    Args:
        output: the folder.
        places: folders of the results of this command.
        table: the table of this command.

    Returns:
        The main scores of the results, and a note per result that is left out.
    """
    shown = set(map(_cell_of, table.records))
    found: list[tuple[str, int, Path, Result]] = []
    notes = []
    for file in output.glob(f"*/{RESULTS_FILE}"):
        if file.parent in places or not file.stat().st_size:
            continue
        try:
            result = Result.load(file)
        except ValueError as error:
            notes.append(f"Left out: {error}")
            continue
        found.append((result.provenance.date, file.stat().st_mtime_ns, file.parent, result))
    earlier: list[Record] = []
    for date, _, place, result in sorted(found, key=lambda each: each[:2], reverse=True):
        records = _main_records(result, result.network.row, place)
        cells = set(map(_cell_of, records))
        if cells <= shown:
            notes.append(f"Left out: {place.name}, made on {date}; a later result has its row and column")
            continue
        shown |= cells
        earlier += records
    return earlier, notes


def _cell_of(record: Record) -> tuple[object, ...]:
    """Return row and column of a record, and its seed."""
    return record.name, record.stage.layer, record.stage.stride, record.column, record.seed


def _markdown(table: Table, notes: Sequence[str]) -> str:
    """Return a table per benchmark and protocol as Markdown, with notes below."""
    parts = []
    for title in dict.fromkeys(column.title for column in table.columns.values()):
        block = {head: column.score for head, column in table.columns.items() if column.title == title}
        rows = [row for row in text_rows(table, block) if any(row[1:])]
        parts.append(f"## {title}\n\n{grid('md', ['', *block.values()], rows)}")
    for note in (*footnotes(table), *notes):
        parts.append(f"{note}\n")
    return "\n".join(parts)


def write_pages(results: Mapping[Job, Result], place_of: Callable[[Job], Path], base: str = "") -> None:
    """Write the pages of results again, with comparisons to all other results of the same benchmark.

    The other results have the names of the table's rows, and the base network comes first: a page begins with the
    differences from it.

    Args:
        results: job → its result.
        place_of: returns the folder of a job.
        base: name of the base network, or empty.
    """
    for job, result in results.items():
        others = {}
        for each, other in sorted(results.items(), key=lambda found: found[0].network.name != base):
            if each == job or other.data_set != result.data_set:
                continue
            name = each.network.name
            if name in others or name == job.network.name:  # a network by several protocols
                name = each.title
            others[name] = other
        if others and (place_of(job) / "report.html").is_file():
            write_report(place_of(job), others, result)
