"""Prompts for the first frame of a video: masks, a box, or points; from files or from arrays."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .guards import read_text
from .images import opened_picture
from .mask_files import VOID, davis_palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_COLOURS = 32
"""Colours of a painted mask beside the background; more mean that its edges are smoothed."""

MOST_IN_GRID = 128
"""Rows and columns of a grid of points."""


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """Objects to follow, as ids of pixels.

    Attributes:
        ids: (H, W) uint8, 0 is background.
        palette: (256, 3) uint8 RGB of each id.
        source: where it comes from.
    """

    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    source: str

    @classmethod
    def of(cls, mask: Any) -> MaskPrompt:
        """Make it from a picture's path, or from an array or tensor of integer ids (H, W).

        An indexed PNG holds ids and a palette; 255 beside other ids is void, as in DAVIS, and becomes background. In
        a grey or RGB picture, or an indexed one whose black is another id than 0 (as quantising leaves it), black (or
        transparent) is background and each other colour an object, numbered from dark to light.

        Raises:
            DataError: if there is no object, no background colour, or the picture is not a mask.
        """
        if isinstance(mask, MaskPrompt):
            return mask
        if isinstance(mask, str | Path):
            return cls(*_read_mask(Path(mask)), str(mask))._checked()
        ids = np.asarray(mask)
        if ids.dtype == bool:
            ids = ids.astype(np.uint8)
        if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.min(initial=0) < 0 or ids.max(initial=0) > VOID:
            raise DataError(f"mask: expected (H, W) integer ids of 0 to 255, got {ids.shape} {ids.dtype}")
        return cls(ids.astype(np.uint8), davis_palette(), "array")._checked()

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending."""
        return tuple(int(i) for i in np.unique(self.ids) if i)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the frame, (height, width) pixels, has the size of the mask."""
        if self.ids.shape != size:
            height, width = self.ids.shape
            raise DataError(
                f"{self.source}: the mask is {width} × {height} px, the video's first frame {size[1]} × {size[0]}; "
                "draw the mask on that frame at its own size"
            )

    def about(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {"kind": "mask", "source": self.source, "objects": list(self.objects)}

    def _checked(self) -> MaskPrompt:
        if not self.objects:
            raise DataError(f"{self.source}: the mask is empty; mark at least one object with an id other than 0")
        return self


@dataclass(frozen=True)
class BoxPrompt:
    """A target to follow: left, top, width, height in pixels, where (0, 0) is the corner of the first pixel."""

    x: float
    y: float
    width: float
    height: float
    source: str

    @classmethod
    def of(cls, box: Any) -> BoxPrompt:
        """Make it from four numbers, from text such as `10,20,64,48`, or from a file.

        A file is text or CSV, with or without a header, or JSON: four numbers, or an object with x, y, width, height.

        Raises:
            DataError: if these are not four numbers, or the box has no area.
        """
        if isinstance(box, BoxPrompt):
            return box
        source: str = "box"
        values: Any = box
        if isinstance(box, str | Path):
            is_file = Path(box).suffix.lower() in {".txt", ".csv", ".json"}
            source, values = (str(box), _read_box(Path(box))) if is_file else (f"box {box}", str(box))
        if isinstance(values, str):
            values = values.strip("[]() ").replace(",", " ").split()
        try:
            x, y, width, height = (float(value) for value in values)
        except (TypeError, ValueError) as error:
            raise DataError(f"{source}: expected four numbers x,y,width,height, got {values!r}") from error
        if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
            raise DataError(f"{source}: a box needs a width and a height above 0, got {x:g},{y:g},{width:g},{height:g}")
        return cls(x, y, width, height, source)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the box lies inside the frame, (height, width) pixels."""
        if min(self.x, self.y) < 0 or self.x + self.width > size[1] or self.y + self.height > size[0]:
            raise DataError(
                f"{self.source}: the box spans x {self.x:g} to {self.x + self.width:g} and y {self.y:g} to "
                f"{self.y + self.height:g}, outside the video's first frame of {size[1]} × {size[0]} px"
            )

    def about(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {"kind": "box", "source": self.source, "box": [self.x, self.y, self.width, self.height]}


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points to follow.

    Attributes:
        names: one for each.
        points: (K, 2) float64 x, y in pixels, where (0, 0) is the centre of the first pixel.
        source: where they come from.
        grid: rows and columns of a grid over the frame, whose points `placed` gives; 0: no grid.
    """

    names: tuple[str, ...]
    points: NDArray[np.float64]
    source: str
    grid: int = 0

    @classmethod
    def of(cls, points: Any) -> PointPrompt:
        """Make it from the path of a CSV of `name,x,y` or of JSON, from a dictionary of x, y by name, or from (K, 2).

        JSON is `{"name": [x, y], …}` or `[[x, y], …]`; points without a name are numbered from 1. `grid:16` is a
        grid of 16 × 16 points over the frame, see `placed`.

        Raises:
            DataError: if these are no points, or two have one name.
        """
        if isinstance(points, PointPrompt):
            return points
        source: str = "points"
        values: Any = points
        if isinstance(points, str) and points.startswith("grid:"):
            return cls._of_grid(points)
        if isinstance(points, str | Path):
            source, values = str(points), _read_points(Path(points))
        try:
            pairs = list(values.items()) if isinstance(values, Mapping) else [*enumerate(values, start=1)]
            places = np.array([[float(x), float(y)] for _, (x, y) in pairs])
        except (TypeError, ValueError) as error:
            raise DataError(f"{source}: expected a name, x and y for each point, got {values!r:.120}") from error
        if not len(places) or not np.isfinite(places).all():
            raise DataError(f"{source}: expected finite x and y of at least one point, got {values!r:.120}")
        return cls(tuple(str(name) for name, _ in pairs), places, source)

    @classmethod
    def _of_grid(cls, text: str) -> PointPrompt:
        count = text.removeprefix("grid:")
        if not count.isdecimal() or not 1 <= int(count) <= MOST_IN_GRID:
            raise DataError(f"points {text}: expected grid:N with N of 1 to {MOST_IN_GRID}, rows and columns of points")
        return cls((), np.zeros((0, 2)), text, int(count))

    def placed(self, size: tuple[int, int]) -> PointPrompt:
        """Return the prompt with the points of its grid, named `row-column` from 1 on; itself if it has no grid.

        The points lie at the centres of equal rectangles that fill the frame, (height, width) pixels.
        """
        if not self.grid:
            return self
        steps = (np.arange(self.grid) + 0.5) / self.grid
        y, x = np.meshgrid(steps * size[0] - 0.5, steps * size[1] - 0.5, indexing="ij")
        numbers = range(1, self.grid + 1)
        names = tuple(f"{row}-{column}" for row in numbers for column in numbers)
        return replace(self, names=names, points=np.stack([x, y], -1).reshape(-1, 2), grid=0)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless all points lie inside the frame, (height, width) pixels."""
        outside = ((self.points < 0) | (self.points > np.array(size[::-1]) - 1)).any(1)
        if outside.any():
            name, (x, y) = self.names[outside.argmax()], self.points[outside.argmax()]
            raise DataError(
                f"{self.source}: point {name} at {x:g},{y:g} lies outside the video's first frame of "
                f"{size[1]} × {size[0]} px"
            )

    def about(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {
            "kind": "points",
            "source": self.source,
            "points": dict(zip(self.names, self.points.tolist(), strict=True)),
        }


Prompt = MaskPrompt | BoxPrompt | PointPrompt


def one_prompt(mask: Any = None, box: Any = None, points: Any = None) -> Prompt:
    """Return the one prompt that is given, in any form that its class takes.

    Raises:
        DataError: if none or several are given, or it is not as it should be.
    """
    given = {name: value for name, value in (("mask", mask), ("box", box), ("points", points)) if value is not None}
    if len(given) != 1:
        what = f"got {' and '.join(given)}" if given else "got none"
        raise DataError(f"say what to follow by exactly one of mask, box and points (--data.mask first.png); {what}")
    if mask is not None:
        return MaskPrompt.of(mask)
    return BoxPrompt.of(box) if box is not None else PointPrompt.of(points)


def _read_mask(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the ids (H, W) and the palette (256, 3) of a picture."""
    with opened_picture(path, "mask") as image:
        image.load()
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
            f"{path}: {len(found)} colours; a mask is painted in flat ones, at most {MOST_COLOURS} beside black: "
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


def _read_box(path: Path) -> Any:
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        content = _json_of(path, text)
        if isinstance(content, Mapping):
            content = content.get("box", content)
        if isinstance(content, Mapping):
            content = [content.get(key, content.get(key[0])) for key in ("x", "y", "width", "height")]
        return content
    rows = [line for line in text.splitlines() if line.strip()]
    if len(rows) > 1 and any(letter.isalpha() and letter not in "eE" for letter in rows[0]):  # 1e2 is not a header
        rows.pop(0)
    return rows[0] if rows else ""


def _read_points(path: Path) -> Any:
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        return _json_of(path, text)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    except csv.Error as error:
        raise DataError(f"{path}: is no CSV ({error})") from error
    if rows and rows[0][-2:] == ["x", "y"]:
        rows.pop(0)
    if wrong := [row for row in rows if len(row) != 3]:
        raise DataError(f"{path}: expected name,x,y in each line, got {','.join(wrong[0])!r}")
    if len({row[0] for row in rows}) < len(rows):
        raise DataError(f"{path}: two points have the same name")
    return {name: (x, y) for name, x, y in rows}


def _text_of(path: Path) -> str:
    return read_text(path)


def _json_of(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from error
