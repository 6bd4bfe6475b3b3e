"""Prompts for a frame of a video: a mask, boxes or points, from files or arrays."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .boxes import BOX, PromptRow, read_prompt_rows
from .files import DataError
from .images import pixels
from .mask_files import VOID, object_ids, read_mask_image
from .mask_videos import refuse_large_void, without_void
from .palettes import davis_palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IN_GRID = 128
"""Rows and columns of a grid of points."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt(ABC):
    """Prompt for one frame of a video: a mask, boxes or points.

    Attributes:
        source: file or description, for messages and the record.
        objects: objects of the prompt: ids of a mask, names of boxes or points.
        labels: labels to follow: ids `(H, W)`, boxes `(N, 4)`, or points x, y `(K, 2)`.
        frame: frame of the prompt; None: the first frame that is read.

    Raises:
        DataError: if there is no object, or two have the same name.
    """

    kind: ClassVar[str]
    source: str
    objects: tuple[int | str, ...]
    labels: NDArray[Any]
    frame: int | str | None = None

    def __post_init__(self) -> None:
        if not self.objects:
            raise DataError(f"{self.source}: holds no object; mark or list at least one")
        if len(set(self.objects)) < len(self.objects):
            raise DataError(f"{self.source}: two {'boxes' if self.kind == 'box' else 'points'} have the same name")

    @classmethod
    @abstractmethod
    def of(cls, given: object) -> Self:
        """Build a prompt from a file or a value, in any form that the class describes.

        Raises:
            DataError: if the value is not a prompt of this class, or a file names several frames.
        """

    @abstractmethod
    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the prompt fits the frame, (height, width) pixels."""

    def placed(self, size: tuple[int, int]) -> Self:
        """Return the prompt completed for a frame of (height, width) pixels."""
        return self

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        entry: dict[str, Any] = {"kind": self.kind, "source": self.source}
        if self.frame:
            entry["frame"] = self.frame
        return entry


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPrompt(Prompt):
    """Objects to follow as ids of pixels, from an image, or from an array or tensor of integer ids (H, W).

    An indexed PNG holds ids and a palette; 255 beside other ids is void, as in DAVIS, and becomes background; alone it
    is object 1. In a grey or RGB image, black (or transparent) is background and every other colour an object, numbered
    from dark to light. So is an indexed image with black at another index than 0, as quantising leaves it.

    Attributes:
        labels: (H, W) uint8 ids, 0 is background.
        objects: the ids, ascending.
        palette: (256, 3) uint8, RGB by id.
    """

    kind = "mask"
    palette: NDArray[np.uint8]

    @classmethod
    def of(cls, given: object) -> Self:
        """Build the prompt of an image or array.

        Raises:
            DataError: if the image or array is no mask, or its void outweighs its objects.
        """
        if isinstance(given, str | Path):
            source = str(given)
            mask = read_mask_image(Path(given))
            ids = mask.ids
            palette = mask.palette.copy()
            has_palette = mask.has_palette
        else:
            source = "array"
            palette = davis_palette()
            has_palette = False
            array = np.asarray(given)
            is_mask = array.ndim == 2 and array.dtype.kind in "biu"
            if not is_mask or array.min(initial=0) < 0 or array.max(initial=0) > VOID:
                raise DataError(f"mask: expected (H, W) integer ids of 0 to 255, got {array.shape} {array.dtype}")
            ids = array.astype(np.uint8)
        refuse_large_void(source, ids)
        only_void = not object_ids(ids)
        if has_palette and only_void:  # 255 alone becomes object 1, and takes its colour along
            palette[1] = palette[VOID]
        ids = without_void(ids)
        return cls(source=source, objects=object_ids(ids), labels=ids, palette=palette)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the mask has the frame's size, (height, width) pixels."""
        if self.labels.shape != size:
            raise DataError(
                f"{self.source}: the mask is {pixels(self.labels.shape)}, frame {self.frame or 0} {pixels(size)}; draw "
                "it on that frame at full size"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return super().metadata() | {"objects": list(self.objects)}


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPrompt(Prompt):
    """Targets to follow: four numbers, or text such as `10,20,64,48` or `car=10,20,64,48;dog=5,5,30,30`.

    A file is text of four numbers, or a CSV with a heading (`x,y,width,height`, `x,y,w,h`, `left,top,…`,
    `x1,y1,x2,y2`), which may add `frame` and `name`. Several boxes without names are numbered from 1.

    Attributes:
        objects: names of the N targets; a single one may be empty.
        labels: (N, 4) float64 left, top, width, height in pixels; (0, 0) is the upper left corner of the first pixel,
            half a pixel from the origin of `PointPrompt`.

    Raises:
        DataError: if there is no box, or two have the same name.
    """

    kind = "box"

    @classmethod
    def of(cls, given: object) -> Self:
        """Build a prompt from a file, text or four numbers.

        Raises:
            DataError: if the value is no box, or a file names several frames.
        """
        if isinstance(given, str | Path) and Path(given).suffix.lower() in {".txt", ".csv"}:
            source = str(given)
            rows = read_prompt_rows(Path(given), BOX)
        elif isinstance(given, str):
            source = f"box {given}"
            rows = _rows_of_text(given)
        else:
            source = "box"
            rows = [PromptRow(given)]
        boxes = np.array([_numbers(row.values, BOX, source) for row in rows])
        return cls(source=source, objects=_names_of_boxes(rows), labels=boxes, frame=_frame_of(rows, source))

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the boxes have an area and lie inside the frame, (height, width) pixels."""
        for x, y, width, height in self.labels.tolist():
            if min(width, height) <= 0:
                raise DataError(f"{self.source}: a box needs a width and a height above 0, got {width:g} x {height:g}")
            if min(x, y) < 0 or x + width > size[1] or y + height > size[0]:
                raise DataError(
                    f"{self.source}: the box spans x {x:g} to {x + width:g} and y {y:g} to {y + height:g}, outside "
                    f"frame {self.frame or 0} of {pixels(size)}"
                )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        if self.objects == ("",):
            return super().metadata() | {"box": self.labels[0].tolist()}
        return super().metadata() | {"boxes": dict(zip(self.objects, self.labels.tolist(), strict=True))}


@dataclass(frozen=True, kw_only=True, eq=False)
class PointPrompt(Prompt):
    """Points of a frame to follow: a dictionary of name → (x, y), an array (K, 2), or text such as `580,430;nose=9,4`.

    A file is a CSV of `name,x,y`, or has a heading with x and y, which may add `frame` and `name`. Points without a
    name are numbered from 1. `grid:16` is a grid of 16 × 16 points over the frame, named `row-column` from 1 on.

    Attributes:
        objects: K names.
        labels: (K, 2) float64 x, y in pixels; (0, 0) is the centre of the first pixel.
        grid: rows and columns of a grid that `placed` fills; 0: no grid.
    """

    kind = "points"
    grid: int = 0

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build a prompt from a file, text, a grid, a dictionary or an array."""
        if isinstance(given, str) and given.startswith("grid:"):
            count = given.removeprefix("grid:")
            if not count.isdecimal() or not 1 <= int(count) <= MOST_IN_GRID:
                raise DataError(
                    f"points {given}: expected grid:N with N of 1 to {MOST_IN_GRID}, rows and columns of points"
                )
            numbers = range(1, int(count) + 1)
            names = tuple(f"{row}-{column}" for row in numbers for column in numbers)
            return cls(source=given, objects=names, labels=np.zeros((len(names), 2)), grid=int(count))
        if isinstance(given, str) and "," in given and not given.lower().endswith(".csv") and not os.path.exists(given):
            source = f"points {given}"
            rows = _rows_of_text(given)
        elif isinstance(given, str | Path):
            source = str(given)
            rows = read_prompt_rows(Path(given), ("x", "y"))
        elif isinstance(given, Mapping):
            source = "points"
            rows = [PromptRow(position, name=str(name)) for name, position in given.items()]
        else:
            source = "points"
            rows = [PromptRow(position) for position in given]
        names = tuple(row.name or str(number) for number, row in enumerate(rows, start=1))
        points = np.array([_numbers(row.values, ("x", "y"), source) for row in rows])
        return cls(source=source, objects=names, labels=points, frame=_frame_of(rows, source))

    def placed(self, size: tuple[int, int]) -> Self:
        """Return the prompt with the points of its grid, at the centres of equal rectangles that fill the frame.

        Args:
            size: height and width of the frame, pixels.
        """
        if not self.grid:
            return self
        steps = (np.arange(self.grid) + 0.5) / self.grid
        y, x = np.meshgrid(steps * size[0] - 0.5, steps * size[1] - 0.5, indexing="ij")
        return replace(self, labels=np.stack([x, y], -1).reshape(-1, 2), grid=0)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless all points lie inside the frame, (height, width) pixels."""
        outside = ((self.labels < 0) | (self.labels > np.array(size[::-1]) - 1)).any(1)
        if outside.any():
            first = int(outside.argmax())
            name = self.objects[first]
            x, y = self.labels[first]
            raise DataError(
                f"{self.source}: point {name} at {x:g},{y:g} lies outside frame {self.frame or 0} of {pixels(size)}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return the prompt's entry for prediction.json."""
        return super().metadata() | {"points": dict(zip(self.objects, self.labels.tolist(), strict=True))}


def _names_of_boxes(rows: Sequence[PromptRow]) -> tuple[str, ...]:
    """Return the names of boxes; several boxes without a name get the free numbers from 1, a single box no name."""
    taken = {row.name for row in rows}
    names: list[str] = []
    number = 0
    for row in rows:
        name = row.name
        while not name and len(rows) > 1:
            number += 1
            if str(number) not in taken:
                name = str(number)
        names.append(name)
    return tuple(names)


def _rows_of_text(text: str) -> list[PromptRow]:
    """Return the rows of a text such as `car=10,20,64,48;5,5,30,30`."""
    rows = []
    for part in text.split(";"):
        if part.strip():
            name, _, numbers = part.rpartition("=")
            rows.append(PromptRow(numbers, name=name.strip()))
    return rows


def _numbers(values: Any, columns: Sequence[str], source: str) -> list[float]:
    """Return the finite numbers of a box or a point, a number per column."""
    words = values.strip("[]() ").replace(",", " ").split() if isinstance(values, str) else values
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != len(columns) or not np.isfinite(numbers).all():
        raise DataError(f"{source}: expected {len(columns)} numbers, {','.join(columns)}, got {values!r:.120}")
    return numbers


def _frame_of(rows: Sequence[PromptRow], source: str) -> str | None:
    """Return the frame of all rows of a file."""
    frames = list(dict.fromkeys(row.frame for row in rows))
    if len(frames) > 1:
        raise DataError(f"{source}: names {len(frames)} frames; a prompt is for one frame")
    return frames[0] if frames else None


def read_prompt(mask: object = None, box: object = None, points: object = None) -> Prompt:
    """Return the prompt of exactly one kind, from any form that its class takes.

    `@` and a frame's index at the end of a text name its frame: `corrected.png@120`, `1,2,3,4@25`.

    Args:
        mask: an image of a mask, or an array (H, W) of integer ids.
        box: four numbers, text such as `10,20,64,48` or `car=10,20,64,48;dog=5,5,30,30`, a list of such texts, or a
            .txt or .csv file.
        points: a dictionary of name → (x, y), an array (K, 2), text such as `nose=9,4`, `grid:16`, or a CSV file.

    Raises:
        DataError: if no kind or several kinds are given, or the prompt is invalid.
    """
    kinds: list[tuple[type[Prompt], Any]] = [(MaskPrompt, mask), (BoxPrompt, box), (PointPrompt, points)]
    given = [(kind, value) for kind, value in kinds if value is not None]
    if len(given) != 1:
        kinds_given = " and ".join(kind.kind for kind, _ in given) or "none"
        raise DataError(
            f"say what to follow by exactly one of mask, box and points, such as mask=first.png; got {kinds_given}"
        )
    ((kind, value),) = given
    if kind is BoxPrompt and isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        value = ";".join(value)
    value, frame = _with_frame(value)
    prompt = kind.of(value)
    if frame is not None and prompt.frame is not None:
        raise DataError(f"{prompt.source}: already names frame {prompt.frame}; leave @{frame} out")
    return prompt if frame is None else replace(prompt, frame=frame)


def _with_frame(given: object) -> tuple[Any, str | None]:
    """Return a value and its frame; the name of an existing file may hold `@`.

    Example:
        >>> _with_frame("b.png@120"), _with_frame("1,2,3,4@25"), _with_frame([1, 2, 3, 4])
        (('b.png', '120'), ('1,2,3,4', '25'), ([1, 2, 3, 4], None))
    """
    if not isinstance(given, str) or os.path.exists(given):
        return given, None
    value, _, frame = given.rpartition("@")
    names_frame = bool(value) and os.sep not in frame
    return (value, frame.strip()) if names_frame else (given, None)
