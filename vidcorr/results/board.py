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
    columns = [column for (column,) in grid.scores]
    heads = "<th>network</th>" + "".join(f"<th>{_shown(column.head)}</th>" for column in columns)
    lines = []
    for number, (name, row) in enumerate(zip(grid.names[0].cells, rows, strict=True)):
        cells = [cell for cell in row if cell]
        paper = next((cell.paper for cell in cells if cell.paper), None)
        kind = ' class="published"' if paper else ""
        shown = _shown(paper.name if paper else name)
        texts = [as_bold(_shown(column.cells[number]), r"<b>\1</b>") for column in columns]
        scores = "".join(f"<td>{text}</td>" for text in texts)
        lines.append(f"<tr{kind}><td>{shown}<small>{_about(cells, start)}</small></td>{scores}</tr>")
    return f"<div><table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


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
