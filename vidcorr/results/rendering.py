"""Tables of scores, and their texts: for a terminal, in Markdown (also a notebook's), HTML, LaTeX and CSV."""

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from ..metrics.declared import Score
from . import notes as sentences
from .cells import Cell
from .csv_files import csv_of_records, not_a_formula
from .formats import BOLD, breakable, grid, latex_grid, one_line, shown
from .records import Column, ScoreRecord
from .result import REPORT
from .statistics import FRACTION

Format = Literal["text", "md", "html", "csv", "tex"]
NOWHERE = Column("", "")
"""A column in which no row has a cell."""
WIDEST_COLUMN = 4
"""Scores beyond which a table in LaTeX spans both columns of a paper."""


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column; `render` shows them.

    Attributes:
        columns: the columns, in their order.
        rows: name → column → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or what stands for it in sentences ("the row above"); else empty.
        own_bases: row → its base row, for rows with another base than `base`.
        notes: sentences about the table.
        not_compared: sentences on rows that have no difference from their base, with the reason.
        caption: of a table whose rows are steps from a protocol to another: their data and network. Steps are not
            compared, so no cell is the best. Empty for other tables, whose caption is made of the results.
    """

    columns: Sequence[Column]
    rows: Mapping[str, Mapping[Column, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    caption: str = ""

    def __repr__(self) -> str:
        """Return the numbers of rows and columns, and the names of the rows."""
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    def _repr_markdown_(self) -> str:
        """Return the table as Markdown, which a notebook shows."""
        return render(self)

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return list(chain.from_iterable(row.values() for row in self.rows.values()))

    def best(self, column: Column) -> str:
        """Return the best mean of a column as its printed text, such as "55.3".

        It is "" if the column has fewer than two scores, if neither more nor less is better, or in a table of steps.
        """
        cells = [row[column] for row in self.rows.values() if column in row and not math.isnan(row[column].mean)]
        if self.caption or len(cells) < 2:  # only a table of steps has a caption
            return ""
        declared = self.declared(column)
        if declared.direction == "neither":
            return ""
        best_of = min if declared.direction == "less" else max
        cell = best_of(cells, key=attrgetter("mean"))
        return shown(cell.mean, declared, cell.digits)

    def declared(self, column: Column) -> Score:
        """Return the declaration of a column's score; a column of published scores alone holds fractions."""
        cells = [row[column] for row in self.rows.values() if column in row]
        return next((cell.declared for cell in cells if cell.records), FRACTION)

    def base_row(self, text: str) -> str:
        """Return the full name of the row that a user names in full, or by a part that no other row's name has.

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
        """Return the table with the differences of all rows from a base row, and reasons where there are none.

        A cell is compared with the cell of its column in the base row. If the base row has none there, the cell is
        compared with the first cell of the base row that can be paired, such as a cell of other sequences by the same
        protocol.

        Args:
            base: name of the base row, or a part that no other row's name has.
            own_bases: row → its base row in place of `base`, by full names.

        Raises:
            ValueError: if `base` does not name exactly one row.
        """
        base = self.base_row(base)
        rows: dict[str, dict[Column, Cell]] = {}
        reasons: dict[str, None] = {}
        lacking: dict[tuple[str, str], dict[str, None]] = {}
        for name, row in self.rows.items():
            base_of_row = own_bases.get(name, base)
            base_cells = {} if name == base_of_row else self.rows[base_of_row]  # a base has no difference from itself
            rows[name] = {}
            for column, cell in row.items():
                candidates = [base_cells[column]] if column in base_cells else []
                candidates = candidates or [each for of, each in base_cells.items() if of[:2] == column[:2]]
                compared = [cell.compared(each) for each in candidates] if cell.records else []
                found = next((difference for difference, _ in compared if difference), None)
                rows[name][column] = replace(cell, difference=found)
                if compared and not found:
                    about = f"{name} is not compared with {base_of_row} on {column.benchmark}"
                    reasons[f"{about}: it {compared[0][1]}"] = None
                elif cell.records and not compared and name != base_of_row:
                    lacking.setdefault((base_of_row, column.benchmark), {})[column.score] = None
        for (base_of_row, benchmark), scores in lacking.items():
            has_others = any(column.benchmark == benchmark for column in self.rows[base_of_row])
            what = " or ".join(scores) if has_others else "result"
            reasons[f"{base_of_row} has no {what} on {benchmark} to compare with"] = None
        return replace(self, rows=rows, base=base, own_bases=own_bases, not_compared=tuple(reasons))


class Line(NamedTuple):
    """A row of the table by the protocol and conditions of `column`; a cell is None where it has no score."""

    name: str
    column: Column
    cells: Sequence[Cell | None]
    texts: Sequence[str]


class Section(NamedTuple):
    """Lines of scores of a benchmark, protocol by protocol in the order of rows; `heads` are names of scores.

    `shared` is the first column of the section, with "" for its protocol or conditions if other columns differ there.
    """

    shared: Column
    heads: Sequence[str]
    lines: Sequence[Line]


def sections_of(
    table: Table, intervals: bool = True, bold: bool = True, *, of_comparable_scores: bool = False
) -> list[Section]:
    """Return the sections of a table.

    Args:
        table: the scores.
        intervals: write 95 % intervals and p into the texts.
        bold: write `**` around the best score of a column.
        of_comparable_scores: True: a section per set of comparable scores. Its lines are sorted by the score in their
            first column, the best first; but the steps of a table with a caption keep their order. False: a section per
            benchmark, with a line per row and pair of protocol and conditions.
    """
    groups: dict[Any, list[Column]] = {}
    for column in table.columns:
        # comparable: all but the score is equal; published numbers stand beside measured ones
        key = column._replace(score="", published=False) if of_comparable_scores else column.benchmark
        groups.setdefault(key, []).append(column)
    found = []
    for columns in groups.values():
        labels = {column: column.score + ", paper" * column.published for column in columns}
        heads = list(dict.fromkeys(labels.values()))
        # title (benchmark, protocol and conditions) → head → column; columns of one title fill the same lines
        columns_by_title: dict[str, dict[str, Column]] = {}
        for column in columns:
            columns_by_title.setdefault(column.title, {})[labels[column]] = column
        is_ranked = of_comparable_scores and not table.caption
        sign = 1 if is_ranked and table.declared(columns[0]).direction == "less" else -1
        ranked: list[tuple[float, Line]] = []  # the better its first score, the less the rank of a line
        for column_of in columns_by_title.values():
            best_of = {head: table.best(column) if bold else "" for head, column in column_of.items()}
            for name, row in table.rows.items():
                # a title may lack a head: no row has a cell in the column NOWHERE
                cells = [row.get(column_of.get(head, NOWHERE)) for head in heads]
                if any(cells):
                    pairs = zip(heads, cells, strict=True)
                    texts = [cell.printed(intervals, best_of[head]) if cell else "" for head, cell in pairs]
                    mean = cells[0].mean if cells[0] else math.nan
                    rank = math.inf if math.isnan(mean) else sign * mean
                    ranked.append((rank, Line(name, next(iter(column_of.values())), cells, texts)))
        if is_ranked:
            ranked.sort(key=itemgetter(0))
        shared = columns[0]
        if len({column.by for column in columns}) > 1:
            shared = shared._replace(by="")
        if len({column.conditions for column in columns}) > 1:
            shared = shared._replace(conditions="")
        found.append(Section(shared, heads, [line for _, line in ranked]))
    return found


def render(
    table: Table,
    format: Format = "md",
    intervals: bool | None = None,
    width: float = math.inf,
    start: Path = Path(),
) -> str:
    """Return a table of scores as text.

    A terminal's text, Markdown and LaTeX (packages booktabs and adjustbox) have a grid per benchmark, with a column for
    protocols or conditions if its lines differ in them. HTML is a page, whose tables hold the rows of one benchmark,
    protocol and data, the best first. A cell is, in per cent, mean ± standard deviation over the seeds, interval, and
    difference with interval and p. CSV has a line per cell, with all quantities as fractions, and each seed's score,
    but no sentences.

    Args:
        table: the scores.
        format: form of the text.
        intervals: print 95 % intervals and p; by default in all formats but LaTeX.
        width: width of a terminal, characters, to which sentences are wrapped.
        start: folder of an HTML page; its links to the reports of results are relative to this folder.

    Example:
        >>> from vidcorr.results.cells import published_cell
        >>> five = {Column("davis", f"score {number}"): published_cell(0.5) for number in range(5)}
        >>> "{table*}" in render(Table(list(five), {"ours": five}), "tex")  # spans both columns of a paper
        True
        >>> "{table*}" in render(Table(list(five)[:4], {"ours": five}), "tex")
        False
    """
    if format == "csv":
        records = records_of_table(table)
        return csv_of_records([{head: not_a_formula(value) for head, value in record.items()} for record in records])
    intervals = format != "tex" if intervals is None else intervals
    said = sentences.notes(table, format, intervals)
    sections = sections_of(table, intervals, bold=format != "text", of_comparable_scores=format == "html")
    if format == "html":
        script = (files(__package__) / "sort-tables.js").read_text("utf-8")
        return str(_template().render(sections=sections, start=start, notes=" ".join(said), script=script))
    text, tabulars = "", []
    for section in sections:
        # before the scores stand the names of the rows, and protocol and conditions if lines differ in them
        facts = {"protocol": [line.column.by for line in section.lines]}
        facts["conditions"] = [line.column.conditions for line in section.lines]
        facts = {head: texts for head, texts in facts.items() if len(set(texts)) > 1}
        heads = [section.shared.benchmark if format == "tex" else "", *facts]
        before = zip([line.name for line in section.lines], *facts.values(), strict=True)
        rows = [[*about, *line.texts] for about, line in zip(before, section.lines, strict=True)]
        if format == "tex":
            heads += [head.replace("-Mean", "") for head in section.heads]
            tabulars.append(latex_grid(heads, rows, 1 + len(facts)))
        else:
            drawn = grid(format, [*heads, *section.heads], rows, 1 + len(facts))
            text += f"{'## ' if format == 'md' else ''}{one_line(section.shared.title)}\n\n{drawn}\n"
    if format == "tex":
        # LaTeX's `table*` spans both columns of a paper
        star = "*" if max(len(section.heads) for section in sections) > WIDEST_COLUMN else ""
        head, end = rf"\begin{{table{star}}}", rf"\end{{table{star}}}"
        grids = "\n\n\\par\\medskip\n".join(tabulars)
        return "\n".join([head, r"\centering\sloppy", grids, rf"\caption{{{breakable(' '.join(said))}}}", end, ""])
    if format == "md":
        return text + " ".join(said) + "\n"
    return text + "".join(fill(sentence, int(min(width, 100))) + "\n" for sentence in said)


def html_tables(table: Table) -> dict[Column, str]:
    """Return a table in HTML, which Markdown takes too, per set of comparable scores.

    Returns:
        Column → HTML of a table. The column, whose score is "", holds the benchmark, protocol and conditions of the
        scores.
    """
    texts = {}
    # the template's macro `table`, without the page around it
    module: Any = _template().make_module({"sections": [], "notes": "", "script": ""})
    for section in sections_of(table, of_comparable_scores=True):
        shared = section.shared._replace(score="", published=False)
        texts[shared] = str(module.table(section, start=Path()))
    return texts


@cache
def _template() -> Any:
    """Return the jinja2 template of the page of scores, with its filters; it is read once."""
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    escape, safe = environment.filters["escape"], environment.filters["safe"]
    environment.filters |= {"line": one_line, "report": _report_of}
    # escape first: the tags are ours
    environment.filters["bold"] = lambda text: safe(BOLD.sub(r"<b>\1</b>", str(escape(text))))
    return environment.from_string((files(__package__) / "board.html").read_text("utf-8"))


def _report_of(record: ScoreRecord, start: Path) -> str:
    report = record.place / REPORT
    return quote(Path(os.path.relpath(report, start)).as_posix()) if report.is_file() else ""


def print_table(table: Table, format: Format | None = None, intervals: bool | None = None) -> None:
    """Print a table; without a format, text in a terminal, and Markdown in a file or pipe. `intervals` as `render`."""
    if format is None:
        format = "text" if sys.stdout.isatty() else "md"
    width = shutil.get_terminal_size().columns if format == "text" else math.inf
    print(render(table, format, intervals, width), end="", flush=True)


def records_of_table(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row: `row`, `column`, and `Cell.quantities`; for CSV or `pandas.DataFrame`."""
    cells = (
        (name, column, row[column]) for name, row in table.rows.items() for column in table.columns if column in row
    )
    return [{"row": one_line(name), "column": one_line(of.head), **cell.quantities} for name, of, cell in cells]
