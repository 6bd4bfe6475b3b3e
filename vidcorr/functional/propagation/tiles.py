"""Tiles of queries, their neighbourhoods, and the keys around them."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
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

    Keys are numbered in a frame, the rectangle enlarged by `reach` cells, which may extend beyond the map; without a
    reach the frame is the map. If the rectangle `slides`, a row of keys meets the 2 · reach + 1 query rows around it;
    otherwise it meets all query rows.

    Attributes:
        at: rows and columns of the queries.
        map_size: number of rows and columns of the map.
        reach: largest offset from a query to a key along an axis, or None.
        slides: see above.
    """

    at: Area
    map_size: tuple[int, int]
    reach: int | None
    slides: bool

    @functools.cached_property
    def frame(self) -> Area:
        """Rows and columns of the frame, in map coordinates."""
        if self.reach is None:
            return range(self.map_size[0]), range(self.map_size[1])
        rows, columns = (range(axis.start - self.reach, axis.stop + self.reach) for axis in self.at)
        return rows, columns

    @functools.cached_property
    def keys(self) -> Area:
        """Rows and columns of the frame that lie on the map."""
        axes = zip(self.frame, self.map_size, strict=True)
        rows, columns = (range(max(axis.start, 0), min(axis.stop, length)) for axis, length in axes)
        return rows, columns

    @property
    def queries(self) -> int:
        """Number of queries that a row of keys meets, queries beyond the rectangle included."""
        rows, columns = self.size
        return columns * (2 * (self.reach or 0) + 1 if self.slides else rows)

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

    def keys_of(self, maps: Tensor, used: Tensor) -> Tensor:
        """Cut the keys out of (h, w, S, ·): (key rows, key columns, used references, ·), a view if all are used."""
        rows, columns = self.keys
        return used_of(maps[rows.start : rows.stop, columns.start : columns.stop], used)

    def rows_met(self) -> Iterator[tuple[slice, int]]:
        """Yield the rows of the tile within reach of each row of keys, and their start on the block's last axis."""
        reach, (rows, columns) = self.reach or 0, self.at
        for key_row in self.keys[0]:
            start, stop = max(key_row - reach, rows.start), min(key_row + reach + 1, rows.stop)
            yield slice(start - rows.start, stop - rows.start), (start - key_row + reach) * len(columns)

    def addresses(self, neighbourhood: Neighbourhood, device: torch.device) -> Tensor:
        """Return the addresses within reach of the queries, in a flat block (frame rows, frame columns, queries).

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


@dataclasses.dataclass(frozen=True)
class Strips:
    """A map as strips of equal size, in groups whose products a device computes together.

    A strip has all rows and `STRIP` columns; the last may end beyond the map.

    Attributes:
        tile: a strip on a map of its frame's width: all columns of the frame count as keys, columns beyond the map too.
        width: columns of the map.
        at_once: strips per group.
    """

    tile: Tile
    width: int
    at_once: int

    @classmethod
    def of(
        cls, neighbourhood: Neighbourhood, size: tuple[int, int], used: int, candidates: int, budget: int
    ) -> "Strips | None":
        """Return the strips of a map; None if a row of keys meets all rows, or the budget holds no strip.

        Args:
            neighbourhood: neighbourhood of a query cell.
            size: rows and columns of the map.
            used: number of different references.
            candidates: number of products from which the best matches of a query are chosen.
            budget: numbers that a group may hold: products, their maxima, the neighbourhoods of all queries, and the
                candidates with their addresses.
        """
        reach, (height, width) = neighbourhood.reach, size
        if reach is None or height <= 2 * reach + 1:
            return None
        tile = Tile((range(height), range(reach, reach + STRIP)), (height, STRIP + 2 * reach), reach, slides=True)
        of_query = int(neighbourhood.kept.sum()) + 6 * candidates
        maxima = math.prod(tile.frame_size) * tile.queries
        numbers = tile.products * used + maxima + math.prod(tile.size) * of_query
        return cls(tile, width, budget // numbers) if numbers <= budget else None

    @property
    def groups(self) -> list[range]:
        """Indices of the strips, group by group."""
        count = math.ceil(self.width / STRIP)
        return [range(start, min(start + self.at_once, count)) for start in range(0, count, self.at_once)]

    def columns(self, index: int) -> tuple[slice, slice]:
        """Return the columns of a strip's frame that lie on the map: as slice of the map, as slice of the frame."""
        first = index * STRIP - self.tile.at[1].start
        start, stop = max(first, 0), min(first + len(self.tile.frame[1]), self.width)
        return slice(start, stop), slice(start - first, stop - first)

    def beyond(self, group: range, device: torch.device) -> Tensor:
        """Return a mask of frame columns beyond the map: bool (strips, 1, frame columns, 1)."""
        columns = STRIP * np.array(group)[:, None] + np.array(self.tile.frame[1]) - self.tile.at[1].start
        return to_device((columns < 0) | (columns >= self.width), device)[:, None, :, None]

    def met_queries(self, query: Tensor) -> Tensor:
        """Return the queries of all strips that the rows of keys meet, zero beyond the map.

        Args:
            query: (h, w, C).

        Returns:
            (strips, h, queries of a key row, C), a view in which rows overlap.
        """
        reach, channels = self.tile.reach or 0, query.shape[2]
        padded = F.pad(query, (0, 0, 0, -self.width % STRIP, reach, reach))
        strips = padded.unflatten(1, (-1, STRIP)).transpose(0, 1).contiguous()
        shape = len(strips), len(query), self.tile.queries, channels
        return strips.as_strided(shape, (strips.stride(0), strips.stride(1), channels, 1))


