"""Page of results: results.html of several runs beside published scores, complete in itself.

Every text reaches the page escaped; the script in results_page.html only sorts, filters and copies.
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain, combinations
from math import isnan
from pathlib import Path
from urllib.parse import quote

from ..videos.files import write_atomically
from .published import PUBLISHED, Published, protocol_named
from .records import Column, Record
from .result import Network, Protocol
from .statistics import HOW
from .tables import Cell, tabulate
from .text_tables import html_text, percent

PAGE = "results.html"
RULES_OR_SOURCE = "rules, or source"
"""Heading of the rules that scored a result, and of the source of a published row."""
NO_COMMAND = "–"
OTHER_WEIGHTS = "same name, other weights"
"""Mark of rows that claim a name which results with other weights claim too."""


@dataclass(frozen=True)
class Row:
    """A row of the page: cells as HTML, and the values that sort them.

    Attributes:
        cells: heading → content of the cell, escaped.
        values: heading → number to sort by; other cells are sorted by their text.
        is_published: True for a row of published.csv.
    """

    cells: Mapping[str, str]
    values: Mapping[str, float]
    is_published: bool = False


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
    folder = Path(folder)
    sections: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        sections.setdefault((record.column.benchmark, _shared_digest(record.stage.protocol)), []).append(record)
    doubled = doubled_names(records)
    parts = [_contents(sections)]
    for number, ((benchmark, digest), of_section) in enumerate(sections.items(), start=1):
        parts.append(_section(number, benchmark, digest, of_section, doubled, folder))
    digests: dict[str, set[str]] = {}
    for benchmark, digest in sections:
        digests.setdefault(benchmark, set()).add(digest)
    for benchmark, used in digests.items():
        parts.append(_other_protocols(benchmark, used))
    template = (files(__package__) / "results_page.html").read_text("utf-8")
    page = template.replace("CONTENT", "\n".join(parts), 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    write_atomically(path, page.encode("utf-8", "backslashreplace").decode())  # a path may hold any bytes
    return path


def doubled_names(records: Iterable[Record]) -> set[str]:
    """Return the names that two results claim with different weights, for one seed or as different trainings.

    Seeds of one recipe have different weights and share their name rightly.
    """
    networks: dict[str, set[Network]] = {}
    for record in records:
        if record.result.network.digest:
            networks.setdefault(record.name, set()).add(record.result.network)
    doubled = set()
    for name, claiming in networks.items():
        for first, second in combinations(claiming, 2):
            are_seeds = first.recipe == second.recipe != "" and first.seed != second.seed
            if first.digest != second.digest and not are_seeds:
                doubled.add(name)
    return doubled


def _shared_digest(protocol: Protocol) -> str:
    """Return the digest that comparable rows share; empty without a protocol."""
    return protocol.shared or protocol.digest


def _contents(sections: Iterable[tuple[str, str]]) -> str:
    """Return the head of the page: what it shows, links to the sections, the filter."""
    links = []
    for number, (benchmark, digest) in enumerate(sections, start=1):
        links.append(f'<a href="#section-{number}">{html_text(f"{benchmark} {digest}".strip())}</a>')
    about = (
        "Scores are in per cent. Rows of a table share benchmark, protocol, data and sequences. "
        f"[Low, high]: 95 % interval ({HOW}). Rows in italics are published numbers, not measured here; a row with a "
        "doubt may have another protocol or network. A click on a heading sorts."
    )
    field = '<input id="filter" type="search" placeholder="filter rows" aria-label="filter rows">'
    return f'<p class="note">{html_text(about)}</p><nav>{"".join(links)}</nav>{field}'


def _section(
    number: int, benchmark: str, digest: str, records: Sequence[Record], doubled: set[str], folder: Path
) -> str:
    """Return the section of a benchmark and protocol, with a table for each set of data and sequences."""
    protocol = records[0].stage.protocol
    name = protocol.shared_name or protocol.name
    title = f"{benchmark}, no protocol"
    if name:
        title = f"{benchmark}: {name}"
    parts = [f'<section id="section-{number}"><h2>{html_text(title)}</h2>']
    if digest:
        parts.append(f'<p class="note">protocol digest <code>{html_text(digest)}</code></p>')
    parts.append(_protocol_facts(records))
    tables: dict[Column, list[Record]] = {}
    for record in records:
        tables.setdefault(record.column._replace(score=""), []).append(record)
    published = _published_rows(benchmark, digest)
    for column, of_table in tables.items():
        is_whole = all(record.result.on_test_set for record in of_table)
        rows = _measured_rows(of_table, doubled, folder)
        if is_whole:
            rows += published
            published = []
        heading = column.conditions
        if column.names:
            heading += f" · names {column.names}"
        parts.append(f"<h3>{html_text(heading)}</h3>{_table(rows)}")
    if published:
        parts.append(f"<h3>published, whole test set: other data than above</h3>{_table(published)}")
    parts.append("</section>")
    return "".join(parts)


def _protocol_facts(records: Sequence[Record]) -> str:
    """Return the fields and the source of a section's protocols, folded."""
    facts = []
    told = set()
    for record in records:
        protocol = record.stage.protocol
        if protocol.name and protocol.digest not in told:
            told.add(protocol.digest)
            facts.append(f"<p>{html_text(protocol.name)} · digest <code>{html_text(protocol.digest)}</code></p>")
            facts.append(_facts_table(protocol.fields))
    source = records[0].result.protocol_source
    if source:
        facts.append(f"<p>Source</p>{_facts_table(source)}")
    if not facts:
        return ""
    return f"<details><summary>fields and source of the protocol</summary>{''.join(facts)}</details>"


