"""Self-contained pages: report.html of a result and its animations, and results.html of several results.

Of report.html, Python collects scores and animations in a JSON, and the script in page.html draws it. The template
results_page.html escapes every text; its script only sorts, filters and copies.
"""

import json
import os
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from math import isnan
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

from ..videos.files import write_atomically
from .cells import Cell
from .checked import Json, plain
from .formats import bracketed
from .pictures.animations import TRUTH_SUFFIX
from .published import Published, published_beside
from .records import Column, Record
from .rendering import Table
from .result import MEANS_OF, Result
from .statistics import FEWEST_SEQUENCES, HOW
from .tables import tabulate

AT_EACH_END = 3
"""Number of worst, and of best, sequences with animations in the page."""


def write_report(folder: str | Path, result: Result | None = None) -> Path:
    """Write report.html into the folder of a result.

    The table of scores includes earlier epochs of the training.

    Args:
        folder: folder of the result, with animations/ if the benchmark draws them.
        result: the result; by default the folder's.

    Returns:
        Path of the page.

    Raises:
        ValueError: if the folder holds no result or a damaged file.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    main = result.main_scores()
    intervals = {key: bracketed(result.interval(key)) for key in main}
    content: Json = {
        "result": result.model_dump(exclude={"rows", "without"}),
        "network": str(result.network),
        "command": shlex.join(result.provenance.command),
        "main": main,
        "how": f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences.",
    }
    content["intervals"] = {key: ends for key, ends in intervals.items() if ends}
    content["ranked_by"] = ranking_columns(result)
    texts: set[str] = set()  # columns that hold no fractions: texts, truth values and counts
    for row in result.rows:
        texts.update(name for name, value in row.values.items() if not isinstance(value, float))
    content["texts"] = sorted(texts)
    content["animations"] = _animations(folder, result)
    content["rows"] = result.records()
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no text ends the script element
    path = folder / "report.html"
    template = (files(__package__) / "page.html").read_text("utf-8")
    write_atomically(path, template.replace("DATA", text, 1))
    return path


def ranking_columns(result: Result) -> list[str]:
    """Return the columns whose mean ranks the sequences: of the first score that is a mean of columns, else J and F."""
    known = set().union(*(row.values for row in result.rows))
    for columns in (*(MEANS_OF.get(name, (name,)) for name in result.scores), ("J-Mean", "F-Mean")):
        if known.issuperset(columns):
            return list(columns)
    return []


def scores_by_sequence(result: Result) -> dict[str, float]:
    """Return sequence → mean over the `ranking_columns` of its rows."""
    columns = ranking_columns(result)
    values: dict[str, list[float]] = {}
    for row in result.rows:
        name = row.name if row.name in result.sequences else row.video  # an object may be followed by itself
        cells = map(row.values.get, columns)
        known = [cell for cell in cells if isinstance(cell, int | float) and not isnan(cell)]
        values.setdefault(name, []).extend(known)
    return {name: fmean(known) for name, known in values.items() if known}


def _animations(folder: Path, result: Result) -> list[Json]:
    """Return the animations of a result, lowest score first, sequences without a score last.

    Only the worst and best sequences have images, in base64: the drawn frames, and the truth if it is known.
    """
    scores = scores_by_sequence(result)
    found: list[tuple[Json, Path]] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        animation = json.loads(path.read_text("utf-8"))  # the fields of a `SequenceAnimation`
        name = animation["sequence"]
        if name in result.sequences:  # not of an earlier run in the folder
            animation["score"] = scores.get(name)
            animation["name"] = f"{name} ({animation['kind']})" if animation["kind"] else name
            found.append((animation, path))
    found.sort(key=lambda pair: (pair[0]["score"] is None, pair[0]["score"] or 0.0))
    for number, (animation, path) in enumerate(found):
        is_shown = number < AT_EACH_END or number >= len(found) - AT_EACH_END
        images = [path.with_suffix(suffix) for suffix in (".webp", TRUTH_SUFFIX)] if is_shown else []
        animation["images"] = [b64encode(file.read_bytes()).decode() for file in images if file.is_file()]
    return [animation for animation, _ in found]


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
    environment.filters |= {"rules": _rules, "command": shlex.join, "address": partial(_address, folder=folder)}
    template = environment.from_string((files(__package__) / "results_page.html").read_text("utf-8"))
    sections = []
    for column, of_table in found.items():
        table = tabulate(of_table)
        papers: dict[str, Published] = {}  # row → its publication
        if all(record.result.on_test_set for record in of_table):
            for paper in published_beside(column.benchmark, column.protocol):
                name = paper.name if paper.name not in {*table.rows, *papers} else f"{paper.name}, {paper.source}"
                papers[name] = paper
        protocols = {record.result.stage.protocol.digest: record.result.stage.protocol for record in of_table}
        source = of_table[0].result.protocol_source
        sections.append((column, with_papers(table, papers), papers, list(protocols.values()), source))
    page = template.render(sections=sections, how=HOW)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.html"
    write_atomically(path, page.encode("utf-8", "backslashreplace").decode())  # a path may hold any bytes
    return path


def with_papers(table: Table, papers: Mapping[str, Published]) -> Table:
    """Return a table of one benchmark, protocol and data with rows of published scores below the measured ones.

    Args:
        table: the measured scores.
        papers: name of a row → its publication.
    """
    columns = dict(table.columns)
    shared = next(iter(columns.values()))
    rows = dict(table.rows)
    for name, paper in papers.items():
        row: dict[str, Cell] = {}
        for score, value in paper.scores.items():
            column = shared._replace(score=score)
            columns.setdefault(column.head, column)
            row[column.head] = Cell(published=value)
        rows[name] = row
    return replace(table, columns=columns, rows=rows)


def _rules(record: Record) -> str:
    """Return the rules of the data set with their digest, and the version of vidcorr that applied them."""
    rules = record.result.data.get("rules") or ""
    if isinstance(rules, dict):
        rules = " ".join(str(value) for key, value in rules.items() if key != "source")
    version = record.result.provenance.versions.get("vidcorr", "")
    return " ".join(filter(None, [rules, f"vidcorr {version}" if version else ""])) or "–"


def _address(record: Record, folder: Path) -> str:
    """Return the address of the run's own page, relative to the folder of this page; empty without one."""
    report = record.place / "report.html"
    if not report.is_file():
        return ""
    relative = os.path.relpath(report.resolve(), folder.resolve())
    return quote(os.fsencode(Path(relative).as_posix()))
