"""Tables of results in folders, with a column per benchmark and protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..results.published import published_beside
from ..results.records import Cell, Record, Table, records_of, tabulate
from ..results.result import Result, results_below


def gather_results(
    folders: Sequence[str | Path], scores: Sequence[str] = (), published: bool = False, base: str = ""
) -> Table:
    """Make a table of the results in folders.

    A row is a network, and a stage if a result has several, over its seeds. The scores of a column share benchmark,
    protocol (by its digest), sequences and split. Results that are not seeds of the same row get separate rows, with
    their folders in the names.

    Args:
        folders: folders of benchmark results, or folders above. `NAME=FOLDER` names the row; results with different
            seeds below it, and several folders with the same name, are seeds of the row. Of a training, the last
            evaluation counts.
        scores: keys without a stage, for example `J&F-Mean`; by default the first score of every benchmark.
        published: add published scores for the same benchmark, sequences and protocol.
        base: base row for differences, or empty.

    Raises:
        ValueError: if a folder holds no results, a file is damaged, no result has any of the scores, the base row is
            unknown, or a named folder holds two results of a seed for the same column.
    """
    results: dict[tuple[str, Path], Result] = {}
    for text in folders:
        name, folder = _named(str(text))
        found = results_below(folder)
        below = {(name, place): result for place, result in (_last(found) if name else found).items()}
        if name:
            _refuse_repeated(f"{name}={folder}", _records(below, scores))
        results |= below
    records = _records(results, scores)
    if not records:
        known = ", ".join(sorted({result.stage_of(key)[1] for result in results.values() for key in result.scores}))
        raise ValueError(f"table: no result has {' or '.join(scores) or 'a score'}; the results have {known or 'none'}")
    table = tabulate(records)
    table = table.with_differences(base) if base else table
    return _with_published(table) if published else table


def _records(results: Mapping[tuple[str, Path], Result], scores: Sequence[str]) -> list[Record]:
    """Return the records of results by the user's name and folder."""
    return [record for (name, place), result in results.items() for record in records_of(result, name, scores, place)]


def _last(results: Mapping[Path, Result]) -> dict[Path, Result]:
    """Return the last evaluation of each training, whose evaluations lie side by side, and all other results."""
    last: dict[object, Path] = {}
    for place, result in sorted(
        results.items(), key=lambda item: max((past.step for past in item[1].history), default=0)
    ):
        last[(place.parent, result.benchmark) if result.history else place] = place
    return {place: result for place, result in results.items() if place in last.values()}


def _refuse_repeated(text: str, records: Sequence[Record]) -> None:
    """Refuse a named folder with two results of a seed for the same column."""
    places: dict[tuple[object, ...], Path] = {}
    for record in records:
        first = places.setdefault((record.name, record.stage.stride, record.column, record.seed), record.place)
        if first != record.place:
            of_seed = "" if record.seed is None else f" of seed {record.seed}"
            twice = (
                f"two results{of_seed} of {record.column.benchmark} by the same protocol, {first} and {record.place}"
            )
            raise ValueError(f"table: {text} holds {twice}; name a single folder")


def _named(text: str) -> tuple[str, Path]:
    """Split `NAME=FOLDER`; the path of an existing folder may contain `=`."""
    name, equals, folder = text.partition("=")
    is_path = not equals or "/" in name or Path(text).exists()
    return ("", Path(text)) if is_path else (name, Path(folder))


def _with_published(table: Table) -> Table:
    """Return the table with rows of published scores for the columns of complete test sets."""
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
