"""The tables and pages of a folder of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.page import write_report
from ..results.records import Record, main_keys, records_of
from ..results.rendering import render
from ..results.result import RESULTS_FILE, Result, has_result
from ..results.tables import Table, table_footnotes, tabulate, text_rows
from ..results.text_tables import markdown_table
from ..videos.files import write_atomically

if TYPE_CHECKING:
    from .evaluate import Job


def table_of(results: Mapping[Job, Result], base: str = "") -> Table:
    """Return the table of results, with differences from the base network if it has results.

    Args:
        results: job → its result.
        base: name of the base network, or empty.
    """
    return _tabulate(_records(results), results, base)


def _records(results: Mapping[Job, Result]) -> list[Record]:
    """Return the main scores of results, of every stage."""
    records = []
    for job, result in results.items():
        records += _main_records(result, job.network.row)
    return records


def _main_records(result: Result, row: str, place: Path = Path()) -> list[Record]:
    return records_of(result, row, main_keys(result), place)


def _tabulate(records: Sequence[Record], results: Mapping[Job, Result], base: str) -> Table:
    """Return the table of records, with differences from the first row of the base network."""
    table = tabulate(records, trained=False)
    base_rows = {job.network.row for job in results if job.network.name == base}
    if not base or not base_rows:
        return table
    for name, row in table.rows.items():  # a network with several strides has several rows
        for cell in row.values():
            if cell.records and cell.records[0].row in base_rows:
                return table.with_differences(name)
    return table


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
    earlier, notes = _earlier_records(output, places, _records(results))
    for job in elsewhere:
        notes.append(f"Not in the table, because it runs elsewhere: {job.title}")
    whole = table
    closing = str(output / "table.md")
    if earlier:
        whole = _tabulate([*_records(results), *earlier], results, base)
        closing += " has the earlier results of the folder too"
    if whole.rows:
        write_atomically(output / "table.md", _markdown(whole, notes))
        write_atomically(output / "table.csv", render(whole, "csv"))
    print(_markdown(table, notes))
    if whole.rows:
        print(closing)


def _earlier_records(
    output: Path, places: Collection[Path], records: Sequence[Record]
) -> tuple[list[Record], list[str]]:
    """Read the results of earlier commands in a folder.

    A result that this command, or a later one, has made again from other data or code is left out.

    Args:
        output: the folder.
        places: folders of the results of this command.
        records: main scores of this command.

    Returns:
        The main scores of the results, and a note per result that is left out.
    """
    shown = set(map(_cell_of, records))
    found = []
    notes = []
    for file in sorted(output.glob(f"*/{RESULTS_FILE}")):
        place = file.parent
        if place in places or not has_result(place):
            continue
        try:
            found.append((place, Result.load(place)))
        except ValueError as error:
            notes.append(f"Left out: {error}")
    earlier: list[Record] = []
    for place, result in sorted(found, key=_age, reverse=True):
        of_result = _main_records(result, result.network.row, place)
        cells = set(map(_cell_of, of_result))
        if cells <= shown:
            date = result.provenance.date
            notes.append(f"Left out: {place.name}, made on {date}; a later result has its row and column")
            continue
        shown |= cells
        earlier += of_result
    return earlier, notes


def _age(found: tuple[Path, Result]) -> tuple[str, int]:
    """Return the date of a result, and the time of its file, which tells two results of one second apart."""
    place, result = found
    return result.provenance.date, (place / RESULTS_FILE).stat().st_mtime_ns


def _cell_of(record: Record) -> tuple[object, ...]:
    """Return row and column of a record, and its seed."""
    return record.name, record.stage.layer, record.stage.stride, record.column, record.seed


def _markdown(table: Table, notes: Sequence[str]) -> str:
    """Return a table per benchmark and protocol as Markdown, with notes below."""
    parts = []
    for title, block in table.blocks.items():
        rows = [row for row in text_rows(table, block) if any(row[1:])]
        parts.append(f"## {title}\n\n{markdown_table(['', *block.values()], rows, first_right=1)}")
    for note in (*table_footnotes(table), *notes):
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
            if each == job or other.benchmark != result.benchmark:
                continue
            name = each.network.row
            if name in others or name == job.network.row:  # a network by several protocols
                name = each.title
            others[name] = other
        if others and (place_of(job) / "report.html").is_file():
            write_report(place_of(job), others, result)
