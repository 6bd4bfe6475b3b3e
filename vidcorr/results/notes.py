"""Sentences under tables: units, features and inputs, seeds and intervals, scored frames, differences, data, doubts."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from .cells import sequences_on_other_data
from .formats import agreeing, listed, one_line
from .records import ScoreRecord
from .result import Result
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, FEWEST_SEQUENCES, HOW

Table = Any
"""A `Table` of `rendering.py`, which imports this module."""
SHOWN = 3
"""Names of sequences or objects that a sentence lists."""
ENLARGED = 2
"""Frames that a protocol enlarges more than this are too small for it."""


def notes(table: Table, format: str, intervals: bool) -> list[str]:
    """Return the sentences under a table; in LaTeX they are its caption.

    Args:
        format: its form, one of `rendering.Format`.
        intervals: True if the table prints 95 % intervals and p, which sentences then explain.
    """
    records = [record for cell in table.cells for record in cell.records]
    said = _on_units(table, format)
    if not table.caption:  # a caption names the network
        said += _on_views(table)
    if format != "text" and any(map(table.best, table.columns)):  # a terminal's text has no bold
        said.append("Bold is the best of a column by each protocol and conditions")
    # a single score has no deviation
    numbers_of_seeds = sorted({len(cell.scores) for cell in table.cells} - {0, 1})
    if numbers_of_seeds:
        said.append(f"± is the standard deviation over {listed(list(map(str, numbers_of_seeds)))} seeds")
    if intervals and any(cell.interval for cell in table.cells):
        said.append(f"Brackets are the 95 % interval ({HOW}; from {FEWEST_SEEDS} seeds on over seeds too)")
    # for predictions of others, `weights` says what they are, such as "their masks"
    theirs = dict.fromkeys(record.result.network.weights for record in records if record.result.is_theirs)
    said += [f"{kind.capitalize()} are scored from disk, and have no protocol of ours" for kind in theirs]
    said += _on_frames(record.result for record in records)
    if table.base:
        said += _on_differences(table, format, intervals)
    said += _on_data(records)
    if format != "html":  # a page shows doubts beside their rows
        said += _doubts(table)
    return [f"{one_line(agreeing(sentence))}." for sentence in (*said, *table.not_compared, *table.notes)]


def _on_units(table: Table, format: str) -> list[str]:
    """Return the first sentence, and a sentence per score that is not in per cent.

    The first sentence is the table's caption. Without a caption, it says that scores are in per cent; in LaTeX, where
    the sentences are the caption, it also names the data sets.
    """
    in_per_cent = not all(cell.declared.unit for cell in table.cells)  # a score without a unit is a fraction
    said = ["Per cent"] * in_per_cent
    if format == "tex":
        sets = dict.fromkeys(column.title for column in table.columns)
        said = [f"Scores{' in per cent' * in_per_cent} on {listed(list(sets))}"]
    if table.caption:
        said = [table.caption]
    units = {cell.declared.name: cell.declared.unit for cell in table.cells}
    return said + [f"{score} is in {unit}" for score, unit in units.items() if unit]


def _on_views(table: Table) -> list[str]:
    """Return a sentence on features (stage and stride) and a sentence on inputs (RGB) of the networks.

    If rows differ, a sentence names the rows of each text. Without a text in any row, the sentence is left out.
    """
    features: list[tuple[str, str]] = []
    inputs: list[tuple[str, str]] = []
    for name, row in table.rows.items():
        for record in chain.from_iterable(cell.records for cell in row.values()):
            features.append((record.features, name))
            inputs.append((str(record.result.stage.input or ""), name))
    said = []
    for kind, pairs in (("Features", features), ("Input", inputs)):
        rows_of = _by_text(pairs)
        texts = list(filter(None, rows_of))
        if len(rows_of) > 1:
            texts = [f"{text} of {rows_of[text]}" for text in texts]
        if texts:
            said.append(f"{kind}: {'; '.join(texts)}")
    return said


def _by_text(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    names: dict[str, dict[str, None]] = {}
    for text, name in pairs:
        names.setdefault(text, {})[name] = None
    return {text: listed(list(of_text)) for text, of_text in names.items()}


def _on_differences(table: Table, format: str, intervals: bool) -> list[str]:
    bases = [table.base, *(f"of {name} from {base}" for name, base in table.own_bases.items())]
    said = [f"Differences{' (Δ)' if format == 'tex' else ''} are from {', '.join(bases)}"]
    by_seed = f"by seed where rows share {FEWEST_SEEDS} seeds or more"
    said.append(f"They are paired by sequence, and {by_seed}; each row is tested by itself")
    said += _on_pairs(table)
    tested = [cell for cell in table.cells if cell.difference is not None and cell.difference.ends]
    if intervals and any(len(cell.scores) == 1 for cell in tested):
        said.append(ABOUT_WEIGHTS)  # with one run, p says nothing about other trainings
    if intervals and len(tested) < sum(cell.difference is not None for cell in table.cells):
        needed = f"{FEWEST_SEQUENCES} sequences, and {FEWEST_SEEDS} seeds of a training"
        said.append(f"A difference without an interval is not tested: a test needs {needed}")
    return said


def _on_pairs(table: Table) -> list[str]:
    found = []
    for name, row in table.rows.items():
        found += [(name, column, cell.difference) for column, cell in row.items() if cell.difference]
    benchmarks = {column.benchmark for _, column, _ in found}
    changes = [(f"{name} on {of.benchmark}" if len(benchmarks) > 1 else name, change) for name, of, change in found]
    rows_of_number = _by_text((str(change.sequences), name) for name, change in changes if change.sequences)
    said = []
    for number, names in rows_of_number.items():
        of_rows = f" of {names}" if len(rows_of_number) > 1 else ""
        said.append(f"Differences{of_rows} are over {number} sequences")
    for name, change in changes:
        if change.lacking:
            said.append(f"{name}: one side lacks {_few(change.lacking)}, which its difference leaves out")
    return list(dict.fromkeys(said))


def _few(names: Iterable[str]) -> str:
    first, others = sorted(names)[:SHOWN], sorted(names)[SHOWN:]
    return ", ".join(first) + f" and {len(others)} more" * bool(others)


def _on_data(records: Sequence[ScoreRecord]) -> list[str]:
    said = []
    for benchmark in dict.fromkeys(record.result.data_set for record in records):
        of_benchmark = [record for record in records if record.result.data_set == benchmark]
        other = sequences_on_other_data(record.result for record in of_benchmark)
        if other:
            # digest of the data → names of its rows, in words
            rows_of = _by_text((record.column.data or "not recorded", record.name) for record in of_benchmark)
            texts = [f"{names} (data {digest})" for digest, names in rows_of.items()]
            about = f"have other frames or annotations and are not compared: {', '.join(texts)}"
            said.append(f"Rows of {benchmark} {about}; they differ in {_few(other)}")
    return said


def _doubts(table: Table) -> list[str]:
    found: dict[str, None] = {}
    for cell in table.cells:
        if cell.paper and cell.paper.doubt:
            found[f"{cell.paper.name}: {cell.paper.doubt}"] = None
        for record in cell.records:
            for doubt in record.result.doubts:
                found[f"{record.name} on {record.result.data_set}: {doubt}"] = None
    return list(found)


def _on_frames(results: Iterable[Result]) -> list[str]:
    scored: list[tuple[str, str]] = []  # frames, benchmark
    small: dict[str, None] = {}
    for result in results:
        rules = result.data.get("rules")
        if isinstance(rules, dict) and "frames" in rules:
            scored.append((str(rules["frames"]), result.data_set))
        smallest, *_ = result.data.get("short_sides") or [0]  # ascending; 0: not known
        fields = result.stage.protocol.fields
        size = fields.get("input_size")  # a number is the shorter side, a list is height and width
        if smallest and size and fields.get("input_side") != "long":  # results lack the long sides of the frames
            times = (min(size) if isinstance(size, list) else size) / smallest
            if times > ENLARGED:
                enlarged = f"{smallest} px, and enlarged {times:.3g} times: scores saturate"
                small[f"Frames of {result.data_set} are {enlarged}"] = None
    texts = [f"{frames} ({names})" for frames, names in _by_text(scored).items()]
    return [f"Scored frames: {'; '.join(texts)}"] * bool(texts) + list(small)
