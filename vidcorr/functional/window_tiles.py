"""Tiles of a map with windows around them: all tiles have equal shapes and pass through a `bmm`.

Maps are channels last, `(B, h, w, D)`. A window has `TILE + 2 · radius` cells a side, so that a product of a tile's
queries with its window holds the square neighbourhoods of all its queries. Training has gradients through them; the
search of propagation has tiles of many shapes (`propagation.tiles`).
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 8  # cells: wider wastes products, narrower starves the matrix product

Border = Literal["exclude", "zero"]
"""Cells outside the map: left out of the softmax, or a part of it with dot product 0."""


class Part(NamedTuple):
    """Samples of a batch, and rows of their tiles; an index of tensors `(samples, rows, …)`."""

    samples: slice
    rows: slice

    @property
    def size(self) -> tuple[int, int]:
        """Number of samples and of rows."""
        return self.samples.stop - self.samples.start, self.rows.stop - self.rows.start


@dataclasses.dataclass(frozen=True)
class WindowTiles:
    """Tiles over a (height, width) map, with windows of `radius` cells around them.

    Attributes:
        rows: number of tiles down.
        columns: number of tiles across.
        side: cells along a window.
        padded: height and width of a map with all windows, in complete tiles.
    """

    height: int
    width: int
    radius: int

    @property
    def rows(self) -> int:
        return math.ceil(self.height / TILE)

    @property
    def columns(self) -> int:
        return math.ceil(self.width / TILE)

    @property
    def side(self) -> int:
        return TILE + 2 * self.radius

    @property
    def padded(self) -> tuple[int, int]:
        beyond = math.ceil(self.side / TILE) - 1
        return (self.rows + beyond) * TILE, (self.columns + beyond) * TILE

    def parts(self, samples: int, references: int, numbers: int) -> Iterator[Part]:
        """Yield parts of a batch with at most `numbers` products, but at least a row of tiles of a sample."""
        row = self.columns * TILE**2 * self.side**2 * references
        rows = min(max(numbers // row, 1), self.rows)
        together = max(numbers // (row * self.rows), 1)
        for top in range(0, self.rows, rows):
            for first in range(0, samples, together):
                yield Part(slice(first, min(first + together, samples)), slice(top, min(top + rows, self.rows)))

    def queries(self, maps: Tensor) -> Tensor:
        """Cut maps into tiles: `(B, h, w, D)` → `(B, rows, columns, TILE², D)`, zero beyond the map."""
        below, right = self.rows * TILE - self.height, self.columns * TILE - self.width
        tiles = F.pad(maps, (0, 0, 0, right, 0, below)).unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE))
        return tiles.transpose(2, 3).flatten(3, 4)

    def from_queries(self, tiles: Tensor) -> Tensor:
        """Invert `queries`."""
        maps = tiles.unflatten(3, (TILE, TILE)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return maps[:, : self.height, : self.width]

    def pad(self, maps: Tensor) -> Tensor:
        """Pad maps with zeros as far as windows reach: `(B, h, w, D)` → `(B, *padded, D)`."""
        height, width = self.padded
        below, right = height - self.height - self.radius, width - self.width - self.radius
        return F.pad(maps, (0, 0, self.radius, right, self.radius, below))

    def crop(self, maps: Tensor) -> Tensor:
        """Invert `pad`."""
        start = self.radius
        return maps[:, start : start + self.height, start : start + self.width]

    def windows(self, padded: Tensor) -> Tensor:
        """Return the windows of all tiles as a view: `(B, *padded, D)` → `(B, rows, columns, side, side, D)`."""
        reached = padded[:, : self.rows * TILE + 2 * self.radius, : self.columns * TILE + 2 * self.radius]
        return reached.unfold(1, self.side, TILE).unfold(2, self.side, TILE).movedim(3, -1)

    def add_windows(self, padded: Tensor, windows: Tensor, part: Part) -> None:
        """Add windows `(n, side² · R, D)` of a part to a padded map of `R · D` channels, in place; overlaps are summed.

        Windows are cut at the tiles' edges. Pieces at equal positions in their windows do not overlap, so one addition
        adds them all, always in the same order.
        """
        windows = windows.view(*part.size, self.columns, self.side, self.side, padded.shape[-1])
        blocks = padded.unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE))
        for y in range(0, self.side, TILE):
            for x in range(0, self.side, TILE):
                piece = windows[:, :, :, y : y + TILE, x : x + TILE].transpose(2, 3)
                row, column = part.rows.start + y // TILE, x // TILE
                target = blocks[part.samples, row : row + part.size[1]]
                target[:, :, : piece.shape[2], column : column + self.columns, : piece.shape[4]] += piece

    def addresses(self, references: int, device: torch.device) -> Tensor:
        """Return the queries' cells in their window `(side, side, references)`, long `(TILE², references · P²)`."""
        axis, offset = torch.arange(TILE, device=device), torch.arange(2 * self.radius + 1, device=device)
        y = (axis[:, None, None, None, None] + offset[:, None]) * self.side
        x = axis[:, None, None, None] + offset
        reference = torch.arange(references, device=device)[:, None, None]
        return ((y + x) * references + reference).flatten(0, 1).flatten(1)

    def bias(self, rows: slice, references: int, border: Border, like: Tensor) -> Tensor:
        """Return `(r or 1, columns or 1, TILE², side² · references)`: 0 in a query's square, hugely negative outside.

        The value is finite so that queries beyond the map, without any cell, do not become NaN. With border "exclude"
        cells outside the map count as outside the square.
        """
        axis = torch.arange(self.side, device=like.device)
        offset = axis - torch.arange(TILE, device=like.device)[:, None]
        near = (offset >= 0) & (offset <= 2 * self.radius)  # (query, key) along an axis
        kept = (near[:, None, :, None] & near[None, :, None, :])[None, None]
        if border == "exclude":
            y = axis + TILE * torch.arange(rows.start, rows.stop, device=like.device)[:, None] - self.radius
            x = axis + TILE * torch.arange(self.columns, device=like.device)[:, None] - self.radius
            inside = ((y >= 0) & (y < self.height))[:, None, :, None] & ((x >= 0) & (x < self.width))[None, :, None, :]
            kept = kept & inside[:, :, None, None]
        bias = like.new_zeros(kept.shape).masked_fill_(~kept, torch.finfo(like.dtype).min / 2)
        return bias.flatten(4).flatten(2, 3).repeat_interleave(references, dim=-1)
