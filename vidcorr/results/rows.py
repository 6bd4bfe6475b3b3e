"""The rows of a table: which results are seeds of one row, which are copies, and which are refused under one name."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .records import Column, ScoreRecord

Rows = dict[str, list[ScoreRecord]]
"""Name of a row → its records."""
RowKey = tuple[str, ...]
"""Name of a row, and for a row without a user's name a text that tells it from others of the name: what its seeds
share, or the folder of its result."""


def rows_of(records: Sequence[ScoreRecord], with_views: bool = True) -> tuple[Rows, tuple[str, ...]]:
    """Group records into rows. A row is a network over its seeds.

    A user's name makes one row of all records that have it; two networks under one name, or two results of a seed in a
    column, are refused. Records without a user's name that are two results of a seed become two rows, with the folders
    of the results in their names.

    Args:
        with_views: True: if a network has several views (stage, stride, input) in a column, each view is a row with the
            view in its name. False: several views count as two results of a seed.

    Returns:
        Name of a row → its records; and sentences about copies of results, which count once.

    Raises:
        ValueError: if a user's name stands for two networks, or for two results of a seed; the message names both.
    """
    views: dict[tuple[str, Column], set[str]] = {}  # name and column → the views of the network in this column
    for record in records:
        views.setdefault((record.name, record.column), set()).add(record.view if with_views else "")
    have_several_views = {name for (name, _), in_column in views.items() if len(in_column) > 1}
    rows: dict[RowKey, list[ScoreRecord]] = {}
    # key, before a folder takes the place of its text below → all records that are no copies
    counted: dict[RowKey, list[ScoreRecord]] = {}
    copies: dict[str, None] = {}
    for record in records:
        name = record.name
        if name in have_several_views:
            name = ", ".join(filter(None, [name, record.view]))
        # `record.row`: the user's name, whose records are one row; without it, the seeds of one training are one row
        key = (name,) if record.row else (name, record.shared_by_seeds)
        row = rows.get(key, [])
        for other in row:
            if record.row and other.origin != record.origin:  # another training or network
                both = [f"{each.result.network.row} in {each.place}" for each in (other, record)]
                raise ValueError(f"{record.row} names two networks, {both[0]} and {both[1]}: give each a name")
        # copies are left out first, so that only two different results of a seed are rivals
        same = counted.setdefault(key, [])
        twins = [other for other in same if other.column == record.column and other.is_copy_of(record)]
        if twins:
            copies[f"{record.name}: {record.place} is a copy of {twins[0].place} and counts once"] = None
            continue
        same.append(record)
        in_column = [other for other in row if other.column == record.column]
        # an unknown seed may be any seed
        rivals = [other for other in in_column if other.seed == record.seed or None in (other.seed, record.seed)]
        if rivals and record.row:  # `of_seed`: the seed in words, " of seed 3"
            twice = f"two results{record.of_seed} of {record.column.benchmark}, {rivals[0].place} and {record.place}"
            raise ValueError(f"{record.row} has {twice}; name one of them, or give each a row")
        if rivals:  # two results of one seed: the second gets a row of its own, by its folder
            key = (name, str(record.place))
        rows.setdefault(key, []).append(record)
    return _uniquely_named(rows), tuple(copies)


def _uniquely_named(rows: Mapping[RowKey, list[ScoreRecord]]) -> Rows:
    """Return the rows by unique names: rows of one name get the folder of their first result in brackets.

    If another row has this name already, the row's number in the table follows the folder.
    """
    times = Counter(name for name, *_ in rows)
    named: Rows = {}
    for (name, *_), members in rows.items():
        row_name = name if times[name] == 1 else f"{name} ({members[0].place})"
        if row_name in named:  # results in memory have no folder
            row_name = f"{name} ({members[0].place}, {len(named) + 1})"
        named[row_name] = members
    return named
