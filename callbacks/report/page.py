"""report.html: one page, complete in itself, made of the files that a benchmark run leaves in its folder."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from datamodules.reading.writing import write_atomically

from ..stored_results import Json, protocols_of
from .charts import draw_chart, draw_legend
from .films import film_curves, film_name, films_section, percent, score_of, worst_section
from .interval_table import uncertainty_table
from .run import ReportedRun, ScoreLine, overlaid_charts, progress_charts, read_beside, read_run, score_lines

TITLES = {"davis": "DAVIS", "youtube_vos": "YouTube-VOS", "jhmdb": "JHMDB", "vip": "VIP", "otb": "OTB"}
BESIDES = {"benchmark", "scores", "protocol", "protocol_source", "command", "versions", "network", "history"}
"""Fields of results.json that the page shows elsewhere."""
PUBLISHED_TAG = ' <span class="tag">published</span>'
TEXT_COLUMNS = {"Stage", "Sequence"}
"""Columns of per_sequence.csv that hold no fractions, in addition to those that the benchmark declares."""


def write_report(folder: str | Path, beside: Sequence[str | Path] = ()) -> Path:
    """Write report.html into the folder of a benchmark run.

    The table of scores also holds what is found near the run: earlier epochs of the same training and the other rows of
    `vidcorr compare`; and what papers print, where the whole test set was evaluated.

    Args:
        folder: with results.json, and per_sequence.csv, report.json and films/ where the benchmark has them.
        beside: results.json files of other runs, or their folders, for the tables and the charts.

    Returns:
        The page.

    Raises:
        ValueError: if a folder holds no results of a benchmark, or the runs to compare are another benchmark's.
    """
    run = read_run(Path(folder))
    others = [read_beside(run, Path(path)) for path in beside]
    lines = score_lines(run, others)
    name = TITLES.get(run.results["benchmark"], str(run.results["benchmark"]))
    first = next(iter(run.results["scores"].items()), None)
    title = f"{name}: {first[0]} {100 * first[1]:.1f}" if first else name
    body = [
        _header(run, name),
        _section("Scores, per cent", _scores(lines)),
        _section("Uncertainty, points of per cent", uncertainty_table(run, others)),
        _section("", _charts(run, others)),
        _section("Sequences played", films_section(run)),
        _section("Worst frames", worst_section(run)),
        _section("All sequences", _sequences(run)),
        _section("Protocol", "".join(map(_protocol, protocols_of(run.results))) + _source(run)),
        _section("Run", _origin(run)),
    ]
    page = Template((files(__package__) / "page.html").read_text())
    path = run.folder / "report.html"
    write_atomically(path, page.substitute(title=escape(title), body="\n".join(filter(None, body))))
    return path


def _section(title: str, content: str) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f"<section>{heading}{content}</section>" if content else ""


def _header(run: ReportedRun, name: str) -> str:
    results = run.results
    number = results.get("sequences", len(run.material["sequences"]))
    limited = f" (the first {results['limit_sequences']} only)" if results.get("limit_sequences") else ""
    protocols = [protocol["name"] for protocol in protocols_of(results)]
    facts = [
        results.get("network", ""),
        f"protocol {protocols[0]}" if protocols else "",
        f"{number} sequence{'s' if number != 1 else ''}{limited}",
        results.get("date", ""),
    ]
    scores = results["scores"]
    ranked = [key for key in scores if key in run.material["ranked_by"]]
    tiles = "".join(
        f'<div class="tile"><span class="soft">{escape(key)}</span><b>{percent(scores[key])}</b></div>'
        for key in list(dict.fromkeys([*list(scores)[:1], *ranked, *scores]))[:3]
    )
    line = " · ".join(escape(str(fact)) for fact in facts if fact)
    return f'<header><h1>{escape(name)}</h1><p class="soft">{line}</p><div class="tiles">{tiles}</div></header>'


def _scores(lines: Sequence[ScoreLine]) -> str:
    columns = list(dict.fromkeys(key for line in lines if line.kind == "this" for key in line.scores))
    if not columns:
        return '<p class="soft">No ground truth, nothing to score.</p>'
    body = [
        f'<tr class="{line.kind}"><td>{escape(line.name)}{PUBLISHED_TAG if line.kind == "theirs" else ""}</td>'
        + "".join(f"<td>{percent(line.scores.get(column))}</td>" for column in columns)
        + "</tr>"
        for line in lines
    ]
    theirs = any(line.kind == "theirs" for line in lines)
    note = (
        '<p class="note">In italics, marked "published": what papers print, by their own codes and the same protocol. '
        "Not measured here.</p>"
        if theirs
        else ""
    )
    return f'<div class="scroll">{_table(["", *columns], body)}</div>{note}'


def _charts(run: ReportedRun, beside: Sequence[ReportedRun]) -> str:
    charts = [*progress_charts(run, beside), *overlaid_charts(run, beside)]
    return f'<div class="grid2">{"".join(map(draw_chart, charts))}</div>' if charts else ""


def _sequences(run: ReportedRun) -> str:
    small = [
        f'<figure class="small"><figcaption><strong>{escape(film_name(film))}</strong>'
        f"{score_of(film)}</figcaption>{film_curves(film)}</figure>"
        for film in run.films
        if film["curves"]
    ]
    parts = []
    if run.rows:
        columns = list(run.rows[0])
        words = TEXT_COLUMNS | set(run.material.get("text_columns", ()))
        body = [f"<tr>{''.join(_cell(row[column], column in words) for column in columns)}</tr>" for row in run.rows]
        parts.append(f'<div class="scroll">{_table(columns, body, "sortable")}</div>')
        parts.append('<p class="note">A click on a heading sorts. Numbers are in per cent.</p>')
    if small:
        names = list(dict.fromkeys(name for film in run.films for name in film["curves"]))
        parts.append(f"<h3>Frame by frame, per cent {draw_legend(names)}</h3>")
        parts.append(f'<div class="grid4">{"".join(small)}</div>')
    return "".join(parts)


def _protocol(protocol: Json) -> str:
    facts = {name: value for name, value in protocol.items() if name not in ("name", "digest")}
    heading = (
        f"<p><strong>{escape(str(protocol['name']))}</strong> · digest <code>{escape(protocol['digest'])}</code></p>"
    )
    return f"{heading}<details><summary>{len(facts)} fields</summary>{_facts(facts)}</details>"


def _source(run: ReportedRun) -> str:
    """Return what the source of the protocol says of it, as a table."""
    found = run.results.get("protocol_source")
    names = {"code": "Source", "note": "Note", "inferred": "Not stated by the source"}
    return _facts({names.get(name, name): text for name, text in found.items()}) if found else ""


def _origin(run: ReportedRun) -> str:
    results = run.results
    command = results.get("command")
    network = {"network and weights": results["network"]} if results.get("network") else {}
    own = {name: value for name, value in results.items() if name not in BESIDES}
    facts = network | own | results.get("versions", {})
    shown = f"<pre>{escape(shlex.join(command))}</pre>" if command else ""
    note = "Made from results.json, per_sequence.csv, report.json and films/ next to this page; "
    again = "<code>vidcorr report FOLDER</code> makes it again."
    return f'{shown}{_facts(facts)}<footer class="note">{note}{again}</footer>'


def _facts(facts: Mapping[str, Any]) -> str:
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(_text(value))}</td></tr>" for name, value in facts.items())
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), str(value))


def _table(columns: Sequence[str], body: Iterable[str], kind: str = "") -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def _cell(text: str, is_text: bool) -> str:
    """Return a cell: a fraction in per cent, sorted by its value, or a text."""
    try:
        value = None if is_text else float(text)
    except ValueError:
        value = None  # a column that its benchmark did not declare
    if value is None:
        return f'<td class="text">{escape(text)}</td>'
    return f'<td data-value="{value}">{percent(value)}</td>'
