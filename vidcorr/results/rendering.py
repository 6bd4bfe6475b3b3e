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
from operator import attrgetter
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
from .statistics import FRACTION

Format = Literal["text", "md", "html", "csv", "tex"]
REPORT = "report.html"
"""Name of the page of a result in its folder."""
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
        return render(self)

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return list(chain.from_iterable(row.values() for row in self.rows.values()))

    def cells_in(self, column: Column) -> list[Cell]:
        """Return the cells of a column, in the order of the rows."""
        return [row[column] for row in self.rows.values() if column in row]

    def best(self, column: Column) -> str:
        """Return the best mean of a column as its printed text, such as "55.3".

        It is "" if the column has fewer than two scores, if neither more nor less is better, or in a table of steps.
        """
        cells = [cell for cell in self.cells_in(column) if not math.isnan(cell.mean)]
        declared = self.declared(column)
        # only a table of steps has a caption
        if self.caption or len(cells) < 2 or declared.direction == "neither":
            return ""
        best_of = min if declared.direction == "less" else max
        cell = best_of(cells, key=attrgetter("mean"))
        return shown(cell.mean, declared, cell.digits)

    def declared(self, column: Column) -> Score:
        """Return the declaration of a column's score; a column of published scores alone holds fractions."""
        return next((cell.declared for cell in self.cells_in(column) if cell.records), FRACTION)

    def base_row(self, text: str) -> str:
        """Return the full name of the row that a user calls the base.

        Args:
            text: name of the row, or a part that no other row's name has.

        Raises:
            ValueError: if the text does not name exactly one row.

        Example:
            >>> table = Table([], {"ResNet-18, random weights": {}, "vfs_r18.ckpt": {}})
            >>> table.base_row("random")
            'ResNet-18, random weights'
            >>> table.base_row("r18")
            'vfs_r18.ckpt'
        """
        if text in self.rows:
            return text
        found = [name for name in self.rows if text in name]
        if len(found) != 1:
            raise ValueError(f"base {text!r} names {len(found) or 'no'} rows; the rows are {'; '.join(self.rows)}")
        return found[0]

    def with_differences(self, base: str, own_bases: Mapping[str, str] = {}) -> "Table":
        """Return the table with the differences of all rows from a base row.

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
        reasons: dict[str, None] = {}  # sentences on rows that are not compared
        for name, row in self.rows.items():
            base_of_row = own_bases.get(name, base)
            base_cells = {} if name == base_of_row else self.rows[base_of_row]  # a base has no difference from itself
            rows[name] = {}
            for column, cell in row.items():
                candidates = [base_cells[column]] if column in base_cells else []
                candidates = candidates or [each for of, each in base_cells.items() if of[:2] == column[:2]]
                comparable = [each for each in candidates if each.records and not cell.apart(each)]
                differences = filter(None, map(cell.paired_difference, comparable))
                rows[name][column] = replace(cell, difference=next(differences, None))
                if cell.records and candidates and not comparable:
                    about = f"{name} is not compared with {base_of_row} on {column.benchmark}"
                    reasons[f"{about}: it {cell.apart(candidates[0])}"] = None
        return replace(self, rows=rows, base=base, own_bases=own_bases, not_compared=tuple(reasons))


class Line(NamedTuple):
    """A line of a section: a row of the table by one protocol and conditions.

    Attributes:
        name: name of the row.
        column: any column with the protocol and the conditions.
        cells: a cell per head of the section; None where the row has no score.
        texts: the cells as texts, "" for None.
    """

    name: str
    column: Column
    cells: Sequence[Cell | None]
    texts: Sequence[str]


class Section(NamedTuple):
    """Lines of scores of a benchmark.

    Attributes:
        shared: the first column of the section, with "" for its protocol or conditions if other columns differ there.
        heads: names of the scores.
        lines: the lines, in the order of the table's rows, protocol by protocol.
    """

    shared: Column
    heads: Sequence[str]
    lines: Sequence[Line]

    def columns(self, first: str = "") -> tuple[list[str], list[list[str]], int]:
        """Return the heads of a grid, the texts of its lines, and how many of its columns stand before the scores.

        Before the scores stand the names of the rows. A column of protocols follows if the lines have several
        protocols, and a column of conditions if they have several conditions.

        Example:
            >>> lines = [Line("ours", Column("davis", "", by), [], ["55.3"]) for by in ("vfs", "crw")]
            >>> Section(Column("davis", ""), ["J-Mean"], lines).columns()
            (['', 'protocol', 'J-Mean'], [['ours', 'vfs', '55.3'], ['ours', 'crw', '55.3']], 2)
            >>> Section(Column("davis", ""), ["J-Mean"], lines[:1]).columns("davis")
            (['davis', 'J-Mean'], [['ours', '55.3']], 1)
        """
        heads = [first]
        facts = [[line.name for line in self.lines]]  # column → its text in each line
        for head, fact_of in (("protocol", attrgetter("by")), ("conditions", attrgetter("conditions"))):
            of_lines = [fact_of(line.column) for line in self.lines]
            if len(set(of_lines)) > 1:
                heads.append(head)
                facts.append(of_lines)
        # the scores by column, like `facts`; the last `zip` turns all columns into lines
        columns_of_texts = zip(*(line.texts for line in self.lines), strict=True)
        texts = list(map(list, zip(*facts, *columns_of_texts, strict=True)))
        return [*heads, *self.heads], texts, len(heads)

    def latex(self) -> str:
        """Return the section as a LaTeX tabular; the benchmark is the head of the rows' names, J-Mean becomes J."""
        heads, texts, right = self.columns(self.shared.benchmark)
        return latex_grid([head.replace("-Mean", "") for head in heads], texts, right)


