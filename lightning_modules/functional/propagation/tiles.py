"""Tiles of queries, their neighbourhoods, and the keys around them."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STRIP = 8  # query columns of a tile: wider wastes products, narrower starves the matrix product


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

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the offsets dy, dx that are kept, (2 · reach + 1, 2 · reach + 1)."""
        if self.radius is None or self.reach is None:
            raise ValueError("a neighbourhood without a radius has no mask")
        axis = np.arange(-self.reach, self.reach + 1)
        if self.shape == "square":
            return np.ones((len(axis), len(axis)), bool)
        squared = axis[:, None] ** 2 + axis**2
        return squared < self.radius**2 if self.shape == "circle" else squared <= self.radius**2

    def mask(self, device: torch.device) -> Tensor:
        """Return `kept` on a device."""
        return on_device(self.kept, device)


@dataclasses.dataclass(frozen=True)
class Tile:
    """A rectangle of queries (`rows`, `columns`) of a (height, width) map and the keys around it.

    Keys are numbered in a frame of reach cells around the queries, part of which may lie outside the map; without a
    reach that frame is the map. If the rectangle `slides`, a row of keys meets the 2 · reach + 1 query rows around it;
    otherwise it meets them all. Properties are cached, because a tile serves all frames of a video.
    """

    rows: range
    columns: range
    height: int
    width: int
    reach: int | None
    slides: bool

    @cached_property
    def frame(self) -> tuple[range, range]:
        """Rows and columns of the frame, in map coordinates."""
        if self.reach is None:
            return range(self.height), range(self.width)
        return (
            range(self.rows.start - self.reach, self.rows.stop + self.reach),
            range(self.columns.start - self.reach, self.columns.stop + self.reach),
        )

    @cached_property
    def frame_size(self) -> tuple[int, int]:
        """Number of rows and columns of the frame."""
        rows, columns = self.frame
        return len(rows), len(columns)

    @cached_property
    def keys(self) -> tuple[range, range]:
        """Rows and columns of the frame that lie on the map."""
        rows, columns = self.frame
        return (
            range(max(rows.start, 0), min(rows.stop, self.height)),
            range(max(columns.start, 0), min(columns.stop, self.width)),
        )

    @cached_property
    def query_slices(self) -> tuple[slice, slice]:
        """Slices of the map that hold the queries."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Part of the frame that lies on the map."""
        (rows, columns), (key_rows, key_columns) = self.frame, self.keys
        return (
            slice(key_rows.start - rows.start, key_rows.stop - rows.start),
            slice(key_columns.start - columns.start, key_columns.stop - columns.start),
        )

    @cached_property
    def queries(self) -> int:
        """Number of queries that a row of keys meets, those beyond the rectangle included."""
        rows = 2 * self.reach + 1 if self.slides and self.reach is not None else len(self.rows)
        return rows * len(self.columns)

    @cached_property
    def products(self) -> int:
        """Number of products of the tile with one reference."""
        return len(self.keys[0]) * len(self.keys[1]) * self.queries

    @cached_property
    def rows_met(self) -> list[tuple[slice, int]]:
        """Rows of the tile within reach of each row of keys, and their start on the last axis of a sliding block."""
        reach, top, found = self.reach or 0, self.rows.start, []
        for key_row in self.keys[0]:
            start, stop = max(key_row - reach, top), min(key_row + reach + 1, self.rows.stop)
            found.append((slice(start - top, stop - top), (start - key_row + reach) * len(self.columns)))
        return found

    def addresses(self, neighbourhood: Neighbourhood, device: torch.device) -> Tensor:
        """Return each query's addresses within reach, in a flat block (frame rows, frame columns, queries).

        Returns:
            Long (queries of the tile, cells of the neighbourhood).
        """
        _, columns = self.frame
        reach = self.reach or 0
        y = torch.arange(len(self.rows), device=device)[:, None]
        x = torch.arange(len(self.columns), device=device)
        dy, dx = (on_device(axis, device) for axis in neighbourhood.kept.nonzero())  # from the frame's corner
        offsets = (dy * len(columns) + dx) * self.queries
        start = (y * len(columns) + x) * self.queries
        if not self.slides:
            return (start + y * len(x) + x).reshape(-1, 1) + offsets
        return (start + 2 * reach * len(x) + x).reshape(-1, 1) + offsets - dy * len(x)


def on_device(values: Any, device: torch.device) -> Tensor:
    """Bring numbers to a device without waiting for the work that it has queued."""
    return torch.as_tensor(values).to(device, non_blocking=True)


def tiles(height: int, width: int, reach: int | None, references: int, budget: int, slide: bool) -> Iterator[Tile]:
    """Yield tiles that cover a (height, width) map, strip after strip, each with at most `budget` products.

    A single query that exceeds the budget is a separate tile. With `slide`, a tile is as high as the budget allows;
    otherwise it is at most as high as a strip is wide.
    """
    rows, columns = tile_size(height, width, reach, references, budget, slide)
    for tile_columns in _split(width, columns):
        for tile_rows in _split(height, rows):
            slides = slide and reach is not None and len(tile_rows) > 2 * reach + 1
            yield Tile(tile_rows, tile_columns, height, width, reach, slides)


def tile_size(height: int, width: int, reach: int | None, references: int, budget: int, slide: bool) -> tuple[int, int]:
    """Return rows and columns of the largest tile within the budget of `tiles`."""
    rows, columns = height if slide else min(height, STRIP), min(width, STRIP)
    while tile_products(height, width, reach, references, rows, columns, slide) > budget and (rows, columns) != (1, 1):
        if rows >= columns:
            rows = math.ceil(rows / 2)
        else:
            columns = math.ceil(columns / 2)
    return rows, columns


def tile_products(
    height: int, width: int, reach: int | None, references: int, rows: int, columns: int, slide: bool
) -> int:
    """Return the largest number of products that a tile of `rows` x `columns` queries can have."""
    if reach is None:
        return height * width * references * rows * columns
    keys = min(rows + 2 * reach, height) * min(columns + 2 * reach, width)
    return keys * references * (min(rows, 2 * reach + 1) if slide else rows) * columns


def _split(length: int, size: int) -> list[range]:
    """Split a length into consecutive ranges of nearly equal length, at most `size`."""
    count = math.ceil(length / size)
    edges = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]
