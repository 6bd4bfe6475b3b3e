"""report.html: one page, complete in itself, made of the files that a benchmark run leaves in its folder."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from datamodules.reading.files import write_atomically

from ..statistics.text import percent
from ..stored_results import protocols_of
from .charts import draw_chart, draw_film_curves
from .films import films_note, played_films, worst_frames
from .interval_table import uncertainty_of
from .run import ReportedRun, compared_rows, overlaid_charts, progress_charts, read_beside, read_run, score_lines

TITLES = {"davis": "DAVIS", "youtube_vos": "YouTube-VOS", "jhmdb": "JHMDB", "vip": "VIP", "otb": "OTB"}
BESIDES = {"benchmark", "scores", "protocol", "protocol_source", "command", "versions", "network", "history"}
"""Fields of results.json that the page shows elsewhere."""
TEXT_COLUMNS = {"Stage", "Sequence"}
"""Columns of per_sequence.csv that hold no fractions, in addition to those that the benchmark declares."""
SOURCE_TITLES = {"code": "Source", "note": "Note", "inferred": "Not stated by the source"}


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
    rows = compared_rows(run)
    results, lines, played = run.results, score_lines(run, rows, others), played_films(run)
    scores, ranked_by = results["scores"], run.material["ranked_by"]
    name = TITLES.get(results["benchmark"], str(results["benchmark"]))
    own = {field: value for field, value in results.items() if field not in BESIDES}
    network = {"network and weights": results["network"]} if results.get("network") else {}
    page = _template().render(
        name=name,
        title=next((f"{name}: {key} {100 * value:.1f}" for key, value in scores.items()), name),
        headline=_headline(run),
        tiles=list(dict.fromkeys([*list(scores)[:1], *(key for key in scores if key in ranked_by), *scores]))[:3],
        results=results,
        lines=lines,
        columns=list(dict.fromkeys(key for line in lines if line.kind == "this" for key in line.scores)),
        uncertainty=uncertainty_of(run, [*rows, *others]),
        charts=[*progress_charts(run, others), *overlaid_charts(run, others)],
        films=run.films,
        films_note=films_note(run, played),
        played=played,
        worst=worst_frames(run),
        with_truth=any(film["sheets"][1:] for film in run.films),
        rows=run.rows,
        text_columns=TEXT_COLUMNS | set(run.material.get("text_columns", ())),
        curves=list(dict.fromkeys(name for film in run.films for name in film["curves"])),
        protocols=protocols_of(results),
        source={SOURCE_TITLES.get(field, field): text for field, text in results.get("protocol_source", {}).items()},
        origin=network | own | results.get("versions", {}),
    )
    path = run.folder / "report.html"
    write_atomically(path, page)
    return path


def _template() -> Any:
    """Return the page's template, which escapes every text that it is given."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": _number,
        "in_words": _in_words,
        "shell": shlex.join,
        "drawn": draw_chart,
        "film_curves": draw_film_curves,
    }
    return environment.get_template("page.html")


def _headline(run: ReportedRun) -> list[str]:
    results = run.results
    number = results.get("sequences", len(run.material["sequences"]))
    limited = f" (the first {results['limit_sequences']} only)" if results.get("limit_sequences") else ""
    protocols = [f"protocol {protocol['name']}" for protocol in protocols_of(results)]
    sequences = f"{number} sequence{'s' if number != 1 else ''}{limited}"
    return [results.get("network", ""), *protocols[:1], sequences, results.get("date", "")]


def _number(text: str) -> float | None:
    """Parse a number; None for other text, as in a text column that its benchmark did not declare."""
    try:
        return float(text)
    except ValueError:
        return None


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), str(value))
