"""Tables of scores in HTML, and the page that shows them: it needs no server, and a click sorts a table."""

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from .cells import Cell
from .formats import Grid, as_bold, one_line
from .records import Column

REPORT = "report.html"
"""Name of the page of a result in its folder."""


def html_table(grid: Grid, rows: Sequence[Sequence[Cell | None]], start: Path) -> str:
    """Return a table on a single line, which is a block of HTML in Markdown too.

    Args:
        grid: the printed table.
        rows: the cells of each line; None without a score.
        start: folder of the page, from which its links lead.
    """
    heads = "<th>network</th>"
    texts_of_columns: list[Sequence[str]] = []
    for (column,) in grid.scores:  # HTML has all texts of a score in one column
        heads += f"<th>{_shown(column.head)}</th>"
        texts_of_columns.append(column.cells)
    lines = ""
    for name, row, texts in zip(grid.names[0].cells, rows, zip(*texts_of_columns, strict=True), strict=True):
        lines += _html_line(name, list(filter(None, row)), texts, start)
    return f"<div><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"


def _html_line(name: str, cells: Sequence[Cell], texts: Iterable[str], start: Path) -> str:
    """Return a line of a table: the name of a row, or of the method of a published one, and the texts of its cells."""
    start_tag = "<tr>"
    for cell in cells:
        if cell.paper:
            start_tag = '<tr class="published">'
            name = cell.paper.name
            break
    line = f"{start_tag}<td>{_shown(name)}<small>{_about(cells, start)}</small></td>"
    for text in texts:
        with_bold = as_bold(_shown(text), r"<b>\1</b>")
        line += f"<td>{with_bold}</td>"
    return f"{line}</tr>"


def _about(cells: Iterable[Cell], start: Path) -> str:
    """Return links to the reports of a row's results, the source of a published row, and what is doubtful."""
    parts: dict[str, None] = {}
    for cell in cells:
        if cell.paper:
            texts = [cell.paper.source, cell.paper.doubt]
            parts |= dict.fromkeys(map(_shown, filter(None, texts)))
        for record in cell.records:
            report = record.place / REPORT
            of_seed = "" if record.seed is None else f" of seed {record.seed}"
            if report.is_file():
                link = quote(Path(os.path.relpath(report, start)).as_posix())
                parts[f'<a href="{link}">report{of_seed}</a>'] = None
            parts |= dict.fromkeys(map(_shown, record.result.doubts))
    return "; ".join(parts)


def html_page(tables: Mapping[Column, str], sentences: Iterable[str]) -> str:
    """Return the page of tables, each with what its scores share, and of sentences about them."""
    text = ""
    for shared, table in tables.items():
        digests = [f"protocol {shared.protocol or 'none'}", f"data {shared.data or 'not recorded'}"]
        parts = shared.about.split(", ") + digests
        about = dict.fromkeys(filter(None, parts))  # the conditions may have the digests too
        text += f"<article><h2>{_shown(shared.benchmark)}</h2><p>{_shown(', '.join(about))}</p>\n{table}</article>\n"
    text += f"<footer>{_shown(' '.join(sentences))}</footer>"
    folder = files(__package__)
    script = (folder / "sort-tables.js").read_text("utf-8")
    return (folder / "board.html").read_text("utf-8").replace("SCRIPT", script).replace("SECTIONS", text)


def _shown(text: str) -> str:
    """Return text as HTML shows it, on a line."""
    return escape(one_line(text))
