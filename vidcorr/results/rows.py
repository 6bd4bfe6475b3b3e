"""The rows of a table: which results are seeds of one row, which are copies, and which are refused under one name."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .records import Column, ScoreRecord

RowKey = tuple[str, ...]
"""Name of a row, and what tells it from other rows of the name: what its seeds share, or the folder of a result."""


def rows_of(
    records: Sequence[ScoreRecord], with_views: bool = True
) -> tuple[dict[str, list[ScoreRecord]], tuple[str, ...]]:
    """Return the rows of records by their names, and sentences about copies of results, which count once.

    A row is a network over its seeds. Under a name of the user it is all that he names so: two networks, or two results
    of a seed in a column, are refused. Without one, they are rows that have their folders in their names.

    Args:
        records: the records.
        with_views: several views of a network in a column are rows, named by the view; else they count as two results
            of a seed: refused under a name of the user, and else rows named by their folders.

    Raises:
        ValueError: for a name of two networks, or of two results of a seed; it names both.
    """
    views: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        views.setdefault((record.name, record.column), set()).add(record.view if with_views else "")
    have_several_views = {name for (name, _), in_column in views.items() if len(in_column) > 1}
    rows: dict[RowKey, list[ScoreRecord]] = {}
    found: dict[RowKey, list[ScoreRecord]] = {}  # also those that became rows by their folders
    copies: dict[str, None] = {}
    for record in records:
        name = record.name
        if name in have_several_views:
            name = ", ".join(filter(None, [name, record.view]))
        key = (name,) if record.row else (name, record.shared_by_seeds)
        row = rows.get(key, [])
        for other in row:
            if record.row and other.origin != record.origin:
                both = [f"{each.result.network.row} in {each.place}" for each in (other, record)]
                raise ValueError(f"{record.row} names two networks, {both[0]} and {both[1]}: give each a name")
        same = found.setdefault(key, [])
        twins = [other for other in same if other.column == record.column and other.is_copy_of(record)]
        if twins:
            copies[f"{record.name}: {record.place} is a copy of {twins[0].place} and counts once"] = None
            continue
        same.append(record)
        in_column = [other for other in row if other.column == record.column]
        rivals = [other for other in in_column if other.seed == record.seed or None in (other.seed, record.seed)]
        if rivals and record.row:
            twice = f"two results{record.of_seed} of {record.column.benchmark}, {rivals[0].place} and {record.place}"
            raise ValueError(f"{record.row} has {twice}; name one of them, or give each a row")
        if rivals:
            key = (name, str(record.place))
        rows.setdefault(key, []).append(record)
    return _uniquely_named(rows), tuple(copies)


def _uniquely_named(rows: Mapping[RowKey, list[ScoreRecord]]) -> dict[str, list[ScoreRecord]]:
    """Return the rows by names that differ: rows of one name are told apart by the folders of their results."""
    times = Counter(name for name, *_ in rows)
    named: dict[str, list[ScoreRecord]] = {}
    for (name, *_), members in rows.items():
        row_name = name if times[name] == 1 else f"{name} ({members[0].place})"
        if row_name in named:  # results in memory have no folder
            row_name = f"{name} ({members[0].place}, {len(named) + 1})"
        named[row_name] = members
    return named
