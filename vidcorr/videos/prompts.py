"""Prompts for frames of a video: masks, boxes or points, from files or arrays."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import Self

from .boxes import BOX, PromptRow, read_rows
from .guards import DataError
from .images import pixels
from .mask_files import VOID, davis_palette, read_coco_masks, read_mask_image
from .source import Moment, list_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IN_GRID = 128
"""Rows and columns of a grid of points."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt(ABC):
    """Prompt for one frame of a video: a mask, a box or points.

    Attributes:
        source: file or description, for messages and the record.
        frame: frame of the prompt; None: the first frame that is read.
    """

    kind: ClassVar[str]
    source: str
    frame: Moment | None = None

    @classmethod
    @abstractmethod
    def all_of(cls, given: Any) -> Iterator[Self]:
        """Build the prompts of a file, or a single prompt from another value that the class takes."""

    @classmethod
    def of(cls, given: Any) -> Self:
        """Build a single prompt from a file or a value, see the class.

        Raises:
            DataError: if the value is not a prompt of this class, or the file holds several.
        """
        if isinstance(given, cls):
            return given
        first, *others = cls.all_of(given)
        if others:
            raise DataError(f"{first.source}: holds {cls.kind} prompts for {len(others) + 1} places; give one")
        return first

    @property
    @abstractmethod
    def objects(self) -> tuple[int | str, ...]:
        """Objects of the prompt: ids of a mask, the name of a box, names of points."""

    @abstractmethod
    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the prompt fits the frame, (height, width) pixels."""

    def placed(self, size: tuple[int, int]) -> Self:
        """Return the prompt completed for a frame of (height, width) pixels."""
        return self

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {"kind": self.kind, "source": self.source, **({"frame": self.frame} if self.frame else {})}


@dataclass(frozen=True, eq=False)
class MaskPrompt(Prompt):
    """Objects to follow as ids of pixels, from an image, or from an array or tensor of integer ids (H, W).

    An indexed PNG holds ids and a palette; 255 beside other ids is void, as in DAVIS, and becomes background. In a grey
    or RGB image, black (or transparent) is background and every other colour an object, numbered from dark to light.
    So is an indexed image with black at another index than 0, as quantising leaves it. A folder of images named after
    their frames, and JSON in COCO's format, hold several prompts.

    Attributes:
        ids: (H, W) uint8, 0 is background.
        palette: (256, 3) uint8, RGB by id.

    Raises:
        DataError: if the mask has no object.
    """

    kind = "mask"
    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if not self.objects:
            raise DataError(f"{self.source}: the mask is empty; mark at least one object with an id other than 0")

    @classmethod
    def all_of(cls, given: Any) -> Iterator[Self]:
        """Build the prompts of a folder or JSON file, or a single prompt from an image or array."""
        if not isinstance(given, str | Path):
            yield cls._of_array(given)
            return
        path = Path(given)
        if path.is_dir():
            prompts = [cls(*read_mask_image(file), source=str(file), frame=file.stem) for file in list_images(path)]
        elif path.suffix.lower() == ".json":
            by_frame = sorted(read_coco_masks(path).items())
            prompts = [cls(ids, davis_palette(), source=str(path), frame=frame) for frame, ids in by_frame]
        else:
            prompts = [cls(*read_mask_image(path), source=str(path))]
        if not prompts:
            raise DataError(f"{path}: holds no mask; name the masks of a folder after their frames, 00120.png")
        yield from prompts

    @classmethod
    def _of_array(cls, given: Any) -> Self:
        ids = np.asarray(given)
        if ids.ndim != 2 or ids.dtype.kind not in "biu" or ids.min(initial=0) < 0 or ids.max(initial=0) > VOID:
            raise DataError(f"mask: expected (H, W) integer ids of 0 to 255, got {ids.shape} {ids.dtype}")
        return cls(ids.astype(np.uint8), davis_palette(), source="array")

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending."""
        return tuple(int(i) for i in np.unique(self.ids) if i)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the mask has the frame's size, (height, width) pixels."""
        if self.ids.shape != size:
            raise DataError(
                f"{self.source}: the mask is {pixels(self.ids.shape)}, frame {self.frame or 0} {pixels(size)}; draw it "
                "on that frame at full size"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return super().metadata() | {"objects": list(self.objects)}


@dataclass(frozen=True, eq=False)
class BoxPrompt(Prompt):
    """A target to follow: four numbers, or text such as `10,20,64,48` or `car=10,20,64,48`.

    A file is text or CSV, with or without a heading, or JSON: four numbers, or an object with x, y, width, height.

    Attributes:
        x: left edge, pixels; 0 is the left edge of the first pixel.
        y: upper edge, pixels.
        width: above 0.
        height: above 0.
        name: name of the target; boxes with the same name mark the same target in several frames.

    Raises:
        DataError: if the box has no area.
    """

    kind = "box"
    x: float
    y: float
    width: float
    height: float
    name: str = ""

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0):
            box = f"{self.x:g},{self.y:g},{self.width:g},{self.height:g}"
            raise DataError(f"{self.source}: a box needs a width and a height above 0, got {box}")

    @classmethod
    def all_of(cls, given: Any) -> Iterator[Self]:
        """Build the prompts of a file, see `read_rows`, or a single prompt from text or four numbers."""
        source, rows = "box", [PromptRow(given)]
        if isinstance(given, str | Path) and Path(given).suffix.lower() in {".txt", ".csv", ".json"}:
            source, rows = str(given), read_rows(Path(given), BOX)
            if not rows:
                raise DataError(f"{source}: holds no box; write one in a line, below a heading if there is one")
        elif isinstance(given, str):
            name, _, box = given.rpartition("=")
            source, rows = f"box {given}", [PromptRow(box, name=name.strip())]
        for row in rows:
            x, y, width, height = _numbers(row.values, BOX, source)
            yield cls(x, y, width, height, row.name, source=source, frame=row.frame)

    @property
    def objects(self) -> tuple[str]:
        """Name of the target."""
        return (self.name,)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the box lies inside the frame, (height, width) pixels."""
        if min(self.x, self.y) < 0 or self.x + self.width > size[1] or self.y + self.height > size[0]:
            raise DataError(
                f"{self.source}: the box spans x {self.x:g} to {self.x + self.width:g} and y {self.y:g} to "
                f"{self.y + self.height:g}, outside frame {self.frame or 0} of {pixels(size)}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        box = {"box": [self.x, self.y, self.width, self.height]}
        return super().metadata() | box | ({"name": self.name} if self.name else {})


@dataclass(frozen=True, eq=False)
class PointPrompt(Prompt):
    """Points of a frame to follow, from a dictionary of name → (x, y), or an array (K, 2).

    A file is CSV of `name,x,y`, or JSON: `{"name": [x, y], …}` or `[[x, y], …]`; points without a name are numbered
    from 1. `grid:16` is a grid of 16 × 16 points over the frame, see `placed`.

    Attributes:
        names: K names.
        points: (K, 2) float64 x, y in pixels; (0, 0) is the centre of the first pixel.
        grid: rows and columns of a grid that `placed` fills; 0: no grid.

    Raises:
        DataError: if there are no points, or two have the same name.
    """

    kind = "points"
    names: tuple[str, ...]
    points: NDArray[np.float64]
    grid: int = 0

    def __post_init__(self) -> None:
        if not self.grid and not self.names:
            raise DataError(f"{self.source}: expected at least one point")
        if len(set(self.names)) < len(self.names):
            raise DataError(f"{self.source}: two points have the same name")

    @classmethod
    def all_of(cls, given: Any) -> Iterator[Self]:
        """Build a prompt per frame of a file, see `read_rows`, or a single prompt from another value."""
        if isinstance(given, str) and given.startswith("grid:"):
            count = given.removeprefix("grid:")
            if not count.isdecimal() or not 1 <= int(count) <= MOST_IN_GRID:
                raise DataError(
                    f"points {given}: expected grid:N with N of 1 to {MOST_IN_GRID}, rows and columns of points"
                )
            yield cls((), np.zeros((0, 2)), int(count), source=given)
            return
        if isinstance(given, str | Path):
            source, rows = str(given), read_rows(Path(given), ("x", "y"))
        else:
            named = given.items() if isinstance(given, Mapping) else (("", position) for position in given)
            source, rows = "points", [PromptRow(position, name=str(name)) for name, position in named]
        numbered = [(row.name or str(number), row) for number, row in enumerate(rows, start=1)]
        for frame in dict.fromkeys(row.frame for row in rows) or [None]:
            members = [(name, row) for name, row in numbered if row.frame == frame]
            points = np.array([_numbers(row.values, ("x", "y"), source) for _, row in members])
            yield cls(tuple(name for name, _ in members), points, source=source, frame=frame)

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the points."""
        return self.names

    def placed(self, size: tuple[int, int]) -> Self:
        """Return the prompt with the points of its grid, named `row-column` from 1 on.

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
                f"{self.source}: point {name} at {x:g},{y:g} lies outside frame {self.frame or 0} of {pixels(size)}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return super().metadata() | {"points": dict(zip(self.names, self.points.tolist(), strict=True))}


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


def read_prompts(mask: Any = None, box: Any = None, points: Any = None) -> list[Prompt]:
    """Return prompts of exactly one kind, from any form that its class takes.

    Args:
        mask: files, folders or arrays, see `MaskPrompt`; several with their frames, see `separated`.
        box: boxes, see `BoxPrompt`.
        points: points of one or several frames, see `PointPrompt`.

    Raises:
        DataError: if no kind or several kinds are given, or a prompt is invalid.
    """
    kinds: list[tuple[type[Prompt], Any]] = [(MaskPrompt, mask), (BoxPrompt, box), (PointPrompt, points)]
    given = [(kind, value) for kind, value in kinds if value is not None]
    if len(given) != 1:
        kinds_given = " and ".join(kind.kind for kind, _ in given) or "none"
        raise DataError(
            f"say what to follow by exactly one of mask, box and points (--data.mask first.png); got {kinds_given}"
        )
    ((kind, value),) = given
    prompts: list[Prompt] = []
    for item, frame in separated(value):
        for prompt in kind.all_of(item):
            if frame is not None and prompt.frame is not None:
                raise DataError(f"{prompt.source}: already names frame {prompt.frame}; leave @{frame} out")
            prompts.append(prompt if frame is None else replace(prompt, frame=frame))
    return prompts


def separated(given: Any) -> list[tuple[Any, Moment | None]]:
    """Return (value, frame) pairs of a flag: `a.png;b.png@120`, or a list of such texts.

    The name of an existing file may hold `;` or `@`.

    Example:
        >>> separated("a.png; b.png@120"), separated(["1,2,3,4@2.5s"]), separated([1, 2, 3, 4])
        ([('a.png', None), ('b.png', '120')], [('1,2,3,4', '2.5s')], [([1, 2, 3, 4], None)])
    """
    if isinstance(given, list | tuple) and given and all(isinstance(item, str | Path) for item in given):
        return [pair for item in given for pair in separated(item)]
    if not isinstance(given, str) or os.path.exists(given):
        return [(given, None)]
    pairs: list[tuple[Any, Moment | None]] = []
    for part in filter(None, map(str.strip, given.split(";"))):
        value, _, frame = part.rpartition("@")
        names_frame = value and not os.path.exists(part)
        pairs.append((value, frame.strip()) if names_frame else (part, None))
    return pairs or [(given, None)]
