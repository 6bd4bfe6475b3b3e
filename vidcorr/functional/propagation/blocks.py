"""Blocks of products: dot products of a tile's keys with the queries that they meet, and the best matches in them."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..device import to_device
from ..dot_products import dot_products, onednn_pays, onednn_serves
from ..window_tiles import TILE, Neighbourhood, Tile

FoundMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `LocalAttention.best_matches` returns them."""


class WantedKeys(NamedTuple):
    """Slots of the searched references, and the number of matches to find.

    Attributes:
        used: the different slots, in order.
        listed: the slots as listed, repetitions included.
        places: index in `used` of every listed slot.
        topk: number of matches.
    """

    used: Tensor
    listed: Tensor
    places: Tensor
    topk: int

    @classmethod
    def of(cls, references: Sequence[int], topk: int, device: torch.device) -> "WantedKeys":
        """Return the slots on a device."""
        used = sorted(set(references))
        places = [used.index(slot) for slot in references]
        return cls(to_device(used, device), to_device(references, device), to_device(places, device), topk)


class BestCells(NamedTuple):
    """The best cells of queries, k each: tensors (…, queries of the tile, k).

    Attributes:
        maxima: largest product over the references; −inf if the neighbourhood has fewer cells.
        cell: index of the cell in the tile's halo.
        column: index of the query on the last axis of the block's products in the cell's row.
    """

    maxima: Tensor
    cell: Tensor
    column: Tensor