def sections_of(
    table: Table, intervals: bool = True, bold: bool = True, *, of_comparable_scores: bool = False
) -> list[Section]:
    """Return the sections of a table.

    Args:
        intervals: write 95 % intervals and p into the texts.
        bold: write `**` around the best score of a column.
        of_comparable_scores: True: a section per set of comparable scores. Its lines are sorted by the score in their
            first column, the best first; but the steps of a table with a caption keep their order. False: a section per
            benchmark.

    Example:
        >>> from vidcorr.results.cells import published_cell
        >>> column = Column("davis", "J-Mean", "vfs")
        >>> scores = {"ours": 0.5, "theirs": 0.6, "lost": math.nan}
        >>> table = Table([column], {name: {column: published_cell(score)} for name, score in scores.items()})
        >>> [line.name for line in sections_of(table)[0].lines]
        ['ours', 'theirs', 'lost']
        >>> [line.name for line in sections_of(table, of_comparable_scores=True)[0].lines]
        ['theirs', 'ours', 'lost']
    """
    groups: dict[Any, list[Column]] = {}  # what the columns of a section share → these columns
    for column in table.columns:
        # comparable: all but the score is equal; published numbers stand beside measured ones
        key = column._replace(score="", published=False) if of_comparable_scores else column.benchmark
        groups.setdefault(key, []).append(column)
    found = []
    for columns in groups.values():
        section = _section(table, columns, intervals, bold)
        if of_comparable_scores and not table.caption:
            sign = 1 if table.declared(columns[0]).direction == "less" else -1
            section = section._replace(lines=sorted(section.lines, key=lambda line: _rank(line.cells[0], sign)))
        found.append(section)
    return found


def _rank(cell: Cell | None, sign: int) -> float:
    """Return a sorting key of a cell: the better the score, the smaller the key; infinity without a score.

    Args:
        cell: the cell.
        sign: 1 if less is better, −1 if more is.
    """
    return math.inf if cell is None or math.isnan(cell.mean) else sign * cell.mean


def _section(table: Table, columns: Sequence[Column], intervals: bool, bold: bool) -> Section:
    """Return the section of some columns.

    A row of the table may have scores by several protocols and conditions. Each pair of them, as `Column.title` states
    it, is a line of the section.

    Args:
        columns: columns of the section, all of one benchmark.
        intervals: write 95 % intervals and p.
        bold: write `**` around the best score of a column.
    """
    shared = columns[0]  # what all columns have in common, for the section's title
    if len({column.by for column in columns}) > 1:
        shared = shared._replace(by="")
    if len({column.conditions for column in columns}) > 1:
        shared = shared._replace(conditions="")
    heads = list(dict.fromkeys(column.label for column in columns))  # names of scores
    lines = []
    # title (benchmark, protocol and conditions) → head → column; columns of one title fill the same lines
    columns_by_title: dict[str, dict[str, Column]] = {}
    for column in columns:
        columns_by_title.setdefault(column.title, {})[column.label] = column
    for column_of in columns_by_title.values():
        any_column, *_ = column_of.values()  # from which a line has its protocol and conditions
        best_of = {head: table.best(column) if bold else "" for head, column in column_of.items()}
        for name, row in table.rows.items():
            # a title may lack a head: no row has a cell in the column NOWHERE
            cells = [row.get(column_of.get(head, NOWHERE)) for head in heads]
            texts = [""] * len(heads)
            for place, cell in enumerate(cells):
                if cell is not None:
                    texts[place] = cell.printed(intervals, best_of[heads[place]])
            if any(cells):  # not all None: the row has a score under this title
                lines.append(Line(name, any_column, cells, texts))
    return Section(shared, heads, lines)


