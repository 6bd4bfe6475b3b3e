"""Page of results: results.html of several runs beside published scores, complete in itself.

The template results_page.html escapes every text; its script only sorts, filters and copies.
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from ..videos.files import write_atomically
from .formats import bracketed, percent
from .published import Published, protocol_named, published_rows
from .records import Column, Record
from .result import Protocol
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


@dataclass(frozen=True)
class Section:
    """The results of a benchmark by a protocol.

    Attributes:
        title: benchmark and protocol.
        digest: digest that comparable rows share; empty without a protocol.
        protocols: the protocols of the rows.
        source: publication of the protocol.
        tables: heading → rows.
    """

    title: str
    digest: str = ""
    protocols: Sequence[Protocol] = ()
    source: Mapping[str, str] | None = None
    tables: Mapping[str, Sequence[PageRow]] | None = None


def write_results_page(records: Sequence[Record], folder: str | Path) -> Path:
    """Write results.html into a folder: a section per benchmark and protocol, published scores beside.

    Rows of a table share benchmark, protocol (without the fields that a network sets), data and sequences. Published
    rows join the table of the whole test set; published rows of other protocols follow in tables of their own.

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
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.column.benchmark, record.stage.protocol.shared), []).append(record)
    sections = [_section(benchmark, digest, of_section) for (benchmark, digest), of_section in found.items()]
    others = [_other_protocols(name, found) for name in dict.fromkeys(benchmark for benchmark, _ in found)]
    environment = Environment(autoescape=True)
    environment.filters |= {"percent": percent, "bracketed": bracketed, "rules": _rules, "command": _command}
    environment.filters |= {"features": _features, "address": partial(_address, folder=folder)}
    template = environment.from_string((files(__package__) / "results_page.html").read_text("utf-8"))
    page = template.render(sections=sections, others=[other for other in others if other.tables], how=HOW)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    write_atomically(path, page.encode("utf-8", "backslashreplace").decode())  # a path may hold any bytes
    return path


def _section(benchmark: str, digest: str, records: Sequence[Record]) -> Section:
    """Return the section of a benchmark and protocol, with a table for each set of data and sequences."""
    grouped: dict[Column, list[Record]] = {}
    protocols: dict[str, Protocol] = {}
    for record in records:
        grouped.setdefault(record.column._replace(score=""), []).append(record)
        if record.stage.protocol.name:
            protocols.setdefault(record.stage.protocol.digest, record.stage.protocol)
    beside = [row for row in published_rows() if row.benchmark == benchmark and _shared(row) == digest]
    published = list(map(_published_row, beside))
    tables: dict[str, list[PageRow]] = {}
    for column, of_table in grouped.items():
        rows = _measured_rows(of_table)
        if all(record.result.on_test_set for record in of_table):
            rows += published
            published = []
        tables[f"{column.conditions} · names {column.names}" if column.names else column.conditions] = rows
    if published:
        tables["published, whole test set: other data than above"] = published
    protocol = records[0].stage.protocol
    title = f"{benchmark}: {protocol.shared_name}" if protocol.name else f"{benchmark}, no protocol"
    return Section(title, digest, list(protocols.values()), records[0].result.protocol_source, tables)


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
    """Return feature map, stride and normalisation of a row."""
    if row.published is None:
        return ", ".join(filter(None, [row.runs[0].stage.layer, row.runs[0].stride_and_normalisation])) or "–"
    stride = _known_protocol(row.published.protocol, row.published.benchmark).fields.get("feature_stride")
    return f"stride {stride}" if stride else "–"


@cache
def _known_protocol(name: str, benchmark: str) -> Protocol:
    return Protocol.of(protocol_named(name, benchmark))


def _shared(row: Published) -> str:
    return _known_protocol(row.protocol, row.benchmark).shared


def _published_row(row: Published) -> PageRow:
    return PageRow(row.name, {score: Cell(published=value) for score, value in row.scores.items()}, published=row)


def _other_protocols(benchmark: str, used: Iterable[tuple[str, str]]) -> Section:
    """Return the published rows of a benchmark under protocols that no result has, a table for each."""
    tables: dict[str, list[PageRow]] = {}
    for row in published_rows():
        if row.benchmark == benchmark and (benchmark, _shared(row)) not in used:
            name = _known_protocol(row.protocol, benchmark).shared_name
            tables.setdefault(f"{name} · digest {_shared(row)}", []).append(_published_row(row))
    return Section(f"{benchmark}: published under other protocols", tables=tables)
