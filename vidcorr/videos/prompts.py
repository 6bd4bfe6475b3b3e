"""Prompts for the first frame of a video: a mask, boxes or points, from files or arrays."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .files import DataError, read_text
from .images import pixels
from .masks import VOID, object_ids, read_mask, refuse_large_void, without_void

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINT_COLUMNS = ["frame", "point", "x", "y"]
"""First columns of a table of points, as `predict` writes it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """Prompt for the first frame of a video: a mask, boxes or points.

    Attributes:
        source: file or description, for messages and the record.
        objects: objects of the prompt: ids of a mask, names of boxes or points.
        labels: labels to follow: ids `(H, W)`, boxes `(N, 4)`, or points x, y `(K, 2)`.
        frame: index of the frame in the video, if a file names it.

    Raises:
        DataError: if there is no object, or two have the same name.
    """

    kind: ClassVar[str]
    source: str
    objects: tuple[int | str, ...]
    labels: NDArray[Any]
    frame: int | None = None

    def __post_init__(self) -> None:
        if not self.objects:
            raise DataError(f"{self.source}: holds no object")
        if len(set(self.objects)) < len(self.objects):
            raise DataError(f"{self.source}: two {self.kind} have the same name")

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the prompt fits a frame of (height, width) pixels."""
        raise NotImplementedError

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        labels = dict(zip(self.objects, self.labels.tolist(), strict=True))
        return {"kind": self.kind, "source": self.source, self.kind: labels}


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPrompt(Prompt):
    """Objects to follow as ids of pixels: a mask that `read_mask` reads, or an array or tensor of integer ids (H, W).

    255 beside other ids is void, as in DAVIS, and becomes background; alone it is object 1.

    Attributes:
        labels: (H, W) uint8 ids, 0 is background.
        objects: the ids, ascending.
    """

    kind = "mask"

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build the prompt of a PNG or an array.

        Raises:
            DataError: if the file or array is no mask, or its void outweighs its objects.
        """
        if isinstance(given, str | Path):
            source = str(given)
            ids = read_mask(Path(given))
        else:
            source = "array"
            array = np.asarray(given)
            is_mask = array.ndim == 2 and array.dtype.kind in "biu"
            if not is_mask or array.min(initial=0) < 0 or array.max(initial=0) > VOID:
                raise DataError(f"mask: expected (H, W) integer ids of 0 to 255, got {array.shape} {array.dtype}")
            ids = array.astype(np.uint8)
        refuse_large_void(source, ids)
        ids = without_void(ids)
        return cls(source=source, objects=object_ids(ids), labels=ids)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the mask has the frame's size, (height, width) pixels."""
        if self.labels.shape != size:
            raise DataError(f"{self.source}: the mask is {pixels(self.labels.shape)}, the frame {pixels(size)}")

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {"kind": self.kind, "source": self.source, "objects": list(self.objects)}


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPrompt(Prompt):
    """Targets to follow: a box, as four numbers or text `10,20,64,48`, or a list of boxes, named from 1 on.

    Attributes:
        objects: names of the N targets.
        labels: (N, 4) float64 left, top, width, height in pixels; (0, 0) is the upper left corner of the first pixel,
            half a pixel from the origin of `PointPrompt`.
    """

    kind = "boxes"

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build a prompt from text, four numbers, or a list of either."""
        boxes = _numbers([given] if isinstance(given, str) else given, "x,y,width,height", "box")
        return cls(source="box", objects=_numbered(boxes), labels=boxes)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the boxes have an area and lie inside the frame, (height, width) pixels."""
        for x, y, width, height in self.labels.tolist():
            if min(x, y) < 0 or min(width, height) <= 0 or x + width > size[1] or y + height > size[0]:
                raise DataError(f"box {x:g},{y:g},{width:g},{height:g}: no area inside the frame of {pixels(size)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PointPrompt(Prompt):
    """Points of a frame to follow: a dictionary of name → (x, y), an array (K, 2), a list of texts `580,430`, or a CSV.

    The CSV has the heading `frame,point,x,y`, as `predict` writes it, and the points of a single frame. Points without
    names are numbered from 1.

    Attributes:
        objects: K names.
        labels: (K, 2) float64 x, y in pixels; (0, 0) is the centre of the first pixel.
    """

    kind = "points"

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build a prompt from a file, texts, a dictionary or an array."""
        if isinstance(given, str | Path) and Path(given).suffix.lower() == ".csv":
            return cls._of_table(Path(given))
        if isinstance(given, Mapping):
            points = _numbers(list(given.values()), "x,y", "points")
            return cls(source="points", objects=tuple(map(str, given)), labels=points)
        points = _numbers([given] if isinstance(given, str) else given, "x,y", "points")
        return cls(source="points", objects=_numbered(points), labels=points)

    @classmethod
    def _of_table(cls, path: Path) -> Self:
        rows = list(csv.reader(read_text(path).splitlines()))
        if not rows or rows[0][:4] != POINT_COLUMNS:
            raise DataError(f"{path}: not a table with the heading {','.join(POINT_COLUMNS)}")
        points = _numbers([row[2:4] for row in rows[1:]], "x,y", str(path))
        frames = {row[0] for row in rows[1:]}
        if len(frames) != 1 or not min(frames).isdecimal():
            raise DataError(f"{path}: expected the points of one frame, counted from 0")
        names = tuple(row[1] for row in rows[1:])
        return cls(source=str(path), objects=names, labels=points, frame=int(frames.pop()))

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless all points lie inside the frame, (height, width) pixels."""
        for name, (x, y) in zip(self.objects, self.labels.tolist(), strict=True):
            if not (0 <= x <= size[1] - 1 and 0 <= y <= size[0] - 1):
                raise DataError(f"{self.source}: point {name} at {x:g},{y:g} lies outside the frame of {pixels(size)}")


def _numbered(rows: Sized) -> tuple[str, ...]:
    """Return the names of rows without names: numbers from 1 on."""
    return tuple(map(str, range(1, len(rows) + 1)))


def _numbers(rows: Sequence[Any], columns: str, source: str) -> NDArray[np.float64]:
    """Return finite numbers (rows, columns) of texts such as `1,2` or of numbers; four numbers alone are a row."""
    words = [row.split(",") if isinstance(row, str) else row for row in rows]
    try:
        numbers = np.atleast_2d(np.array(words, np.float64))
    except (TypeError, ValueError):
        numbers = np.empty((0, 0))
    if numbers.shape[1:] != (columns.count(",") + 1,) or not np.isfinite(numbers).all():
        raise DataError(f"{source}: expected {columns}, got {rows!s:.120}")
    return numbers
