"""Tables of scores: a row is a network over its seeds, a column holds comparable scores; and their texts.

A table is printed for a terminal, in Markdown, LaTeX, HTML (a notebook) and CSV.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from itertools import chain
from math import isnan
from textwrap import wrap
from typing import Literal, NamedTuple

from .cells import Cell, by_row
from .csv_files import csv_of_records
from .formats import as_bold, bracketed, grid, latex_row, latex_text, one_line, percent
from .records import Column, Record, uniquely_titled
from .statistics import ABOUT_WEIGHTS, FEWEST_SEEDS, FEWEST_SEQUENCES, HOW

Format = Literal["text", "md", "csv", "tex", "html"]
WIDEST = 6
"""Largest number of columns of numbers in a column of a paper; a wider table spans the page, in small letters."""
INTERVAL = "95 % interval"


class Part(NamedTuple):
    """A printed column.

    Attributes:
        title: title of its group of columns, benchmark and conditions; empty for a column of texts.
        head: head of the column.
        cells: a text per row; `**` around a number makes it bold.
        begins: True for a score, False for its interval and its difference.
    """

    title: str
    head: str
    cells: list[str]
    begins: bool = True


@dataclass(frozen=True, repr=False)
class Table:
    """Scores by row and column.

    Attributes:
        columns: head → conditions that the scores of the column share.
        rows: name → head → cell; rows without a score in a column have no cell.
        base: name of the base row for differences, or empty.
        own_bases: row → its base row, for rows with another base than `base`.
        texts: head → row → text, for columns of texts after the row's name.
        notes: sentences about the table.
        caption: data and network of the scores, for steps from a protocol to another; empty: as the results say, and
            the largest mean of a column is its best.
    """

    columns: Mapping[str, Column]
    rows: Mapping[str, Mapping[str, Cell]]
    base: str = ""
    own_bases: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caption: str = ""

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.columns)} columns: {'; '.join(self.rows)})"

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        return render(self, "html")

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
        for head, column in self.columns.items() if not self.caption else ():
            cells = [row[head] for row in self.rows.values() if head in row]
            means = [cell.mean for cell in cells if not isnan(cell.mean)]
            if len(means) > 1 and not column.score.endswith("Decay"):
                best[head] = percent(max(means), cells[0].digits)
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
        return replace(self, rows=rows, base=name_of_base, own_bases=own_bases)


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


# Texts


def render(table: Table, format: Format = "md", intervals: bool | None = None, width: int = 100) -> str:
    """Return a table of scores as text.

    A terminal's text has a table per benchmark and conditions, with intervals and differences in columns of their own.
    Markdown has them in the cell of the score. LaTeX (with booktabs) and HTML have a head per benchmark over its
    scores. Per cent: mean ± standard deviation over the seeds. CSV has a line per cell, with all quantities as
    fractions, and the score of each seed.

    Args:
        table: the scores.
        format: form of the text.
        intervals: print 95 % intervals and p; by default in all formats but LaTeX.
        width: width of the terminal, characters; a wider table continues below.
    """
    if intervals is None:
        intervals = format != "tex"
    if format == "csv":
        return csv_of_records(_csv_records(table))
    if format == "tex":
        return _latex(table, intervals)
    if format == "html":
        return _html(table, intervals)
    if format == "md":
        heads = ["", *table.texts, *table.columns]
        return _with_notes(grid("md", heads, _joined_rows(table, list(table.columns), intervals)), table, intervals)
    blocks = []
    for title, heads in _by_title(table).items():
        blocks.append(f"{one_line(title)}\n\n{_folded(_block(table, heads), intervals, width)}")
    lines = ["\n".join(wrap(note, min(width, 100))) for note in notes(table, intervals, "Difference")]
    return "\n".join([*blocks, *lines]) + "\n"


def printed(table: Table, format: Format | None = None, intervals: bool | None = None) -> str:
    """Return a table for the standard output: by default text in a terminal, and Markdown in a file or pipe."""
    if format is None:
        format = "text" if sys.stdout.isatty() else "md"
    return render(table, format, intervals, shutil.get_terminal_size().columns)


def in_console(table: Table) -> str:
    """Return a table for the standard output as `printed`, but in Markdown with a table per benchmark."""
    if sys.stdout.isatty():
        return printed(table)
    blocks = []
    for title, heads in _by_title(table).items():
        block = _block(table, heads)
        names = ["", *block.texts]
        for column in block.columns.values():
            names.append(f"{column.score}, paper" if column.published else column.score)
        blocks.append(f"## {title}\n\n{grid('md', names, _joined_rows(block, heads, True))}")
    return _with_notes("\n".join(blocks), table, True)


def notes(table: Table, intervals: bool = True, place: str = "After “;”: difference") -> list[str]:
    """Return sentences that explain the cells of a table.

    Args:
        table: the scores.
        intervals: whether the table shows intervals.
        place: beginning of the sentence on differences.
    """
    cells = table.cells
    sentences = []
    if any(len(cell.scores) > 1 for cell in cells):
        sentences.append("Several seeds: mean ± standard deviation.")
    if intervals and any(cell.interval is not None for cell in cells):
        sentences.append(f"[Low, high]: 95 % interval ({HOW}), over seeds too from {FEWEST_SEEDS} on.")
    if table.base:
        paired = f"paired by sequence, and by seed where rows share {FEWEST_SEEDS} seeds or more"
        sentences.append(f"{place} from {table.bases_in_words}, {paired}, each row tested by itself.")
    if intervals and any(cell.difference is not None for cell in cells):
        needed = f"{FEWEST_SEQUENCES} sequences, and {FEWEST_SEEDS} seeds of a training"
        sentences.append(f"{ABOUT_WEIGHTS} A difference without an interval is not tested: a test needs {needed}.")
    sentences += [f"{protocol}: {setting}." for protocol, setting in _settings(table).items()]
    sentences += table.notes
    return ["Per cent.", *sentences] if sentences else []


def _with_notes(text: str, table: Table, intervals: bool) -> str:
    """Return Markdown with a paragraph of notes below."""
    note = one_line(" ".join(notes(table, intervals)))
    return f"{text}\n{note}\n" if note else text


# Cells and columns


def _by_title(table: Table) -> dict[str, list[str]]:
    """Return title of columns → their heads; the columns of a benchmark are neighbours."""
    found: dict[str, list[str]] = {}
    for benchmark in dict.fromkeys(column.benchmark for column in table.columns.values()):
        for head, column in table.columns.items():
            if column.benchmark == benchmark:
                found.setdefault(column.title, []).append(head)
    return found


def _block(table: Table, heads: Sequence[str]) -> Table:
    """Return some columns of a table, with the rows that have a score there."""
    rows = {}
    for name, row in table.rows.items():
        cells = {head: row[head] for head in heads if head in row}
        if cells:
            rows[name] = cells
    return Table({head: table.columns[head] for head in heads}, rows, table.base, table.own_bases, table.texts)


def _points(cell: Cell) -> str:
    """Return the difference of a cell in percentage points, or an empty text."""
    if cell.difference is None:
        return ""
    return f"{100 * cell.difference.mean:+.{cell.digits}f}".replace("-", "−")


def _ends(cell: Cell) -> str:
    """Return the interval of a difference, in brackets."""
    change = cell.difference
    if change is None or change.low is None or change.high is None:
        return ""
    return f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]".replace("-", "−")


def _p(cell: Cell) -> str:
    """Return p of a difference."""
    return f"{cell.difference.p:.2g}" if cell.difference is not None and _ends(cell) else ""


def _interval(cell: Cell) -> str:
    """Return the interval of the score, in brackets."""
    return bracketed(cell.interval).strip().replace("-", "−")


def _score(cell: Cell, best: str | None) -> str:
    """Return the score; the best mean of its column is bold."""
    mean, between, deviation = cell.score_text.partition(" ± ")
    shown = f"**{mean}**" if mean == best else mean
    return f"{shown}{between}{deviation}".replace("-", "−")


def _joined_rows(table: Table, heads: Sequence[str], intervals: bool) -> list[list[str]]:
    """Return the rows with all parts of a score in one cell: score [interval]; difference [interval], p."""
    lines = []
    for name, row in table.rows.items():
        line = [name, *(texts.get(name, "") for texts in table.texts.values())]
        for head in heads:
            cell = row.get(head, Cell())
            text = _score(cell, table.best.get(head)) if head in row else ""
            if intervals and _interval(cell):
                text += f" {_interval(cell)}"
            if _points(cell):
                text += f"; {_points(cell)}"
            if intervals and _ends(cell):
                text += f" {_ends(cell)}, p {_p(cell)}"
            line.append(text)
        lines.append(line)
    return lines


def _parts(table: Table, intervals: bool) -> list[Part]:
    """Return the printed columns after the rows' names; columns of intervals, differences and p only with a text."""
    parts = [Part("", head, [texts.get(name, "") for name in table.rows]) for head, texts in table.texts.items()]
    for title, heads in _by_title(table).items():
        for head in heads:
            column = table.columns[head]
            cells = [row.get(head) for row in table.rows.values()]
            scores = ["" if cell is None else _score(cell, table.best.get(head)) for cell in cells]
            parts.append(Part(title, "paper" if column.published else column.score, scores))
            for name, text_of in ((INTERVAL, _interval), ("difference", _points), (INTERVAL, _ends), ("p", _p)):
                texts = ["" if cell is None else text_of(cell) for cell in cells]
                if any(texts) and (intervals or name == "difference"):
                    parts.append(Part(title, name, texts, begins=False))
    return parts


