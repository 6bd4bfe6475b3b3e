"""Square tiles of queries, and the windows of reference cells that they see, for a whole batch.

Maps are channels last, `(B, h, w, D)`. A tile's queries all attend to one window of `TILE + 2 · radius` cells a side,
so that attention to a neighbourhood is one matrix product per tile, from which each query keeps its own square.

Propagation has separate tiles (`propagation.tiles`). Training takes batches, all tiles of which have one shape and
pass through one `bmm`, and needs the gradient: most of this file (`add_windows`, `bias`, `parts`, the zero padding)
serves batches and the backward pass. Propagation takes one map at a time without gradient, needs no padding, slides
tall tiles along strips of columns so that a row of keys meets only the queries near it, and selects the top-k. Forward,
at Liir's training size (64 × 64 cells, 64 channels, radius 6), propagation's tiles take 0.71 of the time of these with
three references and 0.90 with one (`OMP_NUM_THREADS=1 python tests/speed/local_attention.py --forward`, and with
`--references 1 --batch 6`; a busy CPU, best of 5), but they have no backward pass, which would need these tiles.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 8  # cells: wider wastes products, narrower starves the matrix product

Border = Literal["exclude", "zero"]
Part = tuple[slice, slice]
"""Samples, and rows of tiles."""


@dataclasses.dataclass(frozen=True)
class WindowTiles:
    """Tiles over a (height, width) map, each with the window of `radius` cells around it.

    Attributes:
        rows: number of tiles down.
        columns: number of tiles across.
        side: cells along a window.
        padded: height and width of a map with all of its windows, in complete tiles.
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
        """Yield parts of a batch with at most `numbers` products each, and at least one row of tiles of one sample."""
        row = self.columns * TILE**2 * self.side**2 * references
        rows = min(max(numbers // row, 1), self.rows)
        together = max(numbers // (row * self.rows), 1)
        for top in range(0, self.rows, rows):
            for first in range(0, samples, together):
                yield slice(first, min(first + together, samples)), slice(top, min(top + rows, self.rows))

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
        """Add windows `(b, r, columns, side, side, D)` of a part to a padded map, in place; overlaps are summed.

        Windows are cut at the tiles' edges. Pieces from the same place of their windows do not overlap, so they are
        added together, always in the same order.
        """
        blocks = padded.unflatten(2, (-1, TILE)).unflatten(1, (-1, TILE))
        samples, rows = part
        for y in range(0, self.side, TILE):
            for x in range(0, self.side, TILE):
                piece = windows[:, :, :, y : y + TILE, x : x + TILE].transpose(2, 3)
                row, column = y // TILE, x // TILE
                target = blocks[samples, rows.start + row : rows.stop + row]
                target[:, :, : piece.shape[2], column : column + self.columns, : piece.shape[4]] += piece

    def addresses(self, references: int, device: torch.device) -> Tensor:
        """Return each query's cells in its window `(side, side, references)`, long `(TILE², references · P²)`."""
        axis, offset = torch.arange(TILE, device=device), torch.arange(2 * self.radius + 1, device=device)
        y = (axis[:, None, None, None, None] + offset[:, None]) * self.side
        x = axis[:, None, None, None] + offset
        reference = torch.arange(references, device=device)[:, None, None]
        return ((y + x) * references + reference).flatten(0, 1).flatten(1)

    def bias(self, rows: slice, references: int, border: Border, like: Tensor) -> Tensor:
        """Return `(r or 1, columns or 1, TILE², side² · references)`: 0 in a query's square, a huge negative elsewhere.

        The value is finite so that queries beyond the map, which may see no cell, do not become NaN. With border
        "exclude" cells outside the map count as outside the square.
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


def channels_last(maps: Tensor) -> Tensor:
    """Move channels last: `(B, R, D, h, w)` → `(B, h, w, R · D)`."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3)


def check_features(query: Tensor, references: Tensor, radius: int, border: str) -> None:
    """Check that features fit each other and that radius and border are valid.

    Raises:
        ValueError: if not.
    """
    wanted = (len(query), references.shape[1], *query.shape[1:]) if query.ndim == 4 and references.ndim == 5 else None
    if references.shape != wanted or not query.is_floating_point():
        raise ValueError(
            "expected float features, query (B, C, h, w) and references (B, R, C, h, w), "
            f"got {query.dtype} {tuple(query.shape)} and {tuple(references.shape)}"
        )
    if radius < 0:
        raise ValueError(f"radius must be 0 or more cells, got {radius}")
    if border not in ("exclude", "zero"):
        raise ValueError(f"border must be exclude or zero, got {border!r}")
