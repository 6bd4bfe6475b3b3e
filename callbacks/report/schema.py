"""The shapes of the files that the report reads; a damaged or foreign file is named, never rendered."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NUMBERS = [None, float]
CURVES = {str: (NUMBERS, NUMBERS)}
FILM: Json = {"sequence": str, "kind": str, "columns": int, "frames": [int], "size": (int, int), "curves": CURVES}
CHART: Json = {"title": str, "x": str, "y": str, "kind": str, "curves": CURVES, "labels": [str]}
MATERIAL: Json = {"sequences": [str], "ranked_by": [str], "shows": str, "charts": [CHART]}
RESULTS: Json = {"benchmark": str, "scores": {str: float}}
PROTOCOL: Json = {"name": str, "digest": str}
"""A shape is a type; a list of items (of one of several shapes); a tuple, for a list of that length; a dictionary from
one type to a shape; or a dictionary with these fields, beside others that may have any shape."""


def read_json(path: Path, kind: str, shape: Any) -> Json:
    """Read a JSON file of a shape.

    Args:
        path: of the file.
        kind: its name in an error, for example "results.json of a benchmark".
        shape: see `PROTOCOL`.

    Raises:
        ValueError: if it cannot be read or has another shape; the message names the file and the field.
    """
    try:
        content: Json = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({error})") from error
    if (wrong := misfit(content, shape)) is not None:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({wrong})")
    return content


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """Return where a value differs from a shape, in words; None where it fits."""
    at = place or "its content"
    if isinstance(shape, type):
        accepted: Any = (int, float) if shape is float else shape
        fits = isinstance(value, accepted) and (shape is bool or not isinstance(value, bool))
        return None if fits else f"{at} is not of type {shape.__name__}"
    if isinstance(shape, list | tuple):
        if not isinstance(value, list) or (isinstance(shape, tuple) and len(value) != len(shape)):
            return f"{at} is not a list" + (f" of {len(shape)}" if isinstance(shape, tuple) else "")
        choices = [[kind] for kind in shape] if isinstance(shape, tuple) else [shape] * len(value)
        for number, (item, kinds) in enumerate(zip(value, choices, strict=True)):
            if not any(item is None if kind is None else misfit(item, kind) is None for kind in kinds):
                return misfit(item, kinds[-1], f"{at}, item {number}")
        return None
    if not isinstance(value, dict):
        return f"{at} is not an object"
    if list(shape) == [str]:
        found = (misfit(item, shape[str], f"{at}, {name!r}") for name, item in value.items())
    else:
        missing = [name for name in shape if name not in value]
        if missing:
            return f"it lacks {', '.join(missing)}"
        found = (misfit(value[name], kind, f"{name}") for name, kind in shape.items())
    return next(filter(None, found), None)
