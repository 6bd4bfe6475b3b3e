"""The rows of a table: which results are seeds of one row, and which of one name are not."""

from collections import Counter
from collections.abc import Sequence

from .records import Column, ScoreRecord

Rows = dict[str, list[ScoreRecord]]
"""Name of a row → its records."""
Reasons = dict[ScoreRecord, str]
"""Record that is no seed → why, in words."""


def seeds_of(records: Sequence[ScoreRecord]) -> tuple[list[ScoreRecord], Reasons, Reasons]:
    """Tell which results of one name are its seeds: different weights, of the same stage and at the same step.

    A seed is a set of weights; its number is only a name, which counts where a result lacks the digest of its weights.

    Args:
        records: scores of one row and column.

    Returns:
        The seeds; the copies and further results of their weights; and other results, of another stage or another step
        than most (of equally many, the later step counts), or that cannot be told from a seed.

    Raises:
        ValueError: under a user's name, for two results that cannot be told apart, of one training with one seed, or of
            two stages of the same weights.

    Example:
        >>> from vidcorr.results.result import Result
        >>> def record(seed, step):
        ...     network = {"name": "A", "recipe": "r", "seed": seed, "digest": f"w{seed}", "step": step}
        ...     return ScoreRecord(Result(benchmark="davis", network=network, scores={"J": seed / 9}), "J", "A")
        >>> seeds, copies, others = seeds_of([record(0, 200), record(1, 200), record(1, 200), record(2, 100)])
        >>> [each.seed for each in seeds], [*copies.values(), *others.values()]
        ([0, 1], ['is a copy of . and counts once', 'is at step 100, not 200, and is left out'])
    """
    seeds: list[ScoreRecord] = []
    copies: Reasons = {}
    others: Reasons = {}
    for record in records:
        same = [each for each in (*seeds, *others) if record.has_weights_of(each) and record.view == each.view]
        if same:
            kind = "is a copy" if record.is_copy_of(same[0]) else "has the weights"
            copies[record] = f"{kind} of {same[0].place} and counts once"
            continue
        rival = next((each for each in seeds if not _are_other_weights(record, each)), None)
        if rival is None:
            seeds.append(record)
            continue
        places = f"{record.column.benchmark}, {rival.place} and {record.place}"
        others[record] = f"two results{record.of_seed} of {places}; name one of them, or give each a row"
        if record.row:
            raise ValueError(f"{record.row} has {others[record]}")
    views = Counter(record.view for record in seeds)
    steps = Counter(record.result.network.step for record in seeds if record.result.network.step is not None)
    view = max(views, key=views.__getitem__)
    step = max(steps, key=lambda each: (steps[each], each), default=None)
    for record in seeds:
        if record.view != view:
            own, rest = (", ".join(filter(None, each)) or "the network's own map" for each in (record.view, view))
            others[record] = f"is at {own}, not {rest}, and is left out"
        elif record.result.network.step not in (step, None):
            others[record] = f"is at step {record.result.network.step}, not {step}, and is left out"
    return [record for record in seeds if record not in others], copies, others


def _are_other_weights(first: ScoreRecord, second: ScoreRecord) -> bool:
    network, other = first.result.network, second.result.network
    have_other_seeds = None not in (network.seed, other.seed) and network.seed != other.seed
    if not (network.digest and other.digest):
        return have_other_seeds
    is_one_training = bool(network.recipe) and network.recipe == other.recipe and network.step == other.step
    return network.digest != other.digest and (have_other_seeds or network.seed is None or not is_one_training)


def rows_of(records: Sequence[ScoreRecord], with_views: bool = True) -> tuple[Rows, tuple[str, ...]]:
    """Group records into rows. A row is a network over its seeds, as `seeds_of` tells them.

    A user's name makes one row of all records that have it. Without one, the seeds of a recipe are a row, and results
    that are no seeds of it become rows with their folders in their names. With `with_views`, each of several views
    (stage, stride, input) of a network in a column is a row with the view in its name.

    Returns:
        Name of a row → its records; and sentences about results that do not count.

    Raises:
        ValueError: if a user's name stands for two networks, or for results that `seeds_of` refuses.
    """
    views: dict[tuple[str, Column], set[object]] = {}
    for record in records:
        views.setdefault((record.name, record.column), set()).add(with_views and record.view)
    have_several_views = {name for (name, _), in_column in views.items() if len(in_column) > 1}
    # name, and without a user's name what its seeds share → column → records
    groups: dict[tuple[str, str], dict[Column, list[ScoreRecord]]] = {}
    for record in records:
        view = record.view if record.name in have_several_views else ()
        name = ", ".join(filter(None, (record.name, *view)))
        network = record.result.network
        is_unknown = network.loaded and not network.recipe  # of any training: no other seed joins its row
        shared = f"seed {network.seed}" if is_unknown else network.recipe
        key = (name, "" if record.row else shared)
        group = groups.setdefault(key, {})
        group.setdefault(record.column, []).append(record)
        (first, *_), *_ = group.values()
        if record.row and first.origin != record.origin:
            both = [f"{each.result.network.row} in {each.place}" for each in (first, record)]
            raise ValueError(f"{record.row} names two networks, {both[0]} and {both[1]}: give each a name")
    rows: dict[tuple[str, str], list[ScoreRecord]] = {}
    left_out: Reasons = {}
    for key, columns in groups.items():
        for of_column in columns.values():
            seeds, copies, others = seeds_of(of_column)
            rows.setdefault(key, []).extend(seeds)
            left_out |= copies
            for record in others:
                if not record.row:
                    rows.setdefault((key[0], str(record.place)), []).append(record)
            left_out |= {record: why for record, why in others.items() if record.row}
    sentences = dict.fromkeys(f"{each.name}: {each.place} {left_out[each]}" for each in records if each in left_out)
    times = Counter(key[0] for key in rows)
    named: Rows = {}
    for (name, _), members in sorted(rows.items(), key=lambda row: records.index(row[1][0])):
        row_name = name if times[name] == 1 else f"{name} ({members[0].place})"
        if row_name in named:  # results in memory have no folder
            row_name = f"{name} ({members[0].place}, {len(named) + 1})"
        named[row_name] = members
    return named, tuple(sentences)