@functools.lru_cache(maxsize=64)
def tiles(
    height: int, width: int, reach: int | None, references: int, budget: int, slide: bool, large: bool = False
) -> tuple[Tile, ...]:
    """Return tiles of at most `budget` products that cover a (height, width) map, strip after strip.

    A single query that exceeds the budget is a separate tile. With `slide`, a tile is as high as the budget allows;
    otherwise it is at most as high as a strip is wide. With `large`, a tile is as wide as the map if a query meets all
    rows of keys.
    """

    def most_products(rows: int, columns: int) -> int:
        if reach is None:
            return height * width * references * rows * columns
        keys = min(rows + 2 * reach, height) * min(columns + 2 * reach, width)
        return keys * references * (min(rows, 2 * reach + 1) if slide else rows) * columns

    rows, columns = height if slide else min(height, STRIP), min(width, STRIP)
    if large and (reach is None or height <= 2 * reach + 1):
        rows, columns = min(height, max(1, budget // most_products(1, width))), width
    while most_products(rows, columns) > budget and (rows, columns) != (1, 1):
        if rows >= columns:
            rows = math.ceil(rows / 2)
        else:
            columns = math.ceil(columns / 2)
    covering = []
    for across in _split(width, columns):
        for down in _split(height, rows):
            slides = slide and reach is not None and len(down) > 2 * reach + 1
            covering.append(Tile((down, across), (height, width), reach, slides))
    return tuple(covering)


def used_of(maps: Tensor, used: Tensor) -> Tensor:
    """Return the used references of (rows, columns, S, ·), a view if all are used."""
    return maps if len(used) == maps.shape[2] else maps.index_select(2, used)


def windows_of(block: Tensor, size: tuple[int, int]) -> Tensor:
    """View a block (…, frame rows, frame columns, R, queries) as the squares around the queries of a tile.

    Args:
        block: products or weights; frame rows and columns exceed those of the tile by 2 · reach.
        size: rows and columns of the tile.

    Returns:
        (…, rows, columns, R, D, D), D = 2 · reach + 1.
    """
    *outer, row, column, reference, last = block.stride()
    side = block.shape[-4] - size[0] + 1
    shape = *block.shape[:-4], *size, block.shape[-2], side, side
    return block.as_strided(shape, (*outer, row + size[1] * last, column + last, reference, row, column))


def _split(length: int, size: int) -> list[range]:
    """Split a length into consecutive ranges of nearly equal length, at most `size`."""
    count = math.ceil(length / size)
    edges = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]