def render(
    table: Table,
    format: Format = "md",
    intervals: bool | None = None,
    width: float = math.inf,
    start: Path = Path(),
) -> str:
    """Return a table of scores as text.

    A terminal's text, Markdown and LaTeX (packages booktabs and adjustbox) have a grid per benchmark, with a column for
    protocols or conditions if its lines differ in them.
    HTML is a page, whose tables hold the rows of one benchmark, protocol and data, the best first. A cell is, in per
    cent, mean ± standard deviation over the seeds, interval, and difference with interval and p. CSV has a line per
    cell, with all quantities as fractions, and each seed's score, but no sentences.

    Args:
        intervals: print 95 % intervals and p; by default in all formats but LaTeX.
        width: width of a terminal, characters, to which sentences are wrapped.
        start: folder of an HTML page; its links to the reports of results are relative to this folder.
    """
    if format == "csv":
        rows = records_of_table(table)
        return csv_of_records([{column: not_a_formula(value) for column, value in row.items()} for row in rows])
    intervals = format != "tex" if intervals is None else intervals
    said = sentences.notes(table, format, intervals)
    sections = sections_of(table, intervals, bold=format != "text", of_comparable_scores=format == "html")
    if format == "html":
        script = (files(__package__) / "sort-tables.js").read_text("utf-8")
        return str(_template().render(sections=sections, start=start, notes=" ".join(said), script=script))
    if format == "tex":
        # LaTeX's `table*` spans both columns of a paper
        star = "*" if max(len(section.heads) for section in sections) > WIDEST_COLUMN else ""
        tabulars = "\n\n\\par\\medskip\n".join(section.latex() for section in sections)
        head, end = rf"\begin{{table{star}}}", rf"\end{{table{star}}}"
        return "\n".join([head, r"\centering\sloppy", tabulars, rf"\caption{{{breakable(' '.join(said))}}}", end, ""])
    text = ""
    for section in sections:
        mark = "## " if format == "md" else ""
        text += f"{mark}{one_line(section.shared.title)}\n\n{grid(format, *section.columns())}\n"
    if format == "md":
        return text + " ".join(said) + "\n"
    return text + "".join(fill(sentence, int(min(width, 100))) + "\n" for sentence in said)


def html_tables(table: Table) -> dict[Column, str]:
    """Return a table in HTML per set of comparable scores; Markdown takes HTML too.

    Returns:
        Column → HTML of a table. The column, whose score is "", holds the benchmark, protocol and conditions of the
        table's scores.
    """
    texts = {}
    # the template's macro `table`, without the page around it
    module: Any = _template().make_module({"sections": [], "notes": "", "script": ""})
    for section in sections_of(table, of_comparable_scores=True):
        shared = section.shared._replace(score="", published=False)
        texts[shared] = str(module.table(section, start=Path()))  # links: relative to the working folder
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
    """Return the relative link from folder `start` to the report.html of a record's result; "" if it has no report."""
    report = record.place / REPORT
    return quote(Path(os.path.relpath(report, start)).as_posix()) if report.is_file() else ""


def print_table(table: Table, format: Format | None = None, intervals: bool | None = None) -> None:
    """Print a table.

    Args:
        format: form of the text; None: text in a terminal, and Markdown in a file or pipe.
        intervals: print 95 % intervals and p; None: in all formats but LaTeX.
    """
    if format is None:
        format = "text" if sys.stdout.isatty() else "md"
    width = shutil.get_terminal_size().columns if format == "text" else math.inf
    print(render(table, format, intervals, width), end="", flush=True)


def records_of_table(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row: `row`, `column`, and `Cell.quantities`; for CSV or `pandas.DataFrame`.

    Example:
        >>> from vidcorr.results.cells import published_cell
        >>> column = Column("davis", "J-Mean", "vfs")
        >>> (record,) = records_of_table(Table([column], {"ours": {column: published_cell(0.523)}}))
        >>> record["row"], record["column"], record["mean"]
        ('ours', 'davis J-Mean (vfs)', 0.523)
    """
    records = []
    for name, row in table.rows.items():
        for column in table.columns:
            if column in row:
                place = {"row": one_line(name), "column": one_line(column.head)}
                records.append(place | row[column].quantities)
    return records
