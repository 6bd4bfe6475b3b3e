"""Prompts as files hold them: painted masks, boxes and points, with the frame that each belongs to."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .guards import read_json, read_text
from .images import opened_picture
from .mask_files import VOID, davis_palette, refuse_jpeg
from .part import Moment

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_COLOURS = 32
"""Largest number of colours of a painted mask without the background; more mean that its edges are smoothed."""

PromptRow = Mapping[str, Any]
"""One box or point of a file: its numbers, and `frame` and `name` where the file gives them."""


def separated(given: Any) -> list[tuple[Any, Moment | None]]:
    """Return the values of a flag with the frame that each names: `a.png;b.png@120`, or a list of such.

    An existing file whose own name holds `;` or `@` is one value.

    Example:
        >>> separated("a.png; b.png@120"), separated(["1,2,3,4@2.5s"]), separated([1, 2, 3, 4])
        ([('a.png', None), ('b.png', '120')], [('1,2,3,4', '2.5s')], [([1, 2, 3, 4], None)])
    """
    if isinstance(given, list | tuple) and given and all(isinstance(item, str | Path) for item in given):
        return [pair for item in given for pair in separated(item)]
    if not isinstance(given, str) or _exists(given):
        return [(given, None)]
    pairs: list[tuple[Any, Moment | None]] = []
    for part in given.split(";"):
        value, mark, frame = part.strip().rpartition("@")
        pairs.append((part.strip(), None) if not mark or _exists(part.strip()) else (value, frame.strip()))
    return [pair for pair in pairs if pair[0]] or [(given, None)]


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # longer than a path may be, or with a NUL byte
        return False


def read_mask_picture(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the ids (H, W) and the palette (256, 3) of a picture; see `MaskPrompt.of`."""
    with opened_picture(path, "mask") as image:
        image.load()
    refuse_jpeg(path, image)
    if image.mode == "P":
        ids = np.array(image, dtype=np.uint8)
        if len(np.setdiff1d(ids, (0, VOID))):
            ids[ids == VOID] = 0
        palette = np.zeros((256, 3), np.uint8)
        colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(colours)] = colours
        used = np.unique(ids)
        if not palette[0].any() or palette[used[used < len(colours)]].any(1).all():
            return ids, palette
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
        raise DataError(f"{path}: picture of mode {image.mode}; save the mask as an 8-bit PNG: indexed, grey or RGB")
    return _ids_of_colours(path, np.array(image.convert("RGBA")))


