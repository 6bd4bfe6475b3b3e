"""Films of sequences in the report, with their ground truth, objects and worst frames."""

import io
from base64 import b64encode
from collections.abc import Mapping

import numpy as np
from PIL import Image

from datamodules.reading.mask_files import davis_palette

from ..stored_results import Json
from .run import ReportedRun

FILMS_AT_EACH_END = 3
MOST_BYTES = 5_000_000
"""Of all films of a page; as many again, at most, of the pictures of worst frames."""
WORST_FRAMES = 3
APART = 2
"""Least distance of two worst frames of a sequence, in frames of its film."""


def played_films(run: ReportedRun) -> dict[str, list[Json]]:
    """Return the films that the page plays, the worst and the best sequences under their headings.

    Each has its pictures of predictions and ground truth in base64, None without ground truth, and its objects: number,
    colour and score.
    """
    groups = {"": run.films}
    if len(run.films) > 2 * FILMS_AT_EACH_END:
        groups = {"Worst": run.films[:FILMS_AT_EACH_END], "Best": run.films[::-1][:FILMS_AT_EACH_END]}
    room, palette = MOST_BYTES, davis_palette()
    played: dict[str, list[Json]] = {}
    for title, films in groups.items():
        played[title] = []
        for film in films:
            pictures = [b64encode(sheet.read_bytes()).decode() for sheet in film["sheets"]]
            if (room := room - sum(map(len, pictures))) > 0:
                colours = {number: ",".join(map(str, palette[number % 256].tolist())) for number in film["objects"]}
                objects = [(number, colours[number], score) for number, score in sorted(film["objects"].items())]
                rows = -(-len(film["frames"]) // film["columns"])
                played[title].append(
                    film
                    | {"prediction": pictures[0], "truth": pictures[1] if pictures[1:] else None, "objects": objects}
                    | {"sheet_size": f"{100 * film['columns']}% {100 * rows}%"}
                )
    return played


def films_note(run: ReportedRun, played: Mapping[str, list[Json]]) -> str:
    """Return the note under the films: their content, the number next to a name, and how many more there are."""
    shows, ranked_by = run.material["shows"], run.material["ranked_by"]
    by = ("the mean of " if len(ranked_by) > 1 else "") + " and ".join(ranked_by)
    notes = [shows and f"{shows[0].upper()}{shows[1:]}.", by and f"The number next to a name is {by}."]
    if left_out := len(run.films) - sum(map(len, played.values())):
        notes.append(f"{left_out} more are in films/.")
    return " ".join(filter(None, notes))


def worst_frames(run: ReportedRun) -> list[tuple[Json, list[tuple[int, float, int, str]]]]:
    """Return each film with its worst frames: number, mean of the curves, pictures side by side, these in base64."""
    room, found = MOST_BYTES, []
    for film in run.films:
        shots = []
        for index, value in worst_indices(film):
            picture = b64encode(_shot(film, index)).decode()
            if (room := room - len(picture)) > 0:
                shots.append((film["frames"][index], value, len(film["sheets"]), picture))
        if shots:
            found.append((film, shots))
    return found


def worst_indices(film: Json) -> list[tuple[int, float]]:
    """Return the indices in a film of its worst frames, at most three, and the mean of their curves.

    Frames without a value on every curve do not count; two are at least two positions apart.
    """
    curves = [
        {t: value for t, value in zip(*curve, strict=True) if t is not None and value is not None}
        for curve in film["curves"].values()
    ]
    values = {
        index: sum(curve[t] for curve in curves) / len(curves)
        for index, t in enumerate(film["frames"])
        if curves and all(t in curve for curve in curves)
    }
    chosen: list[int] = []
    for index in sorted(values, key=lambda index: (values[index], index)):
        if len(chosen) < WORST_FRAMES and all(abs(index - other) >= APART for other in chosen):
            chosen.append(index)
    return [(index, values[index]) for index in chosen]


def _shot(film: Json, index: int) -> bytes:
    """Return one frame of a film as WebP, next to its ground truth where there is one."""
    (width, height), columns = film["size"], film["columns"]
    x, y = index % columns * width, index // columns * height
    parts = []
    for path in film["sheets"]:
        with Image.open(path) as sheet:
            parts.append(np.asarray(sheet.convert("RGB").crop((x, y, x + width, y + height))))
    content = io.BytesIO()
    Image.fromarray(np.concatenate(parts, axis=1)).save(content, "WEBP", quality=65, method=2)
    return content.getvalue()