def _facts_table(facts: Mapping[str, object]) -> str:
    lines = []
    for name, value in facts.items():
        lines.append(f"<tr><td>{html_text(name)}</td><td>{html_text(str(value))}</td></tr>")
    return f'<table class="facts">{"".join(lines)}</table>'


def _measured_rows(records: Sequence[Record], doubled: set[str], folder: Path) -> list[Row]:
    """Return the rows of comparable results: a network over its seeds."""
    rows = []
    for name, cells in tabulate(records).rows.items():
        content = {"network": f'<span class="name">{html_text(name)}</span>'}
        values = {}
        members: dict[Path, Record] = {}
        for cell in cells.values():
            score = cell.records[0].column.score
            content[score] = _score(cell)
            if not isnan(cell.mean):
                values[score] = cell.mean
            for record in cell.records:
                members.setdefault(record.place, record)
        runs = list(members.values())
        if runs[0].name in doubled:
            content["network"] += f' <span class="badge warn">{OTHER_WEIGHTS}</span>'
        content["seeds"] = _lines(map(_seed, runs))
        content["weights"] = _lines(map(_weights, runs))
        content["stage, stride"] = html_text(_features(runs[0]))
        content[RULES_OR_SOURCE] = _lines(map(_rules, runs))
        content["date"] = _lines(map(_date, runs))
        content["command"] = _commands(runs)
        content["run"] = _lines(_link(run, folder) for run in runs)
        rows.append(Row(content, values))
    return rows


def _score(cell: Cell) -> str:
    """Return a score with its spread over seeds and its interval."""
    text = cell.with_uncertainty(f"<b>{percent(cell.mean)}</b>").replace("-", "−")
    score, bracket, interval = text.partition("[")
    if not bracket:
        return text
    return f'{score}<span class="interval">[{interval}</span>'


def _lines(texts: Iterable[str]) -> str:
    """Return the different texts of a row's runs, each in a line."""
    return "<br>".join(dict.fromkeys(texts))


def _code(text: str) -> str:
    return f"<code>{html_text(text)}</code>"


def _seed(record: Record) -> str:
    return "–" if record.seed is None else str(record.seed)


def _weights(record: Record) -> str:
    return _code(record.result.network.digest or "unknown")


def _features(record: Record) -> str:
    """Return the feature map of a row and what the network brought: its stride and normalisation."""
    parts = [record.stage.layer, record.stride_and_normalisation]
    return ", ".join(filter(None, parts)) or "–"


def _rules(record: Record) -> str:
    """Return the rules of the data set with their digest, and the version of vidcorr that applied them."""
    rules = record.result.data.get("rules")
    parts = []
    if isinstance(rules, dict):
        parts += [str(value) for key, value in rules.items() if key != "source"]
    elif rules:
        parts.append(str(rules))
    version = record.result.provenance.versions.get("vidcorr", "")
    if version:
        parts.append(f"vidcorr {version}")
    return html_text(" ".join(parts) or "–")


def _date(record: Record) -> str:
    """Return the day of a result; the time appears when the pointer rests on it."""
    date = record.result.provenance.date
    return f'<time title="{html_text(date)}">{html_text(date[:10])}</time>'


def _commands(runs: Sequence[Record]) -> str:
    """Return the commands of a row's runs, folded; a dash if no run states its command."""
    commands = list(dict.fromkeys(map(_command, runs)))
    if commands == [NO_COMMAND]:
        return NO_COMMAND
    count = "show" if len(commands) == 1 else f"show {len(commands)}"
    return f"<details><summary>{count}</summary>{''.join(commands)}</details>"