def _folded(table: Table, intervals: bool, width: int) -> str:
    """Return a table for a terminal; scores that do not fit beside the first ones stand below."""
    groups: list[list[Part]] = []
    for part in _parts(table, intervals):
        part = part._replace(cells=list(map(as_bold, part.cells)))
        if not part.begins:
            groups[-1].append(part)
        else:
            groups.append([part])
    names = ["", *map(one_line, table.rows)]
    rows: list[list[Part]] = [[]]
    for group in groups:
        used = max(map(len, names))
        for part in (*rows[-1], *group):
            used += 2 + max(len(text) for text in (part.head, *part.cells))
        if used > width and rows[-1]:
            rows.append([])
        rows[-1] += group
    texts = []
    for shown in rows:
        heads = ["", *(part.head for part in shown)]
        lines = zip(table.rows, *(part.cells for part in shown), strict=True)
        of_texts = sum(not part.title for part in shown)
        texts.append(grid("text", heads, [list(line) for line in lines], right=1 + of_texts))
    return "\n".join(texts)


# What the columns are


def _settings(table: Table) -> dict[str, str]:
    """Return protocol → size of the frames, stride and radius in words; empty for a table with a single protocol."""
    records: dict[str, list[Record]] = {}
    for cell in table.cells:
        for record in cell.records:
            records.setdefault(record.result.stage.protocol.shared_name, []).append(record)
    records.pop("", None)
    if len(records) < 2 or table.caption:
        return {}
    settings = {}
    for protocol, of_protocol in records.items():
        settings[protocol] = "; ".join(dict.fromkeys(record.setting for record in of_protocol))
    return settings


