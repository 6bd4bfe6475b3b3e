"""The table of the results in folders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...near_names import did_you_mean
from ...results.formats import few
from ...results.records import ScoreRecord, named_results, records_of
from ...results.rendering import Table
from ...results.tabulate import tabulate


def table(folders: Sequence[str | Path], scores: Sequence[str] = (), with_published: bool = False) -> Table:
    """Make the table of the results in folders: a row per network, a column per benchmark and protocol.

    Args:
        folders: folders of benchmark results, or folders above; the last evaluation of each training counts.
            `NAME=FOLDER` names a row: all results under this name, in one folder or several, are seeds of one network.
            A file that cannot be read is left out, and named in the notes of the table.
        scores: names of scores, for example `J&F-Mean`; empty: up to three main scores of every benchmark.
        with_published: add published rows to columns of whole test sets that have the papers' protocol.

    Raises:
        ValueError: if no result has any of the scores, or a named row has two networks, or two results of a seed for
            the same column.
    """
    left_out: list[str] = []
    known: dict[str, None] = {}
    records: dict[tuple[str, Path, str], ScoreRecord] = {}
    for folder in folders:
        name, results = named_results(folder, left_out.append)
        for place, result in results.items():
            known |= dict.fromkeys(result.scores)
            shown = records_of(result, scores or result.main_scores(), name, place)
            if not shown:
                left_out.append(f"Left out: {place} has no {' or '.join(scores) or 'score'}")
            # a result that two folders lead to, perhaps by a link, counts once
            records |= {(name, place.resolve(), record.key): record for record in shown}
    unknown = [score for score in scores if score not in known]
    if not records or unknown:
        none = f"table: no result in {', '.join(map(str, folders))} has {' or '.join(unknown) or 'a score'}"
        near = did_you_mean(unknown[0], known) or f"; they have {few(known)}" if unknown and known else ""
        raise ValueError("; ".join([none + near, *([] if near else left_out)]))
    made = tabulate(records.values(), with_published)
    return replace(made, notes=(*made.notes, *dict.fromkeys(left_out)))