def _ids_of_colours(path: Path, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Number the colours of a painted mask (H, W, 4) from dark to light; black is background."""
    rgb = np.where(picture[..., 3:] < 128, 0, picture[..., :3]).astype(np.uint8)
    flat = rgb.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    found, numbers = np.unique(flat, return_inverse=True)
    if len(found) > MOST_COLOURS + 1:
        raise DataError(
            f"{path}: {len(found)} colours; a mask is painted in flat ones, at most {MOST_COLOURS} besides black: "
            "save it as a PNG without smoothed edges"
        )
    if found[0] != 0:
        raise DataError(f"{path}: no pixel of the mask is black, which is the background's colour; paint it black")
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    order = np.argsort(colours.astype(int).sum(1), kind="stable")
    ids = np.empty(len(found), np.uint8)
    ids[order] = np.arange(len(found))
    palette = davis_palette()
    if np.ptp(colours, axis=1).any():  # greys would tint an overlay poorly
        palette[: len(found)] = colours[order]
    return ids[numbers].reshape(flat.shape), palette


def read_box_prompts(path: Path) -> list[PromptRow]:
    """Read the boxes of a text, CSV or JSON file.

    Four numbers are one box. A table whose heading names a column `frame` or `name` has one in each line; JSON may be a
    list of objects with x, y, width (or w), height (or h), and frame and name.

    Raises:
        DataError: if it cannot be read, or holds a heading alone.
    """
    if path.suffix.lower() == ".json":
        return _boxes_of_json(read_json(path, "correct it"))
    rows = _table(path)
    if rows and {"frame", "name"} & set(rows[0]):
        if found := _records(path, rows, ("x", "y", "width", "height")):
            return found
        raise DataError(f"{path}: holds no box; write one in a line below the heading")
    if len(rows) > 1 and any(letter.isalpha() and letter not in "eE" for cell in rows[0] for letter in cell):
        rows.pop(0)  # a heading; 1e2 is none
    return [{"box": ",".join(rows[0]) if rows else ""}]


def _boxes_of_json(content: Any) -> list[PromptRow]:
    if isinstance(content, Mapping) and isinstance(content.get("boxes"), list):
        content = content["boxes"]
    several = isinstance(content, list) and bool(content) and all(isinstance(i, Mapping | list) for i in content)
    found: list[PromptRow] = []
    for item in content if several else [content]:
        extra: dict[str, Any] = {}
        if isinstance(item, Mapping):
            extra = {key: item[key] for key in ("frame", "name") if item.get(key) is not None}
            item = item.get("box", item)
        if isinstance(item, Mapping):
            item = [item.get(key, item.get(key[0])) for key in ("x", "y", "width", "height")]
        found.append({"box": item, **extra})
    return found


def read_point_prompts(path: Path) -> list[PromptRow]:
    """Read the points of a CSV or JSON file: rows with `name`, `x`, `y`, and `frame` where the file gives it.

    CSV has lines `name,x,y`; below a heading it may have a column `frame` too, and others, which are left out.

    Raises:
        DataError: if it cannot be read, or two points of one frame have the same name.
    """
    if path.suffix.lower() == ".json":
        found = _points_of_json(path, read_json(path, "correct it"))
    else:
        found = _points_of_csv(path, _table(path))
    if len({(row.get("frame"), row["name"]) for row in found}) < len(found):
        raise DataError(f"{path}: two points have the same name")
    return found


def _points_of_csv(path: Path, rows: list[list[str]]) -> list[PromptRow]:
    if rows and {"x", "y", "name"} <= set(rows[0]):
        return _records(path, rows, ("name", "x", "y"))
    if rows and rows[0][-2:] == ["x", "y"]:
        rows.pop(0)
    if wrong := [row for row in rows if len(row) != 3]:
        raise DataError(f"{path}: expected name,x,y in each line, got {','.join(wrong[0])!r}")
    return [dict(zip(("name", "x", "y"), row, strict=True)) for row in rows]


def _points_of_json(path: Path, content: Any) -> list[PromptRow]:
    pairs = (
        content.items() if isinstance(content, Mapping) else enumerate(content, 1) if isinstance(content, list) else ()
    )
    found: list[PromptRow] = []
    for name, item in pairs:
        if isinstance(item, Mapping) and {"x", "y"} <= item.keys():
            own = item.get("name")
            found.append({**item, "name": str(name if own is None else own)})
        elif isinstance(item, list) and len(item) == 2:
            found.append({"name": str(name), "x": item[0], "y": item[1]})
        else:
            raise DataError(f"{path}: expected a name, x and y for each point, got {item!r:.120}")
    return found


def _table(path: Path) -> list[list[str]]:
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(read_text(path).splitlines())]
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error})") from error
    return [row for row in rows if any(row)]


def _records(path: Path, rows: Sequence[Sequence[str]], wanted: Iterable[str]) -> list[PromptRow]:
    """Return the lines below a heading by its columns."""
    heading, *lines = rows
    if missing := [column for column in wanted if column not in heading]:
        raise DataError(f"{path}: the heading has no column {missing[0]}, only {', '.join(heading)}")
    if wrong := [line for line in lines if len(line) != len(heading)]:
        raise DataError(f"{path}: expected {','.join(heading)} in each line, got {','.join(wrong[0])!r}")
    keys = ("frame", "name", *wanted)
    records = [{key: cell for key, cell in zip(heading, line, strict=True) if key in keys} for line in lines]
    return [{"box": [record.pop(key) for key in wanted], **record} if "width" in keys else record for record in records]
