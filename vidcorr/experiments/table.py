"""The table of the results in folders."""

from collections.abc import Sequence
from pathlib import Path

from ..results.records import ScoreRecord, named_results, records_of, refuse_repeated
from ..results.rendering import Table
from ..results.tabulate import tabulate


def table(folders: Sequence[str | Path], scores: Sequence[str] = (), with_published: bool = False) -> Table:
    """Make the table of the results in folders: a row per network, a column per benchmark and protocol.

    Args:
        folders: folders of benchmark results, or folders above; the last evaluation of each training counts.
            `NAME=FOLDER` names the row; results with different seeds below it, and several folders with the same name,
            are seeds of the row.
        scores: names, for example `J&F-Mean`; by default up to three main scores of every benchmark.
        with_published: add published rows by the protocol of a whole test set.

    Raises:
        ValueError: if no result has any of the scores, a file is damaged, or a named row has two results of a seed for
            the same column.
    """
    records: dict[tuple[str, Path, str], ScoreRecord] = {}
    for folder in folders:
        name, results = named_results(folder)  # of a training only the last evaluation
        of_folder: list[ScoreRecord] = []
        for place, result in results.items():
            of_folder += records_of(result, scores or result.main_scores(), name, place)
        refuse_repeated(of_folder, is_folder=True)
        # a result that is below two of the folders counts once
        records |= {(name, record.place.resolve(), record.key): record for record in of_folder}
    if not records:
        raise ValueError(f"table: no result in {', '.join(map(str, folders))} has {' or '.join(scores) or 'a score'}")
    refuse_repeated(records.values())
    return tabulate(records.values(), with_published)