# LaTeX and HTML


def _latex(table: Table, intervals: bool) -> str:
    """Return a table in LaTeX."""
    parts = _parts(table, intervals)
    numbers = [part for part in parts if part.title]
    first = 2 + len(parts) - len(numbers)  # number of the first column of numbers
    titles = []
    rules = []
    for title, label in _labels(table).items():
        of_title = [part for part in numbers if part.title == title]
        last = first + len(of_title) - 1
        titles.append(rf"\multicolumn{{{len(of_title)}}}{{c}}{{{latex_text(label)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{last}}}")
        first = last + 1
    heads = ["Δ" if part.head == "difference" else part.head.removesuffix("-Mean") for part in parts]
    is_wide = len(numbers) > WIDEST
    environment = "table*" if is_wide else "table"
    lines = [
        rf"\begin{{{environment}}}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}" if is_wide else r"\centering",
        rf"\begin{{tabular}}{{l{'l' * (len(parts) - len(numbers))}{'r' * len(numbers)}}}",
        r"\toprule",
        " & ".join([*[""] * (1 + len(parts) - len(numbers)), *titles]) + r" \\",
        " ".join(rules),
        latex_row(["", *heads]),
        r"\midrule",
    ]
    for name, *cells in zip(table.rows, *(part.cells for part in parts), strict=True):
        lines.append(latex_row([name, *cells]))
    caption = rf"\caption{{{latex_text(_caption(table, intervals))}}}"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", caption, rf"\end{{{environment}}}", ""])


