"""Tables of scores with their uncertainty: a row is a network over its seeds, a column holds comparable scores."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan, nan
from statistics import fmean, stdev
from typing import Literal

from ..videos.files import csv_of_records
from .formats import bracketed, grid, latex_text, one_line, percent
from .records import Column, Record, uniquely_titled
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, FEWEST_SEQUENCES, HOW, Difference, Sample, difference, interval

PAPER = "paper"
"""Conditions of a column of printed numbers, beside the measured scores."""


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column.

    Attributes:
        records: scores of the seeds; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        published: the published score, a fraction.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
    """

    records: tuple[Record, ...] = ()
    trained: bool = False
    published: float | None = None
    difference: Difference | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Scores of the seeds, or the published score."""
        if self.published is not None:
            return (self.published,)
        return tuple(record.result.scores[record.key] for record in self.records)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, of a sample; NaN for a single score, or if a seed's score is undefined."""
        if len(self.scores) < 2 or isnan(self.mean):
            return nan
        return stdev(self.scores)

    @cached_property
    def runs(self) -> list[Sample]:
        """The score as a sample of sequences, per seed; empty if a result has no values by sequence."""
        samples = [record.result.sample(record.key) for record in self.records]
        known = [sample for sample in samples if sample is not None]
        return known if len(known) == len(samples) else []

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval; None without values by sequence, or with fewer than four sequences."""
        return interval(self.runs, self.records[0].key) if self.runs else None

    def text(self, best: str | None = None, intervals: bool = True) -> str:
        """Return the mean in per cent ± deviation over several seeds [interval]; difference.

        Args:
            best: text of the column's largest mean, which is printed in bold.
            intervals: False leaves the intervals out.
        """
        text = percent(self.mean)
        if text == best:
            text = f"**{text}**"
        if not isnan(self.deviation):
            text += f" ± {percent(self.deviation)}"
        if intervals:
            text += bracketed(self.interval)
        if self.difference is not None:
            text += f"; {self.difference.figures if intervals else self.difference.points}"
        return text.replace("-", "−")

    def against(self, base: "Cell | None") -> "Cell":
        """Return the cell with its difference from the base row's cell if all scores of both are comparable."""
        found = None
        if base is not None and self.runs and base.runs:
            columns = {record.column for record in (*self.records, *base.records)}
            if len(columns) == 1:
                found = difference(self.runs, base.runs, (self.trained, base.trained))
        return replace(self, difference=found)


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column.

    Attributes:
        columns: head → what the scores of the column share.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
        own_bases: row → its base row, where it differs from `base`.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    @property
    def bases_in_words(self) -> str:
        """The base row, and the rows with another one."""
        return ", ".join([self.base, *(f"of {name} from {base}" for name, base in self.own_bases.items())])

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        cells: list[Cell] = []
        for row in self.rows.values():
            cells += row.values()
        return cells

    @cached_property
    def best(self) -> dict[str, str]:
        """Head of a column with several scores → the largest mean as text; columns of decays have no best."""
        best = {}
        for head, column in self.columns.items():
            cells = [row[head] for row in self.rows.values() if head in row]
            means = [cell.mean for cell in cells if not isnan(cell.mean)]
            if len(means) > 1 and not column.score.endswith("Decay"):
                best[head] = percent(max(means))
        return best

    def row_named(self, text: str) -> str:
        """Return the row of a name, or of a unique part of its name.

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
        """Return the table with the differences of all rows from a base row, named as in `row_named`.

        Args:
            base: the base row.
            own_bases: row → another base row, by their full names.
        """
        name_of_base = self.row_named(base)
        cells = {head: replace(cell, difference=None) for head, cell in self.rows[name_of_base].items()}
        rows: dict[str, Mapping[str, Cell]] = {}
        for name, row in self.rows.items():
            base_cells = self.rows[own_bases[name]] if name in own_bases else cells
            rows[name] = {head: cell.against(base_cells.get(head)) for head, cell in row.items()}
        if name_of_base not in own_bases:
            rows[name_of_base] = cells
        return Table(self.columns, rows, name_of_base, own_bases)


def by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records into rows: records with the same name from the user, or seeds of the same network and recipe.

    Names include stride and normalisation if the networks differ in either, and the stage if a row has scores of
    several stages in a column. Results that are not seeds of the same row get separate rows, and the folder becomes
    part of the row's name.
    """
    settings = {record.stride_and_normalisation for record in records} - {""}
    layers: dict[tuple[str, Column], set[str]] = {}
    for record in records:
        layers.setdefault((record.name, record.column), set()).add(record.result.stage.layer)
    of_stages = {name for (name, _), found in layers.items() if len(found) > 1}
    rows: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        parts = [record.name]
        if record.name in of_stages:
            parts.append(record.result.stage.layer)
        if len(settings) > 1:
            parts.append(record.stride_and_normalisation)
        name = ", ".join(filter(None, parts))
        key: tuple[str, ...] = (name,)
        if not record.row:
            network = record.result.network
            # trainings by an unknown recipe are no seeds of each other; random weights are, of their network
            recipe = network.recipe
            if network.loaded and not recipe:
                recipe = f"seed {network.seed}"
            key = (name, recipe)
            seeds = [other.seed for other in rows.get(key, ()) if other.column == record.column]
            if seeds and (record.seed is None or record.seed in seeds or None in seeds):
                key = (name, recipe, str(record.place))
        rows.setdefault(key, []).append(record)
    taken = Counter(name for name, *_ in rows)
    named = {}
    for (name, *_), members in rows.items():
        row_name = name if taken[name] == 1 else f"{name} ({members[0].place})"
        named[row_name] = members
    return named


