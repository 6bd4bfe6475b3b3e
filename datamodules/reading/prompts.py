"""Prompts for frames of a video: masks, boxes or points; from files or from arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .coco import masks_by_frame
from .errors import DataError
from .guards import read_json
from .images import pixels
from .mask_files import VOID, davis_palette
from .part import Moment, VideoPart
from .prompt_files import PromptRow, read_box_prompts, read_mask_picture, read_point_prompts, separated
from .source import list_pictures

if TYPE_CHECKING:
    from typing import Protocol

    from numpy.typing import NDArray

    class PromptedFrames(Protocol):
        """The frames that prompts are for; `FrameStream` is one."""

        size: tuple[int, int]
        part: VideoPart

        def number_of(self, moment: Moment) -> int: ...

        def holds(self, number: int) -> bool: ...


MOST_IN_GRID = 128
"""Rows and columns of a grid of points."""


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """Objects to follow, as ids of pixels.

    Attributes:
        ids: (H, W) uint8, 0 is background.
        palette: (256, 3) uint8 RGB of each id.
        source: where it comes from.
        frame: that it belongs to; None: the first that is read.
    """

    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    source: str
    frame: Moment | None = None

    @classmethod
    def of(cls, mask: Any) -> MaskPrompt:
        """Build a prompt from a picture's path, or from an array or tensor of integer ids (H, W).

        An indexed PNG holds ids and a palette; 255 together with other ids is void, as in DAVIS, and becomes
        background. In a grey or RGB picture, or an indexed one whose black is another id than 0 (as quantising leaves
        it), black (or transparent) is background and each other colour an object, numbered from dark to light.

        Raises:
            DataError: if there is no object, no background colour, or the picture is not a mask.
        """
        if isinstance(mask, MaskPrompt):
            return mask
        if isinstance(mask, str | Path):
            return cls(*read_mask_picture(Path(mask)), str(mask))._checked()
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
            raise DataError(
                f"{self.source}: the mask is {pixels(self.ids.shape)}, {_called(self.frame)} {pixels(size)}; draw the "
                "mask on that frame at its own size"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {"kind": "mask", "source": self.source, "objects": list(self.objects), **_at(self.frame)}

    def _checked(self) -> MaskPrompt:
        if not self.objects:
            raise DataError(f"{self.source}: the mask is empty; mark at least one object with an id other than 0")
        return self


@dataclass(frozen=True)
class BoxPrompt:
    """A target to follow.

    Attributes:
        x: left edge in pixels, where 0 is that of the first pixel.
        y: upper edge.
        width: above 0.
        height: above 0.
        source: where it comes from.
        frame: that it belongs to; None: the first that is read.
        name: name of the target; boxes of one name are one target, seen in several frames.
    """

    x: float
    y: float
    width: float
    height: float
    source: str
    frame: Moment | None = None
    name: str = ""

    @classmethod
    def of(cls, box: Any) -> BoxPrompt:
        """Build a prompt from four numbers, from text such as `10,20,64,48` or `car=10,20,64,48`, or from a file.

        A file is text or CSV, with or without a heading, or JSON: four numbers, or an object with x, y, width, height.

        Raises:
            DataError: if these are not four numbers, the box has no area, or the file holds several boxes.
        """
        return box if isinstance(box, BoxPrompt) else _only(list(cls.each(box)), "{} boxes; give one")

    @classmethod
    def each(cls, box: Any) -> Iterator[BoxPrompt]:
        """Build the prompts of a file, see `read_box_prompts`, or one from anything else, see `of`.

        Raises:
            DataError: see `of`.
        """
        if isinstance(box, str | Path) and Path(box).suffix.lower() in {".txt", ".csv", ".json"}:
            for row in read_box_prompts(Path(box)):
                yield cls._made(row["box"], str(box), row.get("frame"), str(row.get("name", "")))
            return
        name, mark, rest = box.rpartition("=") if isinstance(box, str) else ("", "", box)
        yield cls._made(rest, f"box {box}" if isinstance(box, str) else "box", None, name.strip() if mark else "")

    @classmethod
    def _made(cls, values: Any, source: str, frame: Moment | None, name: str) -> BoxPrompt:
        if isinstance(values, str):
            values = values.strip("[]() ").replace(",", " ").split()
        try:
            x, y, width, height = (float(value) for value in values)
        except (TypeError, ValueError) as error:
            raise DataError(f"{source}: expected four numbers x,y,width,height, got {values!r}") from error
        if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
            raise DataError(f"{source}: a box needs a width and a height above 0, got {x:g},{y:g},{width:g},{height:g}")
        return cls(x, y, width, height, source, frame, name)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `DataError` unless the box lies inside the frame, (height, width) pixels."""
        if min(self.x, self.y) < 0 or self.x + self.width > size[1] or self.y + self.height > size[0]:
            raise DataError(
                f"{self.source}: the box spans x {self.x:g} to {self.x + self.width:g} and y {self.y:g} to "
                f"{self.y + self.height:g}, outside {_called(self.frame)} of {pixels(size)}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        box = [self.x, self.y, self.width, self.height]
        named = {"name": self.name} if self.name else {}
        return {"kind": "box", "source": self.source, "box": box, **named, **_at(self.frame)}


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points of one frame to follow.

    Attributes:
        names: one for each.
        points: (K, 2) float64 x, y in pixels, where (0, 0) is the centre of the first pixel.
        source: where they come from.
        grid: rows and columns of a grid over the frame, whose points `placed` gives; 0: no grid.
        frame: that they belong to; None: the first that is read.
    """

    names: tuple[str, ...]
    points: NDArray[np.float64]
    source: str
    grid: int = 0
    frame: Moment | None = None

    @classmethod
    def of(cls, points: Any) -> PointPrompt:
        """Build a prompt from a file, from a dictionary of x, y by name, or from an array (K, 2).

        A file is CSV of `name,x,y`, or JSON: `{"name": [x, y], …}` or `[[x, y], …]`; points without a name are
        numbered from 1. `grid:16` is a grid of 16 × 16 points over the frame, see `placed`.

        Raises:
            DataError: if these are no points, or two have one name.
        """
        return (
            points
            if isinstance(points, PointPrompt)
            else _only(list(cls.each(points)), "points of {} frames; give those of one")
        )

    @classmethod
    def each(cls, points: Any) -> Iterator[PointPrompt]:
        """Build a prompt for each frame of a file, see `read_point_prompts`, or one from anything else, see `of`.

        Raises:
            DataError: see `of`.
        """
        if isinstance(points, str) and points.startswith("grid:"):
            yield cls._of_grid(points)
            return
        if not isinstance(points, str | Path):
            pairs = points.items() if isinstance(points, Mapping) else enumerate(points, start=1)
            yield cls._made([(str(name), position) for name, position in pairs], "points", None, points)
            return
        rows = read_point_prompts(Path(points))
        by_frame: dict[Moment | None, list[PromptRow]] = {}
        for row in rows:
            by_frame.setdefault(row.get("frame"), []).append(row)
        for frame, members in by_frame.items() or [(None, [])]:
            yield cls._made([(row["name"], (row["x"], row["y"])) for row in members], str(points), frame, rows)

    @classmethod
    def _made(cls, pairs: Iterable[tuple[str, Any]], source: str, frame: Moment | None, given: Any) -> PointPrompt:
        names, positions = zip(*pairs, strict=True) if pairs else ((), ())
        try:
            points = np.array([[float(x), float(y)] for x, y in positions])
        except (TypeError, ValueError) as error:
            raise DataError(f"{source}: expected a name, x and y for each point, got {given!r:.120}") from error
        if not len(points) or not np.isfinite(points).all():
            raise DataError(f"{source}: expected finite x and y of at least one point, got {given!r:.120}")
        return cls(tuple(names), points, source, frame=frame)

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
                f"{self.source}: point {name} at {x:g},{y:g} lies outside {_called(self.frame)} of {pixels(size)}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return a description for the record."""
        return {
            "kind": "points",
            "source": self.source,
            "points": dict(zip(self.names, self.points.tolist(), strict=True)),
            **_at(self.frame),
        }


Prompt = MaskPrompt | BoxPrompt | PointPrompt
P = TypeVar("P", BoxPrompt, PointPrompt)


def read_prompts(mask: Any = None, box: Any = None, points: Any = None) -> list[Prompt]:
    """Return the prompts that are given, all of one kind, in any form that its class takes.

    Args:
        mask: one, or several with their frames, see `separated`; a file, a folder of pictures that are named after
            their frames, JSON in COCO's format, or an array.
        box: one or several, see `BoxPrompt.each`.
        points: points of one or several frames, see `PointPrompt.each`.

    Raises:
        DataError: if none or several kinds are given, or one is not as it should be.
    """
    given = {name: value for name, value in (("mask", mask), ("box", box), ("points", points)) if value is not None}
    if len(given) != 1:
        what = f"got {' and '.join(given)}" if given else "got none"
        raise DataError(f"say what to follow by exactly one of mask, box and points (--data.mask first.png); {what}")
    ((kind, value),) = given.items()
    read: Any = {"mask": _each_mask, "box": BoxPrompt.each, "points": PointPrompt.each}[kind]
    prompts: list[Prompt] = []
    for item, frame in separated(value):
        for prompt in read(item):
            if frame is not None and prompt.frame is not None:
                raise DataError(f"{prompt.source}: names its own frame ({prompt.frame}); leave @{frame} out")
            prompts.append(prompt if frame is None else replace(prompt, frame=frame))
    return prompts


def _each_mask(mask: Any) -> Iterator[MaskPrompt]:
    """Return the masks of a folder or of a JSON file; one of anything else."""
    path = Path(mask) if isinstance(mask, str | Path) else None
    if path is not None and path.is_dir():
        masks = list_pictures(path)
        if not masks:
            raise DataError(f"{path}: no picture in this folder; name masks after their frames, such as 00120.png")
        for file in masks:
            yield replace(MaskPrompt.of(file), frame=file.stem)
    elif path is not None and path.suffix.lower() == ".json":
        try:
            found = masks_by_frame(read_json(path, "correct it"))
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
        if not found:
            raise DataError(f"{path}: holds no mask")
        for frame, ids in sorted(found.items()):
            yield MaskPrompt(ids, davis_palette(), str(path), frame)._checked()
    else:
        yield MaskPrompt.of(mask)


def placed_prompts(prompts: Prompt | Iterable[Prompt], video: PromptedFrames) -> tuple[Prompt, ...]:
    """Return prompts in the order of their frames, each with the number of its frame in the video, if they fit it.

    Points of a grid are placed. Of several boxes, those without a name are numbered from 1, by numbers that are not
    names of others.

    Raises:
        DataError: if there is none, they are of several kinds, one names a frame that is not read or does not fit it,
            or two of one frame are of the same object.
    """
    given: Sequence[Prompt] = [prompts] if isinstance(prompts, Prompt) else list(prompts)
    if len({type(prompt) for prompt in given}) != 1:
        kinds = " and ".join(dict.fromkeys(prompt.metadata()["kind"] for prompt in given)) or "none"
        raise DataError(f"expected prompts of one kind, got {kinds}")
    taken = {prompt.name for prompt in given if isinstance(prompt, BoxPrompt)}
    numbers = (number for number in map(str, itertools.count(1)) if number not in taken)
    placed: list[Prompt] = []
    for prompt in given:
        frame = video.part.start if prompt.frame is None else video.number_of(prompt.frame)
        try:
            video.part.index(frame)
        except DataError as error:
            raise DataError(f"{prompt.source}: {error}") from error
        if frame != video.part.start and not video.holds(frame):
            raise DataError(f"{prompt.source}: frame {frame} lies beyond the end of the video")
        if isinstance(prompt, BoxPrompt) and len(given) > 1:
            prompt = replace(prompt, name=prompt.name or next(numbers))
        if isinstance(prompt, PointPrompt):
            prompt = prompt.placed(video.size)
        prompt = replace(prompt, frame=frame)
        prompt.check(video.size)
        placed.append(prompt)
    placed.sort(key=lambda prompt: int(prompt.frame or 0))
    for before, after in itertools.combinations(placed, 2):
        if before.frame == after.frame and (both := set(objects_of(before)) & set(objects_of(after))):
            raise DataError(f"{after.source}: two prompts of frame {after.frame} for {min(map(str, both))}")
    return tuple(placed)


def objects_of(prompt: Prompt) -> tuple[int | str, ...]:
    """Return the objects of a prompt: ids of a mask, the name of a box, names of points."""
    if isinstance(prompt, MaskPrompt):
        return prompt.objects
    return (prompt.name,) if isinstance(prompt, BoxPrompt) else prompt.names


def _only(found: list[P], several: str) -> P:
    """Return the only prompt of a file, or refuse `several`, in whose text {} is their number."""
    if len(found) > 1:
        raise DataError(f"{found[0].source}: holds {several.format(len(found))}")
    return found[0]


def _called(frame: Moment | None) -> str:
    return f"frame {frame} of the video" if frame else "the video's first frame"


def _at(frame: Moment | None) -> dict[str, Any]:
    """Return the frame for a record; nothing for the first."""
    return {"frame": frame} if frame else {}
