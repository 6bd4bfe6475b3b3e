"""Sentences under tables: units, features and inputs, seeds and intervals, scored frames, differences, data, doubts."""

from math import isnan
from typing import Any

from .cells import sequences_on_other_data
from .formats import agreeing, few, listed, one_line
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, FEWEST_SEQUENCES, HOW

Table = Any
"""A `Table` of `rendering.py`, which imports this module."""
ENLARGED = 2
"""Frames that a protocol enlarges more than this are too small for it."""


def notes(table: Table, format: str, intervals: bool) -> list[str]:
    """Return the sentences under a table; in LaTeX they are its caption.

    Args:
        table: the table.
        format: its form, one of `rendering.Format`.
        intervals: True if the table prints 95 % intervals and p, which sentences then explain.
    """
    in_per_cent = not all(cell.declared.unit for cell in table.cells)  # a score without a unit is a fraction
    said = ["Per cent"] * in_per_cent
    if format == "tex":
        sets = dict.fromkeys(column.title for column in table.columns)
        said = [f"Scores{' in per cent' * in_per_cent} on {listed(list(sets))}"]
    if table.caption:
        said = [table.caption]
    units = {cell.declared.name: cell.declared.unit for cell in table.cells}
    said += [f"{score} is in {unit}" for score, unit in units.items() if unit]
    of_results, doubts = _on_results(table)
    if not table.caption:
        said += of_results["views"]
    if format != "text" and any(map(table.best, table.columns)):  # a terminal's text has no bold
        said.append("Bold is the best of a column by each protocol and conditions")
    numbers_of_seeds = sorted({len(cell.scores) for cell in table.cells} - {0, 1})
    if numbers_of_seeds:
        said.append(f"± is the standard deviation over {listed(list(map(str, numbers_of_seeds)))} seeds")
    if intervals and any(cell.interval for cell in table.cells):
        said.append(f"Brackets are the 95 % interval ({HOW}; from {FEWEST_SEEDS} seeds on over seeds too)")
    said += of_results["frames"]
    if table.base:
        said += _on_differences(table, format, intervals)
    said += of_results["data"]
    if format != "html":
        said += doubts
    return [f"{one_line(agreeing(sentence))}." for sentence in (*said, *table.not_compared, *table.notes)]


def _on_results(table: Table) -> tuple[dict[str, list[str]], list[str]]:
    """Return sentences on the results of a table, and the doubts about them and about published rows.

    The sentences: "views", of features and inputs, which name rows where these differ; "frames", of predictions from
    disk, which frames are scored, and which a protocol enlarges more than twice; "data", of rows with other frames or
    annotations of one sequence, and of seeds whose score is NaN.
    """
    texts: dict[str, dict[str, dict[str, None]]] = {"Features": {}, "Input": {}, "Scored frames": {}}
    theirs: dict[str, None] = {}
    small: dict[str, None] = {}
    doubts: dict[str, None] = {}
    of_benchmark: dict[str, list[Any]] = {}
    undefined: dict[str, None] = {}
    for name, row in table.rows.items():
        for column, cell in row.items():
            if cell.paper and cell.paper.doubt:
                doubts[f"{cell.paper.name}: {cell.paper.doubt}"] = None
            for record in cell.records:
                result, stage = record.result, record.result.stage
                of_benchmark.setdefault(column.benchmark, []).append(record)
                texts["Features"].setdefault(record.view[0], {})[name] = None
                texts["Input"].setdefault(str(stage.input or ""), {})[name] = None
                if result.is_theirs:
                    kind = result.network.weights.capitalize()
                    theirs[f"{kind} are scored from disk, and have no protocol of ours"] = None
                rules = result.data.get("rules")
                if isinstance(rules, dict) and "frames" in rules:
                    texts["Scored frames"].setdefault(str(rules["frames"]), {})[column.benchmark] = None
                smallest, *_ = result.data.get("short_sides") or [0]
                fields = stage.protocol.fields
                size = fields.get("input_size")  # a number is the shorter side, a list is height and width
                if smallest and size and fields.get("input_side") != "long":  # results lack the long sides
                    times = (min(size) if isinstance(size, list) else size) / smallest
                    if times > ENLARGED:
                        enlarged = f"{smallest} px, and enlarged {times:.3g} times: scores saturate"
                        small[f"Frames of {column.benchmark} are {enlarged}"] = None
                doubts |= {f"{record.name} on {column.benchmark}: {doubt}": None for doubt in result.doubts}
                if len(cell.records) > 1 and isnan(result.scores[record.key]):
                    undefined[f"{record.name} has no defined {record.key}{record.of_seed}: {record.place}"] = None
    views = []
    for kind in ("Features", "Input"):
        rows_of = texts[kind]
        of_rows = [
            f"{text} of {listed([*rows])}" if len(rows_of) > 1 else text for text, rows in rows_of.items() if text
        ]
        views += [f"{kind}: {'; '.join(of_rows)}"] * bool(of_rows)
    scored = [f"{frames} ({listed([*names])})" for frames, names in texts["Scored frames"].items()]
    frames = [*theirs, *[f"Scored frames: {'; '.join(scored)}"] * bool(scored), *small]
    data = []
    for benchmark, records in of_benchmark.items():
        other = sequences_on_other_data(record.result for record in records)
        if other:
            rows_of_data: dict[str, dict[str, None]] = {}
            for record in records:
                rows_of_data.setdefault(record.column.data or "not recorded", {})[record.name] = None
            listing = ", ".join(f"{listed([*names])} (data {digest})" for digest, names in rows_of_data.items())
            about = f"have other frames or annotations and are not compared: {listing}"
            data.append(f"Rows of {benchmark} {about}; they differ in {few(other)}")
    return {"views": views, "frames": frames, "data": [*data, *undefined]}, list(doubts)


