"""Tiles of queries on a map and the halos of keys around them: the geometry of all local attention by torch.

    halo: the keys of all queries of a tile         strip: a tile as high as the map (`propagation.strips`)
    ┌───────────────────┐
    │   ↕ reach         │                           key row 0      q-1… q00 q01 …
    │   ┌───────────┐   │                           key row 1      q00 q01 … q10 q11 …
    │ ↔ │ tile:     │ ↔ │                           …
    │   │ queries   │   │                           last key row   … qn0 qn1 …
    │   └───────────┘   │                           a row of keys meets the query rows within reach
    └───────────────────┘

A `TileGrid` covers a map with equal tiles, padded at the edges: a kernel takes many at once, and gradients pass through
them. Three reductions use it: the best matches (`propagation.strips`), the average (`propagation.attention`), and the
reconstruction with gradients (`local_reconstruction`).
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
from .device import to_device

TILE = 8  # cells: wider wastes products, narrower starves the matrix product

Border = Literal["exclude", "zero"]
"""Cells outside the map: left out of the softmax, or a part of it with dot product 0."""


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Key cells within `radius` of a query cell; all cells if `radius` is None.

    "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| <= radius and |dx| <= radius.
    """

    radius: float | None
    shape: Literal["circle", "disc", "square"] = "circle"

    @classmethod
    def of(cls, protocol: LabelProtocol, shape: Sequence[int]) -> "Neighbourhood":
        """Return the neighbourhood of a protocol in cells of a feature map, whose `shape` begins with h and w."""
        return cls(protocol.radius_in_cells((shape[0], shape[1])), protocol.neighbourhood)

    @property
    def reach(self) -> int | None:
        """Largest offset along an axis."""
        if self.radius is None:
            return None
        if self.shape == "circle":
            return math.ceil(self.radius) - 1
        return math.floor(self.radius)

    def contains(self, dy: Any, dx: Any) -> Any:
        """Return which offsets are kept; arrays or tensors that broadcast."""
        radius = math.inf if self.radius is None else self.radius
        if self.shape == "square":
            return (abs(dy) <= radius) & (abs(dx) <= radius)
        squared = dy**2 + dx**2
        if self.shape == "circle":
            return squared < radius**2
        return squared <= radius**2

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the offsets dy, dx that are kept, (2 · reach + 1, 2 · reach + 1)."""
        reach: Any = self.reach
        axis = np.arange(-reach, reach + 1)
        return self.contains(axis[:, None], axis)


class Part(NamedTuple):
    """Samples of a batch, and rows of their tiles; an index of tensors `(samples, rows, …)`."""

    samples: slice
    rows: slice

    @property
    def size(self) -> tuple[int, int]:
        """Number of samples and of rows."""
        return self.samples.stop - self.samples.start, self.rows.stop - self.rows.start


@dataclasses.dataclass(frozen=True)
class TileGrid:
    """Equal tiles that cover a map; maps are channels last, `(B, h, w, D)`, and zero beyond their edges.

    Attributes:
        map_size: number of rows and columns of the map.
        neighbourhood: keys of a query, within a radius.
        tile_size: number of rows and columns of a tile.
    """

    map_size: tuple[int, int]
    neighbourhood: Neighbourhood
    tile_size: tuple[int, int] = (TILE, TILE)

    @property
    def reach(self) -> int:
        """Largest offset from a query to a key along an axis."""
        return self.neighbourhood.reach or 0

    @property
    def halo_size(self) -> tuple[int, int]:
        """Number of rows and columns of a halo."""
        return self.tile_size[0] + 2 * self.reach, self.tile_size[1] + 2 * self.reach

    @property
    def products(self) -> int:
        """Number of products of a tile with its halo in one reference."""
        return math.prod(self.tile_size) * math.prod(self.halo_size)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tiles down and across."""
        height, width = self.map_size
        rows, columns = self.tile_size
        return math.ceil(height / rows), math.ceil(width / columns)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of a map with all halos, in complete tiles."""
        lengths = []
        for count, side, halo in zip(self.shape, self.tile_size, self.halo_size, strict=True):
            tiles_of_halo = math.ceil(halo / side)  # the last halo begins at the last of `count` tiles
            lengths.append((count - 1 + tiles_of_halo) * side)
        return lengths[0], lengths[1]

    def parts(self, samples: int, references: int, numbers: int) -> Iterator[Part]:
        """Yield parts of a batch with at most `numbers` products, but at least a row of tiles of a sample."""
        down, across = self.shape
        products_of_row = across * self.products * references
        rows_at_once = min(max(numbers // products_of_row, 1), down)
        samples_at_once = max(numbers // (products_of_row * down), 1)
        for top in range(0, down, rows_at_once):
            of_rows = slice(top, min(top + rows_at_once, down))
            for first in range(0, samples, samples_at_once):
                of_samples = slice(first, min(first + samples_at_once, samples))
                yield Part(of_samples, of_rows)

    def queries(self, maps: Tensor) -> Tensor:
        """Cut maps into tiles: `(B, h, w, D)` → `(B, rows, columns, queries, D)`, zero beyond the map."""
        below, right = self._beyond_map
        tiles = self._cut(F.pad(maps, (0, 0, 0, right, 0, below)))
        return tiles.transpose(2, 3).flatten(3, 4)

    def from_queries(self, tiles: Tensor) -> Tensor:
        """Invert `queries`."""
        maps = tiles.unflatten(3, self.tile_size).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return maps[:, : self.map_size[0], : self.map_size[1]]

    def pad(self, maps: Tensor) -> Tensor:
        """Pad maps with zeros as far as halos reach: `(B, h, w, D)` → `(B, *padded, D)`."""
        below = self.padded[0] - self.map_size[0] - self.reach
        right = self.padded[1] - self.map_size[1] - self.reach
        return F.pad(maps, (0, 0, self.reach, right, self.reach, below))

    def crop(self, maps: Tensor) -> Tensor:
        """Invert `pad`."""
        height, width = self.map_size
        return maps[:, self.reach : self.reach + height, self.reach : self.reach + width]

    def halos(self, padded: Tensor) -> Tensor:
        """Return the halos of all tiles as a view: `(B, *padded, D)` → `(B, rows, columns, *halo, D)`."""
        below, right = self._beyond_map
        # up to the end of the last halo, since `padded` may be longer
        rows = slice(self.map_size[0] + below + 2 * self.reach)
        columns = slice(self.map_size[1] + right + 2 * self.reach)
        height, width = self.halo_size
        down, across = self.tile_size
        return padded[:, rows, columns].unfold(1, height, down).unfold(2, width, across).movedim(3, -1)

    def add_halos(self, padded: Tensor, halos: Tensor, part: Part) -> None:
        """Add halos `(n, halo cells · R, D)` of a part to a padded map of `R · D` channels, in place.

        Overlaps are summed. Halos are cut at the tiles' edges. Pieces at equal positions in their halos do not
        overlap, so one addition adds them all, always in the same order.
        """
        rows, columns = self.tile_size
        height, width = self.halo_size
        across = self.shape[1]
        halos = halos.view(*part.size, across, height, width, padded.shape[-1])
        blocks = self._cut(padded)
        for y in range(0, height, rows):
            for x in range(0, width, columns):
                piece = halos[:, :, :, y : y + rows, x : x + columns].transpose(2, 3)
                row = part.rows.start + y // rows
                column = x // columns
                target = blocks[part.samples, row : row + part.size[1]]
                target[:, :, : piece.shape[2], column : column + across, : piece.shape[4]] += piece

    def on_map(self, axis: int) -> NDArray[np.bool_]:
        """Return which rows (axis 0) or columns (axis 1) of the halos lie on the map, (tiles, cells)."""
        first = np.arange(self.shape[axis])[:, None] * self.tile_size[axis] - self.reach
        cells = first + np.arange(self.halo_size[axis])
        return (cells >= 0) & (cells < self.map_size[axis])

    @functools.cached_property
    def windows(self) -> NDArray[np.int64]:
        """Cells of the flat halo that are in the neighbourhood of each query of a tile, (queries, cells)."""
        rows, columns = self.tile_size
        width = self.halo_size[1]
        corner = np.arange(rows)[:, None] * width + np.arange(columns)  # upper left cell of each query's square
        kept = self.neighbourhood.kept
        side = np.arange(len(kept))
        square = side[:, None] * width + side
        return corner.reshape(-1, 1) + square[kept]

    def windows_in(self, references: int) -> NDArray[np.int64]:
        """Return the `windows` in a flat (halo cells, references), reference by reference: (queries, R · cells)."""
        of_references = self.windows[:, None] * references + np.arange(references)[:, None]
        return of_references.reshape(len(of_references), -1)

    @property
    def near(self) -> NDArray[np.bool_]:
        """Mask of the halo's cells in the neighbourhood of each query, (queries of the tile, halo cells)."""
        near = np.zeros((math.prod(self.tile_size), math.prod(self.halo_size)), bool)
        np.put_along_axis(near, self.windows, True, 1)
        return near

    def squares(self, block: Tensor) -> Tensor:
        """View products (…, halo rows, halo columns, R, queries) as the squares around the queries.

        Returns:
            (…, rows, columns, R, D, D), D = 2 · reach + 1.
        """
        *outer_steps, row_step, column_step, reference_step, query_step = block.stride()
        # the square of the next query begins one column further, that of the query below one row further
        down = row_step + self.tile_size[1] * query_step
        right = column_step + query_step
        side = 2 * self.reach + 1
        shape = *block.shape[:-4], *self.tile_size, block.shape[-2], side, side
        strides = *outer_steps, down, right, reference_step, row_step, column_step
        return block.as_strided(shape, strides)

    def bias(self, rows: slice, references: int, border: Border, like: Tensor) -> Tensor:
        """Return 0 in a neighbourhood and a very large negative value outside, for products of some rows of tiles.

        The value is finite so that queries beyond the map, without any cell, do not become NaN. With border "exclude"
        cells outside the map count as outside the neighbourhood.

        Returns:
            `(r, columns, queries, halo cells · references)`; r and columns are 1 with border "zero".
        """
        near = to_device(self.near, like.device)
        kept = near.unflatten(1, self.halo_size)[None, None]  # (r, columns, queries, halo rows, halo columns)
        if border == "exclude":
            down = to_device(self.on_map(0), like.device)
            across = to_device(self.on_map(1), like.device)
            on_map = down[rows, None, None, :, None] & across[None, :, None, None, :]
            kept = kept & on_map
        hugely_negative = torch.finfo(like.dtype).min / 2  # half: the sum with a negative product is finite too
        bias = like.new_zeros(kept.shape).masked_fill_(~kept, hugely_negative)
        return bias.flatten(3).repeat_interleave(references, dim=-1)

    def _cut(self, maps: Tensor) -> Tensor:
        """View maps of complete tiles by tile: `(B, h, w, D)` → `(B, down, rows, across, columns, D)`."""
        rows, columns = self.tile_size
        return maps.unflatten(2, (-1, columns)).unflatten(1, (-1, rows))

    @property
    def _beyond_map(self) -> tuple[int, int]:
        """Rows and columns that the last tiles have beyond the map."""
        height, width = self.map_size
        rows, columns = self.tile_size
        return -height % rows, -width % columns


def used_of(maps: Tensor, used: Tensor) -> Tensor:
    """Return the used references of (rows, columns, S, ·), a view if all are used."""
    if len(used) == maps.shape[2]:
        return maps
    return maps.index_select(2, used)
