"""Films of sequences in the report, with their ground truth, objects and worst frames."""

import io
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from math import isnan
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.reading.mask_files import davis_palette

from ..pictures.film import TRUTH_SUFFIX
from ..stored_results import Json
from .charts import draw_legend, draw_lines
from .run import ReportedRun

FILMS_AT_EACH_END = 3
MOST_BYTES = 5_000_000
"""Of all films of a page; as many again, at most, of the pictures of worst frames."""
WORST_FRAMES = 3
APART = 2
"""Least distance of two worst frames of a sequence, in frames of its film."""

TRUTH_MODES = "".join(
    f'<label><input type="radio" name="truth" value="{name}"{" checked" if name == "under" else ""}> {name}</label>'
    for name in ("hidden", "under", "beside")
)


def films_section(run: ReportedRun) -> str:
    """Return the films of the worst and the best sequences, with the switch for their ground truth."""
    films = ranked(run)
    if len(films) > 2 * FILMS_AT_EACH_END:
        groups = {"Worst": films[:FILMS_AT_EACH_END], "Best": films[::-1][:FILMS_AT_EACH_END]}
    else:
        groups = {"": films}
    room, parts = MOST_BYTES, []
    for title, chosen in groups.items():
        cards = []
        for film in chosen:
            sheets = [path for path in _sheets(film) if path.is_file()]
            if (room := room - sum(4 * path.stat().st_size // 3 for path in sheets)) > 0:
                cards.append(_film(film, sheets))
        heading = f'<h3 class="soft">{title}</h3>' if title else ""
        parts.append(f'{heading}<div class="grid3">{"".join(cards)}</div>' if cards else "")
    if not films:
        return ""
    shows, ranked_by = run.material["shows"], run.material["ranked_by"]
    by = ("the mean of " if len(ranked_by) > 1 else "") + " and ".join(ranked_by)
    notes = [shows and f"{shows[0].upper()}{shows[1:]}.", by and f"The number next to a name is {by}."]
    if left_out := len(films) - "".join(parts).count('class="film"'):
        notes.append(f"{left_out} more are in films/.")
    shown = "".join(parts)
    switch = (
        f'<fieldset class="switch"><legend>Ground truth</legend>{TRUTH_MODES}</fieldset>' if " truth" in shown else ""
    )
    return f'<p class="note">{escape(" ".join(filter(None, notes)))}</p>{switch}{shown}'


def worst_section(run: ReportedRun) -> str:
    """Return the worst frames of each sequence, of those that its film shows, as pictures that enlarge at a click."""
    room, rows = MOST_BYTES, []
    for film in ranked(run):
        shots = []
        for place, value in worst_places(film):
            picture = b64encode(_shot(film, place)).decode()
            if (room := room - len(picture)) > 0:
                shots.append(_button(film, place, value, picture))
        if shots:
            name = f"<h3>{escape(film_name(film))}{score_of(film)}</h3>"
            rows.append(f'<div class="worst">{name}<div class="shots">{"".join(shots)}</div></div>')
    if not rows:
        return ""
    with_truth = any(_sheets(film)[1].is_file() for film in run.films)
    beside = ", next to its ground truth" if with_truth else ""
    note = (
        f'<p class="note">Of the frames that the films show, by the mean of the curves. A click enlarges{beside}.</p>'
    )
    dialog = '<dialog class="large"><div class="picture"></div><p></p></dialog>'
    return f'{note}<div class="grid3">{"".join(rows)}</div>{dialog}'


def ranked(run: ReportedRun) -> list[Json]:
    """Return the films of a run, the sequence with the lowest score first."""
    return sorted(run.films, key=lambda film: (film["score"] is None, film["score"] or 0, str(film["path"])))


def worst_places(film: Json) -> list[tuple[int, float]]:
    """Return the indices in a film of its worst frames, at most three, and the mean of their curves.

    Frames without a value on every curve do not count; two are at least two positions apart.
    """
    curves = [
        {t: value for t, value in zip(*curve, strict=True) if t is not None and value is not None}
        for curve in film["curves"].values()
    ]
    values = {
        place: sum(curve[t] for curve in curves) / len(curves)
        for place, t in enumerate(film["frames"])
        if curves and all(t in curve for curve in curves)
    }
    chosen: list[int] = []
    for place in sorted(values, key=lambda place: (values[place], place)):
        if len(chosen) < WORST_FRAMES and all(abs(place - other) >= APART for other in chosen):
            chosen.append(place)
    return [(place, values[place]) for place in chosen]


def film_name(film: Json) -> str:
    """Return the name of a film's sequence, and in what way it is followed where there are several."""
    return f"{film['sequence']} ({film['kind']})" if film["kind"] else str(film["sequence"])


def score_of(film: Json) -> str:
    """Return the score of a film's sequence as a mark-up."""
    return "" if film["score"] is None else f'<span class="legend">{percent(film["score"])}</span>'


def film_curves(film: Json, cursor: bool = False) -> str:
    """Draw the curves of a film; `cursor` adds a line that it moves along, and a legend."""
    chart = {"x": "frame", "y": ", ".join(film["curves"]), "curves": film["curves"], "span": (0, 1)}
    drawn = draw_lines(chart, 330, 120, cursor) if film["curves"] else ""
    return (draw_legend(list(film["curves"])) if cursor and drawn else "") + drawn


def percent(value: float | None) -> str:
    """Return a fraction in per cent with one digit; a dash for one that is not defined."""
    return "" if value is None else "–" if isnan(value) else f"{100 * value:.1f}"


def _sheets(film: Json) -> tuple[Path, Path]:
    """Return the pictures of a film: predictions and ground truth, which may be missing."""
    return film["path"].with_suffix(".webp"), film["path"].with_suffix(TRUTH_SUFFIX)


def _film(film: Json, sheets: Sequence[Path]) -> str:
    (width, height), columns, frames = film["size"], film["columns"], film["frames"]
    rows, last = -(-len(frames) // columns), len(frames) - 1
    screens = []
    for sheet, kind in zip(sheets, ("prediction", "truth"), strict=False):
        picture = b64encode(sheet.read_bytes()).decode()
        style = (
            f"aspect-ratio:{width}/{height};background-size:{100 * columns}% {100 * rows}%;"
            f"background-image:url(data:image/webp;base64,{picture})"
        )
        label = "<span>ground truth</span>" if kind == "truth" else "<span>prediction</span>" if len(sheets) > 1 else ""
        screens.append(f'<div class="screen {kind}" style="{style}">{label}</div>')
    return (
        f'<figure class="film" data-frames="{frames}" data-columns="{columns}">'
        f"<figcaption><strong>{escape(film_name(film))}</strong>{score_of(film)}{_objects(film)}</figcaption>"
        f'<div class="screens">{"".join(screens)}</div>'
        f'<div class="controls"><button type="button" aria-label="play">▶</button>'
        f'<input type="range" min="0" max="{last}" value="0" aria-label="frame"><output></output></div>'
        f"{film_curves(film, cursor=True)}</figure>"
    )


def _button(film: Json, place: int, value: float, picture: str) -> str:
    """Return a picture that enlarges at a click, with its frame and the mean of its curves."""
    label, (width, height) = f"frame {film['frames'][place]}: {percent(value)}", film["size"]
    parts = 1 + _sheets(film)[1].is_file()
    style = (
        f"aspect-ratio:{width}/{height};background-size:{100 * parts}% 100%;"
        f"background-image:url(data:image/webp;base64,{picture})"
    )
    name = escape(f"{film_name(film)}, {label}", quote=True)
    return (
        f'<button type="button" class="shot" data-aspect="{parts * width}/{height}" aria-label="{name}">'
        f'<span class="picture" style="{style}"></span>{escape(label)}</button>'
    )


def _objects(film: Json) -> str:
    """Return the colour, id and score of each object."""
    palette = davis_palette()
    items = (
        f'<span class="object"><i style="background:rgb({",".join(map(str, palette[number % 256].tolist()))})"></i>'
        f"{number}: {percent(score)}</span>"
        for number, score in sorted(film["objects"].items())
    )
    found = "".join(items)
    return f'<span class="objects">{found}</span>' if found else ""


def _shot(film: Json, place: int) -> bytes:
    """Return one frame of a film as WebP, next to its ground truth where there is one."""
    (width, height), columns = film["size"], film["columns"]
    x, y = place % columns * width, place // columns * height
    parts = []
    for path in _sheets(film):
        if path.is_file():
            with Image.open(path) as sheet:
                parts.append(np.asarray(sheet.convert("RGB").crop((x, y, x + width, y + height))))
    content = io.BytesIO()
    Image.fromarray(np.concatenate(parts, axis=1)).save(content, "WEBP", quality=65, method=2)
    return content.getvalue()