def _command(record: Record) -> str:
    """Return the command of a result, with its program by name, and a button that copies it."""
    command = record.result.provenance.command
    if not command:
        return NO_COMMAND
    program = Path(command[0]).name  # drops the folder of the environment, which other machines lack
    text = shlex.join([program, *command[1:]])
    return f'<div class="command">{_code(text)}<button type="button">copy</button></div>'


def _link(record: Record, folder: Path) -> str:
    """Return a link to the run's own page, relative to the folder of this page; its folder without one."""
    report = record.place / "report.html"
    if not report.is_file():
        return html_text(record.place.name)
    relative = os.path.relpath(report.resolve(), folder.resolve())
    address = quote(os.fsencode(Path(relative).as_posix()))
    return f'<a href="{address}">{html_text(record.place.name)}</a>'


def _published_rows(benchmark: str, digest: str) -> list[Row]:
    """Return the published rows of a protocol, by the digest that comparable rows share."""
    rows = []
    for published in PUBLISHED:
        if published.benchmark == benchmark and _known_protocol(published.protocol, benchmark).shared == digest:
            rows.append(_published_row(published))
    return rows


@cache
def _known_protocol(name: str, benchmark: str) -> Protocol:
    """Return the facts of a published row's protocol."""
    return Protocol.of(protocol_named(name, benchmark))


def _published_row(published: Published) -> Row:
    """Return the row of a published score."""
    badge = '<span class="badge">published</span>'
    if published.doubt:
        badge += ' <span class="badge warn">doubt</span>'
    content = {"network": f"{html_text(published.name)} {badge}"}
    for score, value in published.scores.items():
        content[score] = f"<b>{percent(value)}</b>"
    stride = _known_protocol(published.protocol, published.benchmark).fields.get("feature_stride")
    content["stage, stride"] = "–"
    if stride:
        content["stage, stride"] = f"stride {html_text(str(stride))}"
    content["weights"] = html_text(published.weights)
    content[RULES_OR_SOURCE] = html_text(f"{published.source}; {published.stated}")
    if published.doubt:
        content[RULES_OR_SOURCE] += f'<span class="doubt">doubt: {html_text(published.doubt)}</span>'
    return Row(content, dict(published.scores), is_published=True)


DETAILS = ("seeds", "weights", "stage, stride", RULES_OR_SOURCE, "date", "command", "run")
"""Headings after the scores, in order; a table has those that a row uses."""


KINDS = {"weights": "some", "run": "some", RULES_OR_SOURCE: "long"}
"""Heading → class that sets the least width of its cells."""


def _table(rows: Sequence[Row]) -> str:
    """Return a table with a column for every score and detail of its rows, in the order of the first row."""
    used = dict.fromkeys(chain.from_iterable(row.cells for row in rows))
    scores = [head for head in used if head not in ("network", *DETAILS)]
    details = [head for head in DETAILS if head in used]
    heads = ["network", *scores, *details]
    titles = ""
    for head in heads:
        breakable = html_text(head).replace("_", "_<wbr>")
        titles += f'<th scope="col">{breakable}</th>'
    lines = ""
    for row in rows:
        cells = ""
        for head in heads:
            attributes = ""
            if head in scores:
                attributes = f' class="score" data-value="{row.values.get(head, "")}"'
            elif head in KINDS:
                attributes = f' class="{KINDS[head]}"'
            cells += f"<td{attributes}>{row.cells.get(head, '')}</td>"
        kind = ' class="published"' if row.is_published else ""
        lines += f"<tr{kind}>{cells}</tr>"
    body = f"<thead><tr>{titles}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="scroll" tabindex="0"><table class="rows">{body}</table></div>'


def _other_protocols(benchmark: str, used: set[str]) -> str:
    """Return the published rows of a benchmark under protocols that no result has, a table for each, folded."""
    tables: dict[str, tuple[str, list[Row]]] = {}
    for published in PUBLISHED:
        if published.benchmark == benchmark:
            protocol = _known_protocol(published.protocol, benchmark)
            if protocol.shared not in used:
                tables.setdefault(protocol.shared, (protocol.shared_name, []))[1].append(_published_row(published))
    if not tables:
        return ""
    parts = [f"<section><h2>{html_text(benchmark)}: published under other protocols</h2>"]
    parts.append('<details class="others"><summary>not comparable with the results above</summary>')
    for digest, (name, rows) in tables.items():
        parts.append(f"<h3>{html_text(name)} · digest {_code(digest)}</h3>{_table(rows)}")
    parts.append("</details></section>")
    return "".join(parts)
