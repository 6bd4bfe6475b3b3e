"""Tables of scores, and their texts: for a terminal, in Markdown (also a notebook's), HTML, LaTeX and CSV."""

import math
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path
from textwrap import fill
from typing import Literal

from ..metrics.declared import Score
from . import captions
from .board import html_page, html_table
from .cells import Cell
from .csv_files import csv_of_records
from .formats import Grid, Printed, grid, listed, one_line, shown
from .latex import latex_table
from .records import Column, ScoreRecord
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, FEWEST_SEQUENCES, FRACTION, HOW

Format = Literal["text", "md", "html", "csv", "tex"]
GAP = 2
"""Blanks between columns in a terminal."""
INTERVAL = "95 % interval"
Setting = tuple[str, str]
"""Protocol and conditions (`Column.setting`)."""
SEPARATORS = ("", " ", "; ", " ", ", p ")
"""Before each text of a cell (`Cell.texts`) in Markdown, where they stand in one column."""


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column; `render` shows them.

    Attributes:
        columns: the columns, in their order.
        rows: name → column → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
        own_bases: row → its base row, for rows with another base than `base`.
        notes: sentences about the table.
        caption: of a table whose rows are steps from a protocol to another: their data and network. Steps are not
            compared, so no cell is the best. Empty for other tables, whose caption is made of the results.
    """

    columns: Sequence[Column]
    rows: Mapping[str, Mapping[Column, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caption: str = ""

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    def _repr_markdown_(self) -> str:
        """The table in a notebook."""
        return render(self)

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return list(chain.from_iterable(row.values() for row in self.rows.values()))

    @property
    def records(self) -> list[ScoreRecord]:
        """The records of all cells."""
        return [record for cell in self.cells for record in cell.records]

    def cells_in(self, column: Column) -> list[Cell]:
        """Return the cells of a column, in the order of the rows."""
        return [row[column] for row in self.rows.values() if column in row]

    @cached_property
    def shared(self) -> dict[str, tuple[str, str]]:
        """Benchmark → the protocol and the conditions that all its columns have; an empty text where they differ."""
        protocols: dict[str, set[str]] = {}
        conditions: dict[str, set[str]] = {}
        for column in self.columns:
            protocols.setdefault(column.benchmark, set()).add(column.by)
            conditions.setdefault(column.benchmark, set()).add(column.conditions)
        return {name: (_only(protocols[name]), _only(conditions[name])) for name in protocols}

    @cached_property
    def best(self) -> dict[Column, str]:
        """Column with two scores or more → its best mean, as `shown` writes it; by the direction that it declares.

        A column without a better direction has none, and so have the steps of a table with a caption.
        """
        best: dict[Column, str] = {}
        if self.caption:
            return best
        for column in self.columns:
            cells = [cell for cell in self.cells_in(column) if not math.isnan(cell.mean)]
            declared = self.declared(column)
            if len(cells) > 1 and declared.direction != "neither":
                best_of = min if declared.direction == "less" else max
                cell = best_of(cells, key=attrgetter("mean"))
                best[column] = shown(cell.mean, declared, cell.digits)
        return best

    def declared(self, column: Column) -> Score:
        """Return what the benchmark declares of a column's score; published ones are fractions."""
        for cell in self.cells_in(column):
            if cell.records:
                return cell.declared
        return FRACTION

    def base_row(self, text: str) -> str:
        """Return the name of the base row, of which the text is the whole or a unique part.

        Raises:
            ValueError: if the text does not name exactly one row.
        """
        if text in self.rows:
            return text
        found = [name for name in self.rows if text in name]
        if len(found) != 1:
            raise ValueError(f"base {text!r} names {len(found) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        return found[0]

    def with_differences(self, base: str, own_bases: Mapping[str, str] = {}) -> "Table":
        """Return the table with the differences of all rows from a base row.

        Args:
            base: name of the base row, or a unique part of it.
            own_bases: row → another base row, by their full names.
        """
        base = self.base_row(base)
        rows: dict[str, Mapping[Column, Cell]] = {}
        for name, row in self.rows.items():
            base_of_row = own_bases.get(name, base)
            base_cells = {} if name == base_of_row else self.rows[base_of_row]
            rows[name] = {column: cell.against(base_cells.get(column)) for column, cell in row.items()}
        return replace(self, rows=rows, base=base, own_bases=own_bases)


def _only(texts: Collection[str]) -> str:
    """Return the text of a set with a single text, else an empty one."""
    return next(iter(texts)) if len(texts) == 1 else ""


def render(
    table: Table,
    format: Format = "md",
    intervals: bool | None = None,
    width: float = math.inf,
    start: Path = Path(),
) -> str:
    """Return a table of scores as text.

    A terminal's text, Markdown and LaTeX (packages booktabs and adjustbox) have a grid per benchmark, in which
    protocols and conditions that differ have a column.
    HTML is a page, whose tables hold the rows of one benchmark, protocol and data, the best first. Intervals and
    differences have columns of their own; Markdown and HTML have them in the cell of the score. Per cent: mean ±
    standard deviation over the seeds. CSV has a line per cell, with all quantities as fractions, and each seed's score.

    Args:
        table: the scores.
        format: form of the text.
        intervals: print 95 % intervals and p; by default in all formats but LaTeX.
        width: width of a terminal, characters; a wider table continues below.
        start: folder of the page in HTML, whose links to the reports of results are relative.
    """
    if intervals is None:
        intervals = format != "tex"
    if format == "csv":
        return csv_of_records(_csv_records(table))
    sentences = notes(table, format, intervals)
    if format == "html":
        return html_page(html_tables(table, intervals, start), sentences)
    grids = grids_of(table, format, intervals)
    if format == "tex":
        return latex_table(grids, " ".join(sentences))
    text = ""
    for grid_of_benchmark in grids:
        text += _block(grid_of_benchmark, format, width) + "\n"
    if format == "md":
        return text + " ".join(sentences) + "\n"
    for sentence in sentences:
        text += fill(sentence, int(min(width, 100))) + "\n"
    return text


def html_tables(table: Table, intervals: bool = True, start: Path = Path()) -> dict[Column, str]:
    """Return what comparable scores share, a column without a score → their rows in HTML, by the first score.

    Args:
        table: the scores.
        intervals: print 95 % intervals and p.
        start: folder of the page.
    """
    parts: dict[Column, list[Column]] = {}
    for column in table.columns:
        parts.setdefault(column._replace(score="", published=False), []).append(column)
    texts: dict[Column, str] = {}
    for shared, columns in parts.items():
        part = replace(table, columns=columns, rows=_best_first(table, columns[0]))
        (grid_of_part,) = grids_of(part, "html", intervals)
        rows = [list(map(part.rows[name].get, columns)) for name in grid_of_part.names[0].cells]
        texts[shared] = html_table(grid_of_part, rows, start)
    return texts


def _best_first(table: Table, column: Column) -> Mapping[str, Mapping[Column, Cell]]:
    """Return the rows of a table by their scores in a column, the best first; steps keep their order."""
    if table.caption:
        return table.rows
    sign = 1 if table.declared(column).direction == "less" else -1

    def rank(row: tuple[str, Mapping[Column, Cell]]) -> float:
        """Return a number that is less for a better row; infinity for one without a score."""
        _, cells = row
        mean = cells[column].mean if column in cells else math.nan
        return math.inf if math.isnan(mean) else sign * mean

    return dict(sorted(table.rows.items(), key=rank))


def printed(table: Table, format: Format | None = None, intervals: bool | None = None, start: Path = Path()) -> str:
    """Return a table for the standard output: by default text in a terminal, and Markdown in a file or pipe."""
    if format is None:
        format = "text" if sys.stdout.isatty() else "md"
    width = shutil.get_terminal_size().columns if format == "text" else math.inf
    return render(table, format, intervals, width, start)


def notes(table: Table, format: Format, intervals: bool) -> list[str]:
    """Return the sentences about a table: a caption for LaTeX, and more on the tests for the other formats."""
    sentences = _about_units(table, format)
    if not table.caption:
        sentences += captions.sentences_on_networks(table.rows)
    if table.best and format != "text":
        labels = {(column.benchmark, column.label) for column in table.columns}
        settings_differ = len(labels) < len(table.columns)
        sentences.append(f"Bold is the best of a column{' by each protocol and conditions' if settings_differ else ''}")
    sentences += _about_seeds_and_intervals(table.cells, intervals)
    sentences += captions.sentences_on_frames(table.records)
    if table.base:
        sentences += _about_differences(table, format, intervals)
    sentences += captions.sentences_on_data(table.records)
    if format != "html":  # it has them beside their rows
        sentences += captions.doubts(table.cells)
    return [f"{one_line(sentence)}." for sentence in (*sentences, *table.notes)]


def _about_units(table: Table, format: Format) -> list[str]:
    """Return the first sentences: the caption or what the scores are, and their units."""
    are_fractions = any(not cell.declared.unit for cell in table.cells)
    sentences = ["Per cent"] if are_fractions else []
    if table.caption:
        sentences = [table.caption]
    elif format == "tex":
        unit = "in per cent " if are_fractions else ""
        sentences = [f"Scores {unit}{captions.on_data_sets(table.shared)}"]
    return sentences + captions.sentences_on_units(table.records)


def _about_seeds_and_intervals(cells: Sequence[Cell], intervals: bool) -> list[str]:
    """Return sentences on deviations over seeds, and on intervals if they are printed."""
    sentences: list[str] = []
    numbers_of_seeds = {len(cell.scores) for cell in cells} - {1}
    if numbers_of_seeds:
        numbers = listed(list(map(str, sorted(numbers_of_seeds))))
        sentences.append(f"± is the standard deviation over {numbers} seeds")
    if intervals and any(cell.interval is not None for cell in cells):
        sentences.append(f"Brackets are the 95 % interval ({HOW}; from {FEWEST_SEEDS} seeds on over seeds too)")
    return sentences


def _about_differences(table: Table, format: Format, intervals: bool) -> list[str]:
    """Return sentences on the differences from a base: its rows, and how rows are paired and tested."""
    bases = [table.base]
    for name, base in table.own_bases.items():
        bases.append(f"of {name} from {base}")
    differences = "Differences (Δ)" if format == "tex" else "Differences"  # LaTeX's head for them
    paired = f"paired by sequence, and by seed where rows share {FEWEST_SEEDS} seeds or more"
    sentences = [f"{differences} are from {', '.join(bases)}", f"They are {paired}; each row is tested by itself"]
    ends = [cell.difference.ends for cell in table.cells if cell.difference is not None]
    if intervals and any(ends):
        sentences.append(ABOUT_WEIGHTS)
    if intervals and not all(ends):
        needed = f"{FEWEST_SEQUENCES} sequences, and {FEWEST_SEEDS} seeds of a training"
        sentences.append(f"A difference without an interval is not tested: a test needs {needed}")
    return sentences


# Grids


def grids_of(table: Table, format: Format, intervals: bool) -> list[Grid]:
    """Return the grid of each benchmark: a line per protocol, conditions and row that has a score there."""
    grids: list[Grid] = []
    for benchmark, shared in table.shared.items():
        columns = [column for column in table.columns if column.benchmark == benchmark]
        row_names, settings = _lines_of(table, columns)
        names = [Printed("", row_names)]
        for head, of_all_lines, texts in zip(
            ("protocol", "conditions"), shared, zip(*settings, strict=True), strict=False
        ):
            if not of_all_lines and any(texts):
                names.append(Printed(head, texts))
        by_label: dict[str, dict[Setting, Column]] = {}
        for column in columns:
            by_label.setdefault(column.label, {})[column.setting] = column
        scores: list[list[Printed]] = []
        for label, of_label in by_label.items():
            cells: list[list[str]] = []
            for name, setting in zip(row_names, settings, strict=True):
                cells.append(_texts_of_cell(table, name, of_label.get(setting), format, intervals))
            scores.append(_printed_score(label, cells, format))
        grids.append(Grid(benchmark, ", ".join(filter(None, shared)), names, scores, settings))
    return grids


def _lines_of(table: Table, columns: Sequence[Column]) -> tuple[list[str], list[Setting]]:
    """Return the names of rows, and protocol and conditions, of the lines of a grid."""
    columns_of: dict[Setting, set[Column]] = {}
    for column in columns:
        columns_of.setdefault(column.setting, set()).add(column)
    names: list[str] = []
    settings: list[Setting] = []
    for setting, of_setting in columns_of.items():
        for name, row in table.rows.items():
            if not of_setting.isdisjoint(row):
                names.append(name)
                settings.append(setting)
    return names, settings


def _texts_of_cell(table: Table, name: str, column: Column | None, format: Format, intervals: bool) -> list[str]:
    """Return the texts of a cell: score, interval, difference, the difference's interval and p; `**` marks the best."""
    cell = table.rows[name].get(column) if column else None
    if column is None or cell is None:
        return [""] * len(SEPARATORS)
    texts = cell.texts if intervals else [cell.texts[0], "", cell.texts[2], "", ""]
    mean, between, deviation = texts[0].partition(" ± ")
    if mean == table.best.get(column) and format != "text":
        texts[0] = f"**{mean}**{between}{deviation}"
    return texts


def _printed_score(label: str, lines: Sequence[Sequence[str]], format: Format) -> list[Printed]:
    """Return the printed columns of a score, those with a text; in Markdown a single column with all texts."""
    if format in ("md", "html"):
        return [Printed(label, list(map(_text_in_one_column, lines)))]
    columns: list[Printed] = []
    for name, cells in zip((label, INTERVAL, "difference", INTERVAL, "p"), zip(*lines, strict=True), strict=True):
        if not columns or any(cells):
            columns.append(Printed(name, list(cells)))
    return columns


def _text_in_one_column(texts: Sequence[str]) -> str:
    """Return the texts of a cell in one column."""
    joined = ""
    for separator, text in zip(SEPARATORS, texts, strict=True):
        if text:
            joined += separator + text
    return joined


def _block(grid_of_benchmark: Grid, format: Literal["text", "md"], width: float) -> str:
    """Return a grid with its heading; scores that do not fit beside the first ones stand below."""
    benchmark, shared, names, *_ = grid_of_benchmark
    title = one_line(f"{benchmark} ({shared})" if shared else benchmark)
    text = f"## {title}\n" if format == "md" else f"{title}\n"
    for scores in _parts_within(width, names, grid_of_benchmark.scores):
        columns = names + scores
        lines = zip(*(column.cells for column in columns), strict=True)
        lines_with_scores = [line for line in lines if any(line[len(names) :])]
        heads = [column.head for column in columns]
        text += "\n" + grid(format, heads, lines_with_scores, len(names))
    return text


def _parts_within(width: float, names: list[Printed], scores: Sequence[list[Printed]]) -> list[list[Printed]]:
    """Return the columns of scores in parts: each fits beside the names of the rows, or has a single score."""
    parts: list[list[Printed]] = [[]]
    for of_score in scores:
        side_by_side = [*names, *parts[-1], *of_score]
        used = sum(map(_width, side_by_side)) - GAP  # nothing stands after the last column
        if parts[-1] and used > width:
            parts.append([])
        parts[-1] += of_score
    return parts


def _width(column: Printed) -> int:
    """Return the width of a column and of the space after it, characters."""
    texts = map(one_line, (column.head, *column.cells))
    return GAP + max(map(len, texts))


# CSV


def _csv_records(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row, in the order of the table's heads."""
    records = []
    for name, row in table.rows.items():
        for column in table.columns:
            if column in row:
                place = {"row": one_line(name), "column": one_line(column.head)}
                records.append(place | _quantities(row[column]))
    return records


def _quantities(cell: Cell) -> dict[str, object]:
    """Return the quantities of a cell by their names in CSV; None for a missing one."""
    conditions = dict.fromkeys(column.about for column in cell.columns)
    protocols = dict.fromkeys(column.protocol for column in cell.columns)
    low, high = cell.interval or (None, None)
    names_of_change = ("difference", "difference low", "difference high", "p")
    change = dict(zip(names_of_change, cell.difference or [None] * 4, strict=True))
    seeds = ["?" if record.seed is None else str(record.seed) for record in cell.records]
    return {
        "conditions": "; ".join(conditions),
        "protocol": "; ".join(protocols),
        "mean": cell.mean,
        "deviation": None if math.isnan(cell.deviation) else cell.deviation,
        "low": low,
        "high": high,
        **change,
        "seeds": " ".join(seeds),
        "scores": " ".join(map(str, cell.scores)),
    }
