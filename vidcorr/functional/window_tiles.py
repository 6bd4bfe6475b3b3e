"""Tiles of queries on a map and the halos of keys around them: the geometry of all local attention by torch.

    halo: the keys of all queries of a tile
    ┌───────────────────┐
    │   ↕ reach         │
    │   ┌───────────┐   │
    │ ↔ │ tile:     │ ↔ │
    │   │ queries   │   │
    │   └───────────┘   │
    └───────────────────┘

A `TileGrid` covers a map with equal tiles, padded at the edges: a kernel takes many at once, and gradients pass through
them. Best matches and averages (`propagation.attention`), the reconstruction with gradients (`local_reconstruction`),
and negatives at the same place (`negatives`) use it.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..protocols import LabelProtocol
from .device import slices, to_device

# cells: wider wastes products, narrower starves the matrix product
TILE = 8

Border = Literal["exclude", "zero"]
"""Cells outside the map: left out of the softmax, or a part of it with dot product 0."""


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Key cells within `radius` cells of a query cell; all cells of the map if `radius` is None.

    "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| <= radius and |dx| <= radius.

    Example:
        >>> Neighbourhood(2, "disc").kept.astype(int)
        array([[0, 0, 1, 0, 0],
               [0, 1, 1, 1, 0],
               [1, 1, 1, 1, 1],
               [0, 1, 1, 1, 0],
               [0, 0, 1, 0, 0]])
        >>> Neighbourhood(2).reach, Neighbourhood(2, "disc").reach, Neighbourhood(None).reach
        (1, 2, None)
    """

    radius: float | None
    shape: Literal["circle", "disc", "square"] = "circle"

    @classmethod
    def of(cls, protocol: LabelProtocol, shape: Sequence[int]) -> "Neighbourhood":
        """Return the neighbourhood of a protocol in maps whose shape begins with h and w."""
        return cls(protocol.radius_in_cells((shape[0], shape[1])), protocol.neighbourhood)

    @property
    def reach(self) -> int | None:
        """Largest offset from a query to a key along an axis, in cells; None for all cells of the map."""
        if self.radius is None:
            return None
        if self.shape == "circle":
            return math.ceil(self.radius) - 1
        return math.floor(self.radius)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask (2 · reach + 1, 2 · reach + 1) of the offsets dy, dx that are kept; the radius must not be None."""
        reach: Any = self.reach
        radius: Any = self.radius
        offsets = np.arange(-reach, reach + 1)
        squared = offsets[:, None] ** 2 + offsets**2
        if self.shape == "square":
            return np.full(squared.shape, True)
        if self.shape == "circle":
            return squared < radius**2
        return squared <= radius**2


class Part(NamedTuple):
    """A range of samples of a batch, and a range of their rows of tiles; it indexes tensors `(samples, rows, …)`."""

    samples: slice
    rows: slice


@dataclasses.dataclass(frozen=True)
class TileGrid:
    """Tiles of `TILE` × `TILE` cells that cover a map; maps are channels last, `(B, h, w, D)`, and zero beyond edges.

    Attributes:
        map_size: number of rows and columns of the map.
        neighbourhood: keys of a query, within a radius.
    """

    map_size: tuple[int, int]
    neighbourhood: Neighbourhood

    @property
    def reach(self) -> int:
        """Largest offset from a query to a key along an axis, in cells; 0 for a neighbourhood without a radius."""
        return self.neighbourhood.reach or 0

    @property
    def halo(self) -> int:
        """Number of rows, and of columns, of a halo."""
        return TILE + 2 * self.reach

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tiles down and across."""
        height, width = self.map_size
        return math.ceil(height / TILE), math.ceil(width / TILE)

    def parts(self, samples: int, references: int, numbers: int) -> Iterator[Part]:
        """Yield parts of a batch with at most `numbers` products each, but at least one row of tiles of a sample."""
        down, across = self.shape
        # TILE² queries with halo² keys, a tile
        row_products = across * (TILE * self.halo) ** 2 * references
        rows_at_once = min(max(numbers // row_products, 1), down)
        samples_at_once = max(numbers // (row_products * down), 1)
        for rows in slices(down, rows_at_once):
            for chosen in slices(samples, samples_at_once):
                yield Part(chosen, rows)

    def queries(self, maps: Tensor) -> Tensor:
        """Cut maps into tiles: `(B, h, w, D)` → `(B, rows, columns, queries, D)`, zero beyond the map."""
        # to whole tiles at the right and below
        complete = F.pad(maps, (0, 0, 0, -maps.shape[2] % TILE, 0, -maps.shape[1] % TILE))
        return complete.unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE)).transpose(2, 3).flatten(3, 4)

    def from_queries(self, tiles: Tensor) -> Tensor:
        """Join tiles again: `(B, rows, columns, TILE · TILE, D)` → `(B, h, w, D)`, the inverse of `queries`."""
        maps = tiles.unflatten(3, (TILE, TILE)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return maps[:, : self.map_size[0], : self.map_size[1]]

    def pad(self, maps: Tensor) -> Tensor:
        """Pad maps `(B, h, w, D)` to whole tiles, and with `reach` cells for their halos on all sides, with zeros."""
        right = self.reach + -maps.shape[2] % TILE
        below = self.reach + -maps.shape[1] % TILE
        return F.pad(maps, (0, 0, self.reach, right, self.reach, below))

    def halos(self, padded: Tensor, tiles: slice = slice(None)) -> Tensor:
        """Return the halos of tiles of padded maps, as a view `(B, rows, columns, halo, halo, D)`."""
        first, end, _ = tiles.indices(self.shape[0])
        # with the padding, the halo of tile i begins at cell i · TILE
        rows = padded[:, first * TILE : (end - 1) * TILE + self.halo]
        return rows.unfold(1, self.halo, TILE).unfold(2, self.halo, TILE).movedim(3, -1)

    def from_halos(self, halos: Tensor, tiles: slice) -> Tensor:
        """Add halos into padded maps of zeros: the gradient of `halos`.

        Halos overlap, and a cell gets the sum of all halos that cover it. A halo is cut into blocks of at most
        TILE x TILE cells; the blocks at one place in all halos, TILE apart, do not overlap and are added together.
        """
        height, width = (TILE * number + 2 * self.reach for number in self.shape)
        summed = halos.new_zeros(len(halos), height, width, halos.shape[-1])
        for y in range(0, self.halo, TILE):
            for x in range(0, self.halo, TILE):
                block = halos[:, :, :, y : y + TILE, x : x + TILE]
                cells = summed[:, tiles.start * TILE + y :, x:]
                # a view of these cells, in the shape of `block`
                covered = cells.unfold(1, block.shape[3], TILE).unfold(2, block.shape[4], TILE).movedim(3, -1)
                covered[:, : halos.shape[1], : halos.shape[2]] += block
        return summed

    def extent(self, tile: int, size: int) -> slice:
        """Return the rows (or columns) of a tile's halo that lie on a map of `size`, from the halo's first."""
        first = tile * TILE - self.reach
        return slice(max(-first, 0), min(self.halo, size - first))

    def equal_tiles(self, at_once: int, on_map: bool) -> Iterator[tuple[slice, slice]]:
        """Yield runs of tiles down a column whose halos the map's edge cuts alike, and the rows they keep.

        Example:
            >>> grid = TileGrid((36, 8), Neighbourhood(3, "square"))  # five tiles below each other
            >>> for tiles, rows in grid.equal_tiles(at_once=2, on_map=True):
            ...     print(tiles, rows)
            slice(0, 1, None) slice(3, 14, None)
            slice(1, 3, None) slice(0, 14, None)
            slice(3, 4, None) slice(0, 14, None)
            slice(4, 5, None) slice(0, 7, None)
        """
        height, _ = self.map_size
        whole = slice(0, self.halo)
        first = 0
        while first < self.shape[0]:
            rows = self.extent(first, height) if on_map else whole
            end = first + 1
            while end < min(first + at_once, self.shape[0]) and (not on_map or self.extent(end, height) == rows):
                end += 1
            yield slice(first, end), rows
            first = end

    def band_size(self, columns: int, depth: int) -> int:
        """Return how many numbers `column_halos` needs as `band`."""
        down, _ = self.shape
        return (down * TILE + 2 * self.reach) * (columns * TILE + 2 * self.reach) * depth

    def column_halos(self, keys: Tensor, columns: slice, across: slice, band: Tensor) -> Tensor:
        """Return a view `(rows, columns, halo, across, D)` of the halos of columns of tiles, copied into `band`."""
        height, width, depth = keys.shape
        halo_width = across.stop - across.start
        # the band's first column on the map, maybe before it
        first = columns.start * TILE - self.reach + across.start
        band_width = (columns.stop - columns.start - 1) * TILE + halo_width
        band_height = self.shape[0] * TILE + 2 * self.reach
        # the cells of these halos: all rows of the map, `reach` rows above and below, and a range of columns
        band_map = band[: band_height * band_width * depth].view(band_height, band_width, depth)
        # columns `left` to `right` of the band lie on the map
        left = max(first, 0)
        right = min(first + band_width, width)
        band_map[self.reach : self.reach + height, left - first : right - first] = keys[:, left:right]
        return band_map.unfold(0, self.halo, TILE).unfold(1, halo_width, TILE).movedim(2, -1)

    def on_map(self, axis: int) -> NDArray[np.bool_]:
        """Return a mask (tiles, cells): which rows (axis 0) or columns (1) of each tile's halo lie on the map."""
        first = np.arange(self.shape[axis])[:, None] * TILE - self.reach
        cells = first + np.arange(self.halo)
        return (cells >= 0) & (cells < self.map_size[axis])

    @functools.cached_property
    def windows(self) -> NDArray[np.int64]:
        """Indices (queries, cells) of the cells in a flat halo that each query of a tile has in its neighbourhood.

        Example:
            >>> grid = TileGrid((8, 8), Neighbourhood(1, "square"))  # a tile of 8 x 8 queries, a halo of 10 x 10 keys
            >>> grid.windows[0], grid.windows[1]
            (array([ 0,  1,  2, 10, 11, 12, 20, 21, 22]), array([ 1,  2,  3, 11, 12, 13, 21, 22, 23]))
        """
        tile = np.arange(TILE)
        # upper left cell of each query's square, as a flat index
        corner = tile[:, None] * self.halo + tile
        kept = self.neighbourhood.kept
        side = np.arange(len(kept))
        square = side[:, None] * self.halo + side
        return corner.reshape(-1, 1) + square[kept]

    def windows_in(self, references: int) -> NDArray[np.int64]:
        """Return indices like `windows` in a flat halo of R references: cell c of reference r has index c · R + r."""
        indices = self.windows[:, None] * references + np.arange(references)[:, None]
        return indices.reshape(len(indices), -1)

    @property
    def near(self) -> NDArray[np.bool_]:
        """Mask (queries of a tile, halo cells): which cells of a halo are in the neighbourhood of each query."""
        near = np.zeros((TILE**2, self.halo**2), bool)
        np.put_along_axis(near, self.windows, True, 1)
        return near

    def bias(self, rows: slice, references: int, border: Border, like: Tensor) -> Tensor:
        """Return the summand that masks dot products: 0 in a query's neighbourhood, hugely negative outside.

        It is finite, so that queries beyond the map, which have no cell in their neighbourhood, do not become NaN. Its
        shape is `(r, columns, queries, halo cells · references)`; r and columns are 1 with border "zero".
        """
        near = to_device(self.near, like.device)
        # (r, columns, queries, halo rows, halo columns), with 1 row and 1 column until cells off the map are left out
        kept = near.unflatten(1, (self.halo, self.halo))[None, None]
        if border == "exclude":
            down = to_device(self.on_map(0), like.device)
            across = to_device(self.on_map(1), like.device)
            on_map = down[rows, None, None, :, None] & across[None, :, None, None, :]
            kept = kept & on_map
        # half: the sum with a negative product is finite too
        hugely_negative = torch.finfo(like.dtype).min / 2
        bias = like.new_zeros(kept.shape).masked_fill_(~kept, hugely_negative)
        return bias.flatten(3).repeat_interleave(references, dim=-1)


def used_by(maps: Tensor, used: Tensor) -> Tensor:
    """Return the maps (h, w, U, ·) of the used references, ascending, among maps (h, w, S, ·)."""
    if len(used) == maps.shape[2]:
        return maps
    return maps.index_select(2, used)
