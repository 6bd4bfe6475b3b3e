"""Tables of results in folders, with a column per benchmark and protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..results.published import published_beside
from ..results.records import Column, Record, last_evaluations, records_of, results_in
from ..results.result import Result
from ..results.tables import Cell, Table, tabulate


def gather_results(
    folders: Sequence[str | Path],
    scores: Sequence[str] = (),
    published: bool = False,
    base: str = "",
    several: bool = False,
) -> Table:
    """Make a table of the results in folders.

    A row is a network over its seeds. The scores of a column share benchmark,
    protocol (by its digest), sequences and split. Results that are not seeds of the same row get separate rows, with
    their folders in the names.

    Args:
        folders: folders of benchmark results, or folders above. `NAME=FOLDER` names the row; results with different
            seeds below it, and several folders with the same name, are seeds of the row. Of a training, the last
            evaluation counts.
        scores: names, for example `J&F-Mean`; by default the first score of every benchmark.
        published: add published scores for the same benchmark, sequences and protocol.
        base: base row for differences, or empty.
        several: show up to three main scores of every benchmark instead of its first, if `scores` is empty.

    Raises:
        ValueError: if a folder holds no results, a file is damaged, no result has any of the scores, the base row is
            unknown, or a named folder holds two results of a seed for the same column.
    """
    table = tabulate(gather_records(folders, scores, several))
    if base:
        table = table.with_differences(base)
    return _with_published(table) if published else table


def gather_records(folders: Sequence[str | Path], scores: Sequence[str] = (), several: bool = False) -> list[Record]:
    """Return the scores of the results in folders.

    Args:
        folders: folders of benchmark results, or folders above. `NAME=FOLDER` names the row.
        scores: names; by default the first score of every benchmark.
        several: up to three main scores of every benchmark instead of its first, if `scores` is empty.

    Raises:
        ValueError: if a folder holds no results, a file is damaged, no result has any of the scores, or a named folder
            holds two results of a seed for the same column.
    """
    results: dict[tuple[str, Path], Result] = {}
    for text in folders:
        name, found = results_in(text)
        if name:
            found = last_evaluations(found)
        below = {(name, place): result for place, result in found.items()}
        if name:
            _refuse_repeated(str(text), _records(below, scores, several))
        results |= below
    records = _records(results, scores, several)
    if not records:
        known: set[str] = set()
        for result in results.values():
            for key in result.scores:
                known.add(key)
        wanted = " or ".join(scores) or "a score"
        raise ValueError(f"table: no result has {wanted}; the results have {', '.join(sorted(known)) or 'none'}")
    return records


def gather_last_records(folders: Sequence[str | Path], scores: Sequence[str] = ()) -> list[Record]:
    """Return up to three main scores of the results in folders; of a training, the last evaluation counts.

    Args:
        folders: folders of benchmark results, or folders above. `NAME=FOLDER` names the row.
        scores: names, in place of the main scores.

    Raises:
        ValueError: as `gather_records`.
    """
    records = gather_records(folders, scores, several=True)
    last = last_evaluations({record.place: record.result for record in records})
    return [record for record in records if record.place in last]


def _records(results: Mapping[tuple[str, Path], Result], scores: Sequence[str], several: bool = False) -> list[Record]:
    """Return the records of results by the user's name and folder."""
    records = []
    for (name, place), result in results.items():
        shown = scores
        if several and not scores:
            shown = result.main_scores()
        records += records_of(result, name, shown, place)
    return records


def _refuse_repeated(text: str, records: Sequence[Record]) -> None:
    """Refuse a named folder with two results of a seed for the same column.

    Args:
        text: the folder, as the user names it.
        records: scores of the results below it.
    """
    places: dict[tuple[object, ...], Path] = {}
    for record in records:
        cell_and_seed = (record.name, record.stage.stride, record.column, record.seed)
        first = places.setdefault(cell_and_seed, record.place)
        if first != record.place:
            of_seed = "" if record.seed is None else f" of seed {record.seed}"
            column = f"{record.column.benchmark} by the same protocol"
            twice = f"two results{of_seed} of {column}, {first} and {record.place}"
            raise ValueError(f"table: {text} holds {twice}; name a single folder")


def _with_published(table: Table) -> Table:
    """Return the table with rows of published scores for the columns of complete test sets."""
    exact: dict[tuple[str, Column, str], None] = {}
    for row in table.rows.values():
        for head, cell in row.items():
            for record in cell.records:
                if record.result.on_test_set:
                    exact[head, record.column, record.stage.protocol.digest] = None
    rows = {name: dict(row) for name, row in table.rows.items()}
    for head, column, digest in exact:
        for published in published_beside(column.benchmark, digest):
            if column.score in published.scores:
                row = rows.setdefault(f"{published.name} [{published.source}]", {})
                row[head] = Cell(published=published.scores[column.score])
    return replace(table, rows=rows)
