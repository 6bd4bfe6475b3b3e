"""study.html: a self-contained page of a study with table, curves of the trainings, and links to the reports."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from datamodules.writing.files import write_atomically

from .records import Table
from .rendering import notes, text_rows

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse } th, td { padding: .3rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #ccc } img { max-width: 100% }"""


def write_study_page(
    file: Path,
    title: str,
    table: Table,
    reports: Mapping[tuple[str, str], Mapping[int, Path]],
    said: Sequence[str] = (),
    curves: Path | None = None,
) -> Path:
    """Write the page of a study.

    Args:
        file: path of the page.
        title: title of the study.
        table: scores of the study.
        reports: row and evaluation → seed → page of the evaluation.
        said: paragraphs about source, protocols and data.
        curves: picture of the scores over training, or None.

    Returns:
        The page.
    """
    head = "".join(f"<th>{escape(text)}</th>" for text in ("", *table.heads))
    body = ""
    for name, *cells in text_rows(table):
        body += f"<tr><td>{escape(name)}</td>"
        for evaluation, text in zip(table.heads, cells, strict=True):
            links = [
                f'<a href="{escape(Path(os.path.relpath(page, file.parent)).as_posix())}">{seed}</a>'
                for seed, page in reports.get((name, evaluation), {}).items()
            ]
            body += f"<td>{escape(text)}{'<br>reports: ' if links else ''}{' '.join(links)}</td>"
        body += "</tr>\n"
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in (*said, *notes(table)))
    picture = ""
    if curves is not None:
        picture = (
            f'<h2>Over training</h2>\n<img src="data:image/png;base64,{b64encode(curves.read_bytes()).decode()}">\n'
        )
    write_atomically(
        file,
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}</table></div>\n{paragraphs}{picture}</body></html>\n',
    )
    return file