def tabulate(records: Iterable[Record], trained: bool | None = None) -> Table:
    """Make a table: a row per network, a column per set of comparable scores.

    Args:
        records: records of any results.
        trained: whether the rows stand for trainings; by default True for a row with several seeds or with a history.
    """
    records = list(records)
    titled = uniquely_titled([record.column for record in records])
    rows: dict[str, dict[str, Cell]] = {}
    for name, members in by_row(records).items():
        cells: dict[str, list[Record]] = {}
        for record in members:
            cells.setdefault(titled[record.column].head, []).append(record)
        rows[name] = {}
        for head, seeds in cells.items():
            is_training = len(seeds) > 1 or bool(seeds[0].result.history)
            rows[name][head] = Cell(tuple(seeds), is_training if trained is None else trained)
    return Table({column.head: column for column in titled.values()}, rows)


def text_rows(table: Table, heads: Collection[str], intervals: bool = True) -> list[list[str]]:
    """Return the rows of a table as texts, with the row's name first; `footnote` explains the cells.

    Args:
        table: the scores.
        heads: heads of the columns.
        intervals: False leaves intervals and p out.
    """
    lines = []
    for name, row in table.rows.items():
        cells = [row[head].text(table.best.get(head), intervals) if head in row else "" for head in heads]
        lines.append([name, *cells])
    return lines


def footnote(table: Table) -> str:
    """Return a paragraph that explains the cells of a table; an empty text if all cells are plain scores."""
    cells = table.cells
    sentences = ["Per cent."]
    if any(len(cell.scores) > 1 for cell in cells):
        sentences.append("Several seeds: mean ± standard deviation.")
    if any(cell.interval is not None for cell in cells):
        sentences.append(f"[Low, high]: 95 % interval ({HOW}), over seeds too from {FEWEST_SEEDS} on.")
    if any(cell.difference is not None for cell in cells):
        paired = f"paired by sequence, and by seed where rows share {FEWEST_SEEDS} seeds or more"
        sentences.append(f"After “;”: difference from {table.bases_in_words}, {paired}, each row tested by itself.")
        needed = f"{FEWEST_SEQUENCES} sequences, and {FEWEST_SEEDS} seeds of a training"
        sentences.append(f"{ABOUT_WEIGHTS} A difference without an interval is not tested: a test needs {needed}.")
    return " ".join(sentences) if len(sentences) > 1 else ""


def render(table: Table, format: Literal["md", "csv", "tex"] = "md") -> str:
    """Return a table of scores as text.

    Markdown prints per cent: mean and standard deviation over the seeds, the best mean of a column in bold, 95 %
    interval over sequences, and difference from the base row. LaTeX (with booktabs) leaves the intervals out; its heads
    are short if they remain different, with protocols and data in the caption. CSV has a line per cell, with the same
    quantities as fractions, and the score of each seed.
    """
    if format == "csv":
        return csv_of_records(_csv_records(table))
    if format == "tex":
        return _in_latex(table)
    text = grid("md", ["", *table.columns], text_rows(table, table.columns))
    note = one_line(footnote(table))
    return f"{text}\n{note}\n" if note else text


def _csv_records(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row, in the order of the table's heads; None for a missing quantity."""
    lines = []
    for name, row in table.rows.items():
        for head in filter(row.__contains__, table.columns):
            cell = row[head]
            columns = [record.column for record in cell.records]
            line: dict[str, object] = {"row": one_line(name), "column": one_line(head)}
            line["conditions"] = "; ".join(dict.fromkeys(column.conditions for column in columns))
            line["protocol"] = "; ".join(dict.fromkeys(column.protocol for column in columns))
            line["mean"] = cell.mean
            line["deviation"] = None if isnan(cell.deviation) else cell.deviation
            line["low"], line["high"] = cell.interval or (None, None)
            change = cell.difference or (None, None, None, None)
            line |= zip(("difference", "difference low", "difference high", "p"), change, strict=True)
            line["seeds"] = " ".join("?" if record.seed is None else str(record.seed) for record in cell.records)
            line["scores"] = " ".join(map(str, cell.scores))
            lines.append(line)
    return lines


def _in_latex(table: Table) -> str:
    """Return a table in LaTeX."""
    heads = [f"{column.benchmark} {column.score}" for column in table.columns.values()]
    if len(set(heads)) < len(heads):
        heads = list(table.columns)
    conditions = dict.fromkeys(record.column.title for cell in table.cells for record in cell.records)
    caption = " ".join(["Scores in per cent.", *(f"{title}." for title in conditions)])
    if any(len(cell.records) > 1 for cell in table.cells):
        caption += " Mean ± standard deviation over seeds."
    if any(cell.difference is not None for cell in table.cells):
        caption += f" After “;”: difference from {table.bases_in_words}."
    rows = grid("tex", ["", *heads], text_rows(table, table.columns, intervals=False))
    return f"\\begin{{table}}\n\\centering\n{rows}\\caption{{{latex_text(caption)}}}\n\\end{{table}}\n"
