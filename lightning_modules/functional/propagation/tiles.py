"""Tiles of queries, their neighbourhoods, and the keys around them."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..device import to_device

STRIP = 8  # query columns of a tile: wider wastes products, narrower starves the matrix product

Area = tuple[range, range]
"""Rows and columns."""


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Key cells within `radius` of a query cell; all cells if `radius` is None.

    "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| <= radius and |dx| <= radius.
    """

    radius: float | None
    shape: Literal["circle", "disc", "square"] = "circle"

    @property
    def reach(self) -> int | None:
        """Largest offset along an axis."""
        if self.radius is None:
            return None
        return math.ceil(self.radius) - 1 if self.shape == "circle" else math.floor(self.radius)

    def contains(self, dy: Any, dx: Any) -> Any:
        """Return which offsets are kept; arrays or tensors that broadcast."""
        radius = math.inf if self.radius is None else self.radius
        if self.shape == "square":
            return (abs(dy) <= radius) & (abs(dx) <= radius)
        squared = dy**2 + dx**2
        return squared < radius**2 if self.shape == "circle" else squared <= radius**2

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the offsets dy, dx that are kept, (2 · reach + 1, 2 · reach + 1)."""
        if self.reach is None:
            raise ValueError("a neighbourhood without a radius has no mask")
        axis = np.arange(-self.reach, self.reach + 1)
        return self.contains(axis[:, None], axis)


@dataclasses.dataclass(frozen=True)
class Tile:
    """A rectangle of queries of a map and the keys around it.

    Keys are numbered in a frame of reach cells around the queries, part of which may lie outside the map; without a
    reach that frame is the map. If the rectangle `slides`, a row of keys meets the 2 · reach + 1 query rows around it;
    otherwise it meets them all.

    Attributes:
        at: rows and columns of the queries.
        frame: rows and columns of the frame, in map coordinates.
        keys: the part of the frame that lies on the map.
        reach: largest offset from a query to a key along an axis, or None.
        slides: see above.
        queries: number of queries that a row of keys meets, those beyond the rectangle included.
    """

    at: Area
    frame: Area
    keys: Area
    reach: int | None
    slides: bool
    queries: int

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and columns of queries."""
        return len(self.at[0]), len(self.at[1])

    @property
    def frame_size(self) -> tuple[int, int]:
        """Number of rows and columns of the frame."""
        return len(self.frame[0]), len(self.frame[1])

    @property
    def products(self) -> int:
        """Number of products of the tile with one reference."""
        return len(self.keys[0]) * len(self.keys[1]) * self.queries

    @property
    def query_slices(self) -> tuple[slice, ...]:
        """Slices of the map that hold the queries."""
        return tuple(slice(axis.start, axis.stop) for axis in self.at)

    @property
    def inner(self) -> tuple[slice, ...]:
        """Slices of the frame that lie on the map."""
        pairs = zip(self.keys, self.frame, strict=True)
        return tuple(slice(keys.start - frame.start, keys.stop - frame.start) for keys, frame in pairs)

    def rows_met(self) -> Iterator[tuple[slice, int]]:
        """Yield the rows of the tile within reach of each row of keys, and their start on the block's last axis."""
        reach, (rows, columns) = self.reach or 0, self.at
        for key_row in self.keys[0]:
            start, stop = max(key_row - reach, rows.start), min(key_row + reach + 1, rows.stop)
            yield slice(start - rows.start, stop - rows.start), (start - key_row + reach) * len(columns)

    def addresses(self, neighbourhood: Neighbourhood, device: torch.device) -> Tensor:
        """Return each query's addresses within reach, in a flat block (frame rows, frame columns, queries).

        Returns:
            Long (queries of the tile, cells of the neighbourhood).
        """
        (rows, columns), width = self.size, len(self.frame[1])
        y = torch.arange(rows, device=device)[:, None]
        x = torch.arange(columns, device=device)
        dy, dx = (to_device(axis, device) for axis in neighbourhood.kept.nonzero())  # from the frame's corner
        offsets = (dy * width + dx) * self.queries
        start = (y * width + x) * self.queries
        if not self.slides:
            return (start + y * columns + x).reshape(-1, 1) + offsets
        return (start + 2 * (self.reach or 0) * columns + x).reshape(-1, 1) + offsets - dy * columns


def tiles(height: int, width: int, reach: int | None, references: int, budget: int, slide: bool) -> Iterator[Tile]:
    """Yield tiles that cover a (height, width) map, strip after strip, each with at most `budget` products.

    A single query that exceeds the budget is a separate tile. With `slide`, a tile is as high as the budget allows;
    otherwise it is at most as high as a strip is wide.
    """

    def most_products(rows: int, columns: int) -> int:
        if reach is None:
            return height * width * references * rows * columns
        keys = min(rows + 2 * reach, height) * min(columns + 2 * reach, width)
        return keys * references * (min(rows, 2 * reach + 1) if slide else rows) * columns

    rows, columns = height if slide else min(height, STRIP), min(width, STRIP)
    while most_products(rows, columns) > budget and (rows, columns) != (1, 1):
        if rows >= columns:
            rows = math.ceil(rows / 2)
        else:
            columns = math.ceil(columns / 2)
    for across in _split(width, columns):
        for down in _split(height, rows):
            frame = range(height), range(width)
            if reach is not None:
                frame = range(down.start - reach, down.stop + reach), range(across.start - reach, across.stop + reach)
            key_rows = range(max(frame[0].start, 0), min(frame[0].stop, height))
            key_columns = range(max(frame[1].start, 0), min(frame[1].stop, width))
            slides = slide and reach is not None and len(down) > 2 * reach + 1
            met = 2 * (reach or 0) + 1 if slides else len(down)
            yield Tile((down, across), frame, (key_rows, key_columns), reach, slides, met * len(across))


def _split(length: int, size: int) -> list[range]:
    """Split a length into consecutive ranges of nearly equal length, at most `size`."""
    count = math.ceil(length / size)
    edges = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]