def _html(table: Table, intervals: bool) -> str:
    """Return a table in HTML."""
    parts = _parts(table, intervals)
    texts = [part for part in parts if not part.title]
    titles = "<th></th>" * (1 + len(texts))
    for title in _by_title(table):
        span = sum(part.title == title for part in parts)
        titles += f'<th colspan="{span}" style="text-align: center">{escape(one_line(title))}</th>'
    heads = "".join(f"<th>{escape(one_line(part.head))}</th>" for part in parts)
    body = ""
    for name, *cells in zip(table.rows, *(part.cells for part in parts), strict=True):
        shown = [as_bold(escape(one_line(cell)), r"<b>\1</b>") for cell in cells]
        body += f'<tr><th style="text-align: left">{escape(one_line(name))}</th>'
        body += "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>\n"
    below = "<br>".join(escape(one_line(note)) for note in notes(table, intervals, "Difference"))
    head = f"<thead><tr>{titles}</tr>\n<tr><th></th>{heads}</tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}</tbody>\n</table>\n<p><small>{below}</small></p>\n"


def _labels(table: Table) -> dict[str, str]:
    """Return title → the shortest of benchmark, benchmark with protocol, and title that tells it from the others."""
    forms: dict[str, tuple[str, str, str]] = {}
    for title, heads in _by_title(table).items():
        column = table.columns[heads[0]]
        protocol, _, _ = column.conditions.partition(", ")
        forms[title] = (column.benchmark, f"{column.benchmark}, {protocol}", title)
    counts = Counter(chain.from_iterable(map(set, forms.values())))
    return {title: min(of_title, key=lambda form: (counts[form] > 1, len(form))) for title, of_title in forms.items()}


def _caption(table: Table, intervals: bool) -> str:
    """Return the caption: benchmarks, data and protocols, and the meaning of bold, ± and brackets."""
    settings = _settings(table)
    data: dict[str, dict[str, None]] = {}  # benchmark and its conditions → protocols
    for cell in table.cells:
        for record in cell.records:
            result = record.result
            protocol = result.stage.protocol.shared_name
            setting = f"{protocol} ({settings[protocol]})" if protocol in settings else protocol
            about = f" ({', '.join(result.conditions)})" if result.conditions else ""
            data.setdefault(f"{result.data_set}{about}", {})[setting] = None
    protocols = dict.fromkeys(chain.from_iterable(data.values()))
    protocols.pop("", None)
    if len(protocols) == 1:
        of_what = f"on {_listed(list(data))}, by protocol {next(iter(protocols))}"
    else:
        of_what = "on " + "; ".join(f"{name} by {_listed(list(of_data))}" for name, of_data in data.items())
        for setting in protocols:  # its size, stride and radius stand once
            first, _, others = of_what.partition(setting)
            of_what = first + setting + others.replace(setting, setting.partition(" (")[0])
    sentences = [f"{table.caption or f'Scores in per cent {of_what}'}."]
    meanings = []
    if table.best:
        meanings.append("bold is the best of a column")
    if any(not isnan(cell.deviation) for cell in table.cells):
        meanings.append("± the standard deviation over seeds")
    if intervals and any(cell.interval for cell in table.cells):
        meanings.append(f"brackets the 95 % interval ({HOW})")
    if table.base:
        meanings.append(f"Δ the difference from {table.bases_in_words}")
    if meanings:
        text = ", ".join(meanings)
        sentences.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join([*sentences, *table.notes])


def _listed(texts: Sequence[str]) -> str:
    """Return texts as words of a sentence: a, b and c."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


# CSV


def _csv_records(table: Table) -> list[dict[str, object]]:
    """Return a record per cell, row by row, in the order of the table's heads; None for a missing quantity."""
    lines = []
    for name, row in table.rows.items():
        for head in filter(row.__contains__, table.columns):
            cell = row[head]
            columns = [record.column for record in cell.records]
            line: dict[str, object] = {"row": one_line(name)}
            line |= {one_line(text): texts.get(name, "") for text, texts in table.texts.items()}
            line["column"] = one_line(head)
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
