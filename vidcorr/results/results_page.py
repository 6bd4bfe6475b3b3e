"""Page of results: results.html of several runs beside published scores, complete in itself.

The template results_page.html escapes every text; its script only sorts, filters and copies.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from ..videos.files import write_atomically
from .formats import bracketed, percent
from .published import Published, published_beside
from .records import Column, Record
from .statistics import HOW
from .tables import Cell, tabulate

PAGE = "results.html"


@dataclass(frozen=True)
class PageRow:
    """A row of the page: a network over its seeds, or a published row.

    Attributes:
        name: name of the row.
        cells: score → cell.
        runs: a score of each run.
        published: the published row.
    """

    name: str
    cells: Mapping[str, Cell]
    runs: Sequence[Record] = ()
    published: Published | None = None


def write_results_page(records: Sequence[Record], folder: str | Path) -> Path:
    """Write results.html into a folder: a table of each benchmark, protocol and data, published scores beside.

    Rows of a table share benchmark, protocol (without the fields that a network sets), data and sequences. Published
    rows join the table of the whole test set by their protocol.

    Args:
        records: scores of results, at least one; the folder of a result is linked if it holds report.html.
        folder: folder of the page; it is made if it does not exist.

    Returns:
        Path of the page.

    Raises:
        OSError: if the folder cannot be written.
    """
    from jinja2 import Environment  # here, because other tables need no template

    folder = Path(folder)
    found: dict[Column, list[Record]] = {}
    for record in records:
        found.setdefault(record.column._replace(score=""), []).append(record)
    environment = Environment(autoescape=True)
    environment.filters |= {"percent": percent, "bracketed": bracketed, "rules": _rules, "command": _command}
    environment.filters |= {"features": _features, "address": partial(_address, folder=folder)}
    template = environment.from_string((files(__package__) / "results_page.html").read_text("utf-8"))
    sections = []
    for column, of_table in found.items():
        rows = _measured_rows(of_table)
        if all(record.result.on_test_set for record in of_table):
            for paper in published_beside(column.benchmark, column.protocol):
                cells = {score: Cell(published=value) for score, value in paper.scores.items()}
                rows.append(PageRow(paper.name, cells, published=paper))
        protocols = {record.stage.protocol.digest: record.stage.protocol for record in of_table}
        sections.append((column, rows, list(protocols.values()), of_table[0].result.protocol_source))
    page = template.render(sections=sections, how=HOW)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    write_atomically(path, page.encode("utf-8", "backslashreplace").decode())  # a path may hold any bytes
    return path


def _measured_rows(records: Sequence[Record]) -> list[PageRow]:
    """Return the rows of comparable results: a network over its seeds."""
    rows = []
    for name, row in tabulate(records).rows.items():
        cells = {cell.records[0].column.score: cell for cell in row.values()}
        runs: dict[Path, Record] = {}
        for cell in row.values():
            runs |= {record.place: record for record in cell.records}
        rows.append(PageRow(name, cells, list(runs.values())))
    return rows


def _rules(record: Record) -> str:
    """Return the rules of the data set with their digest, and the version of vidcorr that applied them."""
    rules = record.result.data.get("rules") or ""
    if isinstance(rules, dict):
        rules = " ".join(str(value) for key, value in rules.items() if key != "source")
    version = record.result.provenance.versions.get("vidcorr", "")
    return " ".join(filter(None, [str(rules), f"vidcorr {version}" if version else ""])) or "–"


def _command(record: Record) -> str:
    """Return the command of a result without the folder of its program, which other machines lack."""
    command = record.result.provenance.command
    return shlex.join([Path(command[0]).name, *command[1:]]) if command else ""


def _address(record: Record, folder: Path) -> str:
    """Return the address of the run's own page, relative to the folder of this page; empty without one."""
    report = record.place / "report.html"
    if not report.is_file():
        return ""
    relative = os.path.relpath(report.resolve(), folder.resolve())
    return quote(os.fsencode(Path(relative).as_posix()))


def _features(row: PageRow) -> str:
    """Return feature map, stride and normalisation of a measured row."""
    if row.published is not None:
        return "–"
    return ", ".join(filter(None, [row.runs[0].stage.layer, row.runs[0].stride_and_normalisation])) or "–"