class Block(NamedTuple):
    """Products of a tile's keys with the queries that their row meets, or of a group of strips.

    Attributes:
        tile: the tile, or the strip that stands for a group.
        products: (key rows, key columns, R, queries of a key row); of a group (strips, key rows, …).
        maxima: largest products over the references, flat over (halo rows, halo columns, queries of a key row), −inf
            off the map and in a last number more; of a group (strips, …) without the last number.
        strips: indices of the strips; None for a tile.
    """

    tile: Tile
    products: Tensor
    maxima: Tensor
    strips: range | None = None

    def best_matches(self, addresses: Tensor | None, wanted: WantedKeys, keys: Tensor) -> FoundMatches:
        """Return the top-k products of the queries, and the indices of their keys on the map.

        All top-k products lie at the top-k cells by the maximum over the references, so only products at these cells
        are compared.

        Args:
            addresses: addresses of the queries' neighbourhoods in the maxima, (queries of the tile, n); None if the
                neighbourhoods contain all keys.
            wanted: the references, and the number of matches.
            keys: (h, w, S, C), of which only the shape is used.

        Returns:
            (…, queries of the tile, k), in the form of `LocalAttention.best_matches`.
        """
        best = self._best_cells(addresses, wanted.topk)
        is_outside = best.maxima == -torch.inf
        first = self._first_products(best, len(wanted.used)).masked_fill_(is_outside, 0)
        # (…, queries, cells, listed references): products with neighbouring references are `queries` numbers apart
        candidates = first[..., None] + wanted.places * self.tile.queries
        products = self.products.view(-1).index_select(0, candidates.view(-1)).view(candidates.shape)
        products.masked_fill_(is_outside[..., None], -torch.inf)
        top, choice = _largest(products.flatten(-2), wanted.topk)  # indices into cells by listed references
        cell = choice // len(wanted.listed)
        slot = wanted.listed[choice % len(wanted.listed)]
        y, x = self._places(best.cell)
        y = y.gather(-1, cell)
        x = x.gather(-1, cell)
        width, slots = keys.shape[1:3]
        match = (y * width + x) * slots + slot
        return top, match.masked_fill_(top == -torch.inf, 0)

    def _best_cells(self, addresses: Tensor | None, topk: int) -> BestCells:
        """Return the top-k cells of all queries by the maximum over the references.

        Args:
            addresses: places in `maxima` of each query's neighbourhood, (queries, n); None: all cells of the map.
            topk: number of cells.
        """
        queries = self.tile.queries
        if addresses is None:
            of_queries = self.maxima[:-1].view(-1, queries).T.contiguous()
            top, cell = _largest(of_queries, topk)
            column = torch.arange(queries, device=cell.device)[:, None].expand_as(cell)
            return BestCells(top, cell, column)
        maxima = self.maxima.index_select(-1, addresses.view(-1))
        scores = maxima.view(*self.maxima.shape[:-1], *addresses.shape)
        top, choice = _largest(scores, topk)
        address = addresses.expand(scores.shape).gather(-1, choice)
        return BestCells(top, address // queries, address % queries)

    def _first_products(self, best: BestCells, references: int) -> Tensor:
        """Return the addresses of the best cells' products with the first reference in the flat products."""
        halo_columns = self.tile.halo[1]
        key_rows, key_columns = self.tile.keys
        y = best.cell // len(halo_columns) + self.tile.halo[0].start
        x = best.cell % len(halo_columns) + halo_columns.start
        key = (y - key_rows.start) * len(key_columns) + x - key_columns.start
        first = key * references * self.tile.queries + best.column
        if self.strips is not None:
            first += self._strip_index(best.cell) * self.products[0].numel()
        return first

    def _places(self, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows and columns on the map of cells of the halo."""
        rows, columns = self.tile.halo
        y = cell // len(columns) + rows.start
        x = cell % len(columns) + columns.start
        if self.strips is not None:
            width = self.tile.size[1]
            offset = self.strips.start * width - self.tile.at[1].start
            x = x + self._strip_index(cell) * width + offset
        return y, x

    def _strip_index(self, like: Tensor) -> Tensor:
        """Return the index of each strip within the group, (strips, 1, 1)."""
        return torch.arange(len(self.products), device=like.device).view(-1, 1, 1)


def tile_products(tile: Tile, query: Tensor, keys: Tensor, buffer: Tensor, best: Tensor) -> Tensor:
    """Return the dot products of all keys with the queries that their row meets.

    Args:
        tile: position of queries and keys.
        query: (h, w, C), of the whole map.
        keys: (key rows, key columns, R, C), of the tile; dense from the third axis on, and along a row.
        buffer: flat buffer for the products of a sliding tile.
        best: (key rows, key columns, queries), receives the maxima over the references for the queries met.

    Returns:
        (key rows, key columns, R, queries of a key row), undefined for queries beyond a row's reach.
    """
    rows, columns, references, _ = keys.shape
    shape = (rows, columns, references, tile.queries)
    queries = query[tile.query_slices].contiguous()
    if not tile.slides:
        block = key_products(keys.flatten(0, 2), queries.flatten(0, 1)).view(shape)
        torch.amax(block, 2, out=best)
        return block
    block = buffer[: math.prod(shape)].view(shape)
    if not onednn_serves(keys):  # a single product instead of a product per row of keys
        met = tile.met(queries.flatten(0, 1))
        torch.bmm(keys.flatten(1, 2), met, out=block.flatten(1, 2))
        torch.amax(block, 2, out=best)
        return block
    # by rows on a CPU: the digits of `dino` rest on these products, as the native kernel keeps no ties
    for i, (rows_met, start) in enumerate(tile.rows_met()):
        met = queries[rows_met].flatten(0, 1)
        products = key_products(keys[i].flatten(0, 1), met).view(columns, references, -1)
        stop = start + products.shape[2]
        block[i, :, :, start:stop] = products
        best[i, :, start:stop] = products.amax(1)
    return block


def key_products(keys: Tensor, queries: Tensor) -> Tensor:
    """Return products of rows, contiguous: (n, C), (m, C) → (n, m)."""
    if onednn_pays(queries, keys):
        return dot_products(queries, keys).mT.contiguous()
    return keys @ queries.T


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (…, n), both (…, min(k, n)), in no order."""
    top, index = scores.topk(min(topk, scores.shape[-1]), sorted=False)
    return top, index


@functools.lru_cache(maxsize=64)
def tiles(
    map_size: tuple[int, int], neighbourhood: Neighbourhood, references: int, budget: int, slide: bool, large: bool
) -> tuple[Tile, ...]:
    """Return tiles of at most `budget` products that cover a map, strip after strip.

    A single query that exceeds the budget is a separate tile. With `slide`, a tile is as high as the budget allows;
    otherwise it is at most as high as a strip is wide. With `large`, a tile is as wide as the map if a query meets all
    rows of keys.
    """
    height, width = map_size
    reach = neighbourhood.reach

    def most_products(rows: int, columns: int) -> int:
        if reach is None:
            return height * width * references * rows * columns
        key_rows = min(rows + 2 * reach, height)
        key_columns = min(columns + 2 * reach, width)
        query_rows = min(rows, 2 * reach + 1) if slide else rows
        return key_rows * key_columns * references * query_rows * columns

    rows = height if slide else min(height, TILE)
    columns = min(width, TILE)
    if large and (reach is None or height <= 2 * reach + 1):
        rows = min(height, max(1, budget // most_products(1, width)))
        columns = width
    while most_products(rows, columns) > budget and (rows, columns) != (1, 1):
        if rows >= columns:
            rows = math.ceil(rows / 2)
        else:
            columns = math.ceil(columns / 2)
    plan: list[Tile] = []
    for across in _split(width, columns):
        for down in _split(height, rows):
            slides = slide and reach is not None and len(down) > 2 * reach + 1
            plan.append(Tile((down, across), map_size, neighbourhood, slides))
    return tuple(plan)


def _split(length: int, size: int) -> list[range]:
    """Split a length into consecutive ranges of nearly equal length, at most `size`."""
    count = math.ceil(length / size)
    edges = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]
