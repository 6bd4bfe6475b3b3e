"""Prompts for frames of a video: masks, boxes or points, from files or arrays."""

import csv
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from .files import DataError, errors_at, read_text, user_path
from .image_files import in_px
from .masks import VOID, object_ids, read_mask, refuse_large_void

Name = int | str
"""Object of a prompt: id of a mask, or name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt(ABC):
    """Prompt for a frame of a video: a mask, boxes or points.

    Attributes:
        source: file or kind, for messages and the record.
        objects: objects of the prompt: ids of a mask, names of boxes or points.
        labels: labels to follow: ids `(H, W)`, boxes `(N, 4)`, or points x, y `(K, 2)`.
        frame: number of the frame in the video, if it is known.
    """

    kind: ClassVar[str]
    thing: ClassVar[str] = ""
    """Word for one object in the heading of a CSV; "" of masks, which have none."""
    columns: ClassVar[str] = ""
    """Names of an object's numbers, joined by commas: `x,y`; "" of masks."""
    source: str
    objects: tuple[Name, ...]
    labels: NDArray[Any]
    frame: int | None = None

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build a prompt from the numbers of an object, text `1,2,…` or a list, or from several objects.

        Several objects are a list of texts or lists, or a mapping of name → numbers. The objects of a list are named
        "1", "2", …

        Raises:
            DataError: for other numbers than those of `columns`.
        """
        names: Sequence[str] = ()
        if isinstance(given, Mapping):
            names = list(map(str, given))
            given = list(given.values())
        rows = [str(given)] if isinstance(given, str | Path) else given  # a path is no numbers: `_numbers` refuses it
        labels = _numbers(rows, cls.columns, cls.kind)
        names = names or list(map(str, range(1, len(labels) + 1)))
        if len(names) != len(labels):  # a mapping such as {"x": 5, "y": 7} names numbers, not objects
            raise DataError(f"{cls.kind}: expected {cls.columns} for each name, got {given!s:.120}")
        return cls(source=cls.kind, objects=tuple(names), labels=labels)

    @classmethod
    def read_table(cls, path: str | Path) -> list[Self]:
        """Read a CSV with the heading `frame,point,x,y` or `frame,box,x,y,width,height`, as `predict` writes it.

        Further columns, such as `score`, are ignored, and so are lines of empty cells and lost objects, which have no
        numbers.

        Returns:
            A prompt for each frame, in order.

        Raises:
            DataError: for another table, a number that is missing or not finite, or a name that is twice in a frame.
        """
        with errors_at(path, csv.Error):
            lines = list(csv.reader(read_text(user_path(path)).splitlines()))
        heading = ["frame", cls.thing, *cls.columns.split(",")]
        if not lines or lines[0][: len(heading)] != heading:
            got = ",".join(lines[0] if lines else ())
            raise DataError(f"{path}: expected the heading {','.join(heading)}, got {got!r:.80}")
        rows_of_frame: dict[int, list[list[str]]] = defaultdict(list)
        for number, row in enumerate(lines[1:], start=2):
            if not any(row[2 : len(heading)]):  # lost, or behind the table
                continue
            if not row[0].isdecimal():
                raise DataError(f"{path}, line {number}: a frame is a whole number, got {row[0]!r:.80}")
            rows_of_frame[int(row[0])].append(row)
        if not rows_of_frame:
            raise DataError(f"{path}: holds no {cls.kind}")
        prompts: list[Self] = []
        for frame, rows in sorted(rows_of_frame.items()):
            labels = _numbers([row[2 : len(heading)] for row in rows], cls.columns, str(path))
            names = tuple(row[1] for row in rows)
            if len(set(names)) < len(names):
                raise DataError(f"{path}: frame {frame} names a {cls.thing} twice")
            prompts.append(cls(source=str(path), objects=names, labels=labels, frame=frame))
        return prompts

    @abstractmethod
    def fitted_to_frame(self, size: tuple[int, int]) -> Self:
        """Return the prompt for a frame of (height, width) pixels: boxes are cut at its border.

        Raises:
            DataError: for a mask of another size, or a point or a whole box outside the frame.
        """

    def metadata(self) -> dict[str, Any]:
        """Return the prompt's entry in prediction.json: kind, source, and object → its numbers."""
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
    def of(cls, given: object) -> Self:
        """Build the prompt of a PNG, or of ids (H, W).

        Raises:
            DataError: if the file or array is no mask, holds no object, or void has more pixels than all objects.

        Example:
            >>> MaskPrompt.of(np.array([[0, 3], [7, 255]])).objects  # 255 beside ids is void
            (3, 7)
            >>> MaskPrompt.of(np.array([[0, 255]])).objects  # 255 alone is object 1
            (1,)
        """
        if isinstance(given, str | Path):
            source, ids = str(given), read_mask(user_path(given))
        else:
            source, ids = "array", np.asarray(given)
            is_mask = ids.ndim == 2 and ids.dtype.kind in "biu"
            if not is_mask or ids.min(initial=0) < 0 or ids.max(initial=0) > VOID:
                raise DataError(f"mask: expected (H, W) integer ids of 0 to 255, got {ids.shape} {ids.dtype}")
            ids = ids.astype(np.uint8)
        refuse_large_void(source, ids)
        labels = np.where(ids == VOID, np.uint8(not object_ids(ids)), ids)
        if not labels.any():
            raise DataError(f"{source}: holds no object")
        return cls(source=source, objects=object_ids(labels), labels=labels)

    @classmethod
    def read(cls, word: str, numbers: Mapping[str, int] | None = None, first: int = 0) -> Self:
        """Read a mask by a word `FILE[@FRAME]`.

        Without `@FRAME` it is of the frame that it is named after: the image of its name in a folder, or the frame of
        its number. With another name, such as `first.png`, its frame is None.

        Args:
            word: the file, and perhaps the number of its frame.
            numbers: name of a folder's image → number of the frame; None: a film.
            first: number of the first frame that is read.

        Raises:
            DataError: if another name holds a number, which may be another frame's than the first; and as `of`.
        """
        file, _, number = word.rpartition("@")
        if file and number.isdecimal() and not user_path(word).exists():
            return replace(cls.of(file), frame=int(number))
        stem = Path(word).stem
        frame = (numbers or {}).get(stem, int(stem) if stem.isdecimal() else None)
        if frame is None:
            of_first = {first} if numbers is None or 0 in numbers.values() else {first, 0}
            if set(map(int, re.findall(r"\d+", stem))) - of_first:
                raise DataError(f"{word}: say of which frame it is, {word}@FRAME")
        return replace(cls.of(word), frame=frame)

    def fitted_to_frame(self, size: tuple[int, int]) -> Self:
        """Return the prompt; raise `DataError` unless the mask has the frame's size, (height, width) pixels."""
        if self.labels.shape != size:
            is_turned = self.labels.shape == size[::-1]
            cause = "; frames are read as stored, not turned by their EXIF orientation" if is_turned else ""
            raise DataError(f"{self.source}: the mask is {in_px(self.labels.shape)}, the frame {in_px(size)}{cause}")
        return self

    def metadata(self) -> dict[str, Any]:
        """Return the prompt's entry in prediction.json: kind, source and ids."""
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
    thing = "box"
    columns = "x,y,width,height"

    def fitted_to_frame(self, size: tuple[int, int]) -> Self:
        """Return the prompt with its boxes cut at the border of the frame, (height, width) pixels.

        A detector may give boxes that cross the border.

        Raises:
            DataError: unless the boxes are in pixels and have an area in the frame.

        Example:
            >>> BoxPrompt.of("-1,10,30,30").fitted_to_frame((20, 8)).labels.tolist()
            [[0.0, 10.0, 8.0, 10.0]]
        """
        for x, y, width, height in self.labels.tolist():
            box = f"box {x:g},{y:g},{width:g},{height:g}"
            if min(width, height) <= 0:
                raise DataError(f"{box}: has no area")
            is_whole = all(map(float.is_integer, (x, y, width, height)))
            if max(x, y, width, height) <= 1 and not is_whole:
                raise DataError(f"{box}: is in fractions of the frame: give pixels, of {in_px(size)}")
            if x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0:
                raise DataError(f"{box}: lies outside the frame of {in_px(size)}")
        height, width = size
        ends = self.labels[:, :2] + self.labels[:, 2:]
        starts = self.labels[:, :2].clip(0)
        labels = np.concatenate([starts, ends.clip(None, (width, height)) - starts], axis=1)
        return replace(self, labels=labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class PointPrompt(Prompt):
    """Points of a frame to follow: a dictionary of name → (x, y), an array (K, 2), or a list of texts `580,430`.

    Attributes:
        objects: K names.
        labels: (K, 2) float64 x, y in pixels; (0, 0) is the centre of the first pixel.
    """

    kind = "points"
    thing = "point"
    columns = "x,y"

    def fitted_to_frame(self, size: tuple[int, int]) -> Self:
        """Return the prompt.

        Raises:
            DataError: unless the points are in pixels and lie inside the frame, (height, width) pixels.
        """
        if self.labels.max(initial=0) <= 1 and (self.labels % 1).any():
            raise DataError(f"{self.source}: are in fractions of the frame: give pixels, of {in_px(size)}")
        for name, (x, y) in zip(self.objects, self.labels.tolist(), strict=True):
            # (0, 0) is the centre of the first pixel
            if not (0 <= x <= size[1] - 1 and 0 <= y <= size[0] - 1):
                raise DataError(f"{self.source}: point {name} at {x:g},{y:g} lies outside the frame of {in_px(size)}")
        return self


def _numbers(rows: Sequence[object], columns: str, source: str) -> NDArray[np.float64]:
    """Return a row of finite numbers per object, `(rows, columns)`.

    Args:
        rows: texts such as `1,2`, or lists of numbers; or the numbers of a single row.
        columns: names of the columns, joined by commas.
        source: where the numbers are from, for the message.

    Raises:
        DataError: if a row has another number of columns, or holds anything but finite numbers.
    """
    words = [row.split(",") if isinstance(row, str) else row for row in rows]
    try:
        numbers = np.atleast_2d(np.array(words, np.float64))
    except (TypeError, ValueError):
        numbers = np.empty((0, 0))  # refused below
    if numbers.shape[1:] != (columns.count(",") + 1,) or not np.isfinite(numbers).all():
        raise DataError(f"{source}: expected {columns}, got {rows!s:.120}")
    return numbers
