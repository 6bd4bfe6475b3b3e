"""Prompts as files hold them: painted masks, COCO's run lengths, and tables of boxes or points with their frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import DataError
from .guards import check_pixels, read_json, read_text
from .images import opened_image
from .mask_files import VOID, davis_palette, refuse_jpeg
from .source import Moment

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_COLOURS = 32
"""Largest number of colours of a painted mask without the background; more mean that its edges are smoothed."""


class PromptRow(NamedTuple):
    """A box or a point of a file.

    Attributes:
        values: its numbers as they stand in the file, not checked.
        frame: that it names.
        name: of the object; empty if the file gives none.
    """

    values: Any
    frame: Moment | None = None
    name: str = ""


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


def read_mask_image(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the ids (H, W) and the palette (256, 3) of an image; see `MaskPrompt.of`."""
    with opened_image(path) as image:
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
        raise DataError(f"{path}: image of mode {image.mode}; save the mask as an 8-bit PNG: indexed, grey or RGB")
    return _ids_of_colours(path, np.array(image.convert("RGBA")))


def _ids_of_colours(path: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Number the colours of a painted mask (H, W, 4) from dark to light; black is background."""
    rgb = np.where(image[..., 3:] < 128, 0, image[..., :3]).astype(np.uint8)
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


def read_rows(path: Path, columns: Sequence[str]) -> list[PromptRow]:
    """Read the boxes or points of a text, CSV or JSON file.

    A table whose heading has x and y holds one in each line, with `frame` and `name` where it has these columns.
    Without such a heading each line is a name, x and y; or the first line alone is a box, as in OTB's files, which go
    on with the following frames. JSON holds one list of numbers or one object with these keys, a list of such, or an
    object that gives each by its name.

    Args:
        path: the file.
        columns: x and y of points; x, y, width and height of boxes.

    Raises:
        DataError: naming the file that cannot be read, and the line that does not fit its heading.
    """
    if path.suffix.lower() == ".json":
        return list(_rows_of_json(read_json(path, "correct it"), columns))
    try:
        cells = [[cell.strip() for cell in line] for line in csv.reader(read_text(path).splitlines())]
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error})") from error
    lines = [line for line in cells if any(line)]
    if lines and {"x", "y"} <= set(lines[0]):
        return list(_rows_below(path, *lines, columns=columns))
    if len(columns) == 2:
        if wrong := [line for line in lines if len(line) != 3]:
            raise DataError(f"{path}: expected name,x,y in each line, got {','.join(wrong[0])!r}")
        return [PromptRow(line[1:], name=line[0]) for line in lines]
    if len(lines) > 1 and any(letter.isalpha() and letter not in "eE" for cell in lines[0] for letter in cell):
        lines.pop(0)  # a heading in other words; 1e2 is none
    return [PromptRow(",".join(line)) for line in lines[:1]]


def _rows_below(path: Path, heading: list[str], *lines: list[str], columns: Sequence[str]) -> Iterator[PromptRow]:
    """Yield the lines below a heading by its columns; without a column `name` the first one may hold the names."""
    if missing := [column for column in columns if column not in heading]:
        raise DataError(f"{path}: the heading has no column {missing[0]}, only {', '.join(heading)}")
    named = "name" if "name" in heading else heading[0]
    for line in lines:
        if len(line) != len(heading):
            raise DataError(f"{path}: expected {','.join(heading)} in each line, got {','.join(line)!r}")
        cell = dict(zip(heading, line, strict=True))
        name = "" if named in (*columns, "frame") else cell[named]
        yield PromptRow([cell[column] for column in columns], cell.get("frame"), name)


def _rows_of_json(content: Any, columns: Sequence[str]) -> Iterator[PromptRow]:
    if isinstance(content, Mapping) and isinstance(content.get("boxes"), list):
        content = content["boxes"]
    items: list[tuple[str, Any]] = [("", content)]
    if isinstance(content, Mapping) and not {"x", "box"} & content.keys():
        items = list(content.items())
    elif isinstance(content, list) and content and all(isinstance(item, Mapping | list) for item in content):
        items = [("", item) for item in content]
    for name, item in items:
        if isinstance(item, Mapping):
            own, frame = item.get("name"), item.get("frame")
            values = item.get("box") or [item.get(key, item.get(key[0])) for key in columns]
            yield PromptRow(
                values, frame if isinstance(frame, int | None) else str(frame), name if own is None else str(own)
            )
        else:
            yield PromptRow(item, name=name)


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask `(H, W)` as COCO's `segmentation`: its size and the compressed run lengths.

    Raises:
        DataError: without pycocotools.
    """
    counts = require_pycocotools().encode(np.asfortranarray(mask, np.uint8))["counts"]
    return {"size": [int(length) for length in mask.shape], "counts": counts.decode()}


def decode_rle(segmentation: Any) -> NDArray[np.bool_]:
    """Return the mask `(H, W)` of a `segmentation` with run lengths, plain or compressed.

    Raises:
        DataError: if it is something else, such as a polygon, or without pycocotools.
    """
    tools = require_pycocotools()
    try:
        height, width = (int(length) for length in segmentation["size"])
        counts = segmentation["counts"]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise DataError("segmentation: expected run lengths, {size: [height, width], counts: …}") from error
    if min(height, width) < 1:
        raise DataError(f"segmentation: expected a size of 1 × 1 or more, got {height} × {width}")
    check_pixels("segmentation", width, height)
    wrong = f"run lengths: expected those of {height} × {width} px in COCO's form, got {counts!r:.60}"
    if isinstance(counts, list) and (not all(isinstance(n, int) for n in counts) or sum(counts) != height * width):
        raise DataError(wrong)
    try:
        plain = {"size": [height, width], "counts": counts}
        encoded = plain if isinstance(counts, str) else tools.frPyObjects(plain, height, width)
        mask: NDArray[np.uint8] = tools.decode(encoded)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(wrong) from error
    if isinstance(counts, str) and tools.encode(mask)["counts"].decode() != counts:  # pixels that it leaves out: any
        raise DataError(wrong)
    return mask.astype(bool)


def require_pycocotools() -> Any:
    """Return pycocotools' module of masks; raise DataError, one line that says how to get it, where it is missing."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError('COCO\'s masks need pycocotools: pip install "vidcorr[coco]"') from error
    return mask


def read_coco_masks(path: Path) -> dict[int, NDArray[np.uint8]]:
    """Return the ids `(H, W)` of each frame of a file in COCO's format.

    An image's frame is its field `frame`, else its `id`. An annotation's object is its `track_id`, else its
    `category_id`; where two of one frame overlap the later is on top.

    Raises:
        DataError: naming the file, if it is not such a file or a mask cannot be read.
    """
    content = read_json(path, "correct it")
    masks: dict[int, NDArray[np.uint8]] = {}
    try:
        frames = {image["id"]: int(image.get("frame", image["id"])) for image in content["images"]}
        for found in content["annotations"]:
            frame, number = frames[found["image_id"]], int(found.get("track_id", found["category_id"]))
            if not 1 <= number <= 255 or frame < 0:
                raise DataError(f"object {number} of frame {frame}: expected objects of 1 to 255, frames of 0 or more")
            inside = decode_rle(found["segmentation"])
            ids = masks.setdefault(frame, np.zeros(inside.shape, np.uint8))
            if ids.shape != inside.shape:
                raise DataError(f"frame {frame}: masks of two sizes, {ids.shape} and {inside.shape}")
            ids[inside] = number
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        wanted = "images and annotations with image_id, category_id, segmentation"
        raise DataError(f"{path}: expected COCO's {wanted}") from error
    return masks