def _on_differences(table: Table, format: str, intervals: bool) -> list[str]:
    """Return sentences on the differences from a base: its rows, how many sequences, and how rows are tested.

    Example:
        >>> from types import SimpleNamespace
        >>> from vidcorr.results.records import Column
        >>> from vidcorr.results.statistics import Difference
        >>> rows = {}
        >>> for name, davis, vos in (("A", 9, 30), ("B", 8, 30)):
        ...     numbers = {Column("davis", "J"): davis, Column("vos", "J"): vos}
        ...     rows[name] = {at: SimpleNamespace(difference=Difference(0.1, sequences=n)) for at, n in numbers.items()}
        >>> table = SimpleNamespace(base="vfs", own_bases={"mine": "crw"}, rows=rows, cells=[])
        >>> said = _on_differences(table, "tex", intervals=True)
        >>> said[0], said[2:]  # doctest: +NORMALIZE_WHITESPACE
        ('Differences (Δ) are from vfs, of mine from crw',
         ['Differences of A on davis are over 9 sequences', 'Differences of B on davis are over 8 sequences',
          'Differences on vos are over 30 sequences'])
    """
    bases = [table.base, *(f"of {name} from {base}" for name, base in table.own_bases.items())]
    said = [f"Differences{' (Δ)' if format == 'tex' else ''} are from {', '.join(bases)}"]
    by_seed = f"by seed where rows share {FEWEST_SEEDS} seeds or more"
    said.append(f"They are paired by sequence, and {by_seed}; each row is tested by itself")
    rows_of_number: dict[str, dict[int, dict[str, None]]] = {}  # benchmark → number of sequences → names of rows
    lacking: dict[str, None] = {}
    for name, row in table.rows.items():
        for column, cell in row.items():
            change = cell.difference
            if change and change.sequences:
                rows_of_number.setdefault(column.benchmark, {}).setdefault(change.sequences, {})[name] = None
            if change and change.lacking:
                lacking[f"{name}: one side lacks {few(change.lacking)}, which its difference leaves out"] = None
    for benchmark, of_benchmark in rows_of_number.items():
        on = f" on {benchmark}" if len(rows_of_number) > 1 else ""
        for number, names in of_benchmark.items():
            of_rows = f" of {listed([*names])}" if len(of_benchmark) > 1 else ""
            said.append(f"Differences{of_rows}{on} are over {number} sequences")
    said += lacking
    tested = [cell for cell in table.cells if cell.difference is not None and cell.difference.ends]
    if intervals and any(len(cell.scores) == 1 for cell in tested):
        said.append(ABOUT_WEIGHTS)
    if intervals and len(tested) < sum(cell.difference is not None for cell in table.cells):
        needed = f"{FEWEST_SEQUENCES} sequences, and {FEWEST_SEEDS} seeds of a training"
        said.append(f"A difference without an interval is not tested: a test needs {needed}")
    return said
