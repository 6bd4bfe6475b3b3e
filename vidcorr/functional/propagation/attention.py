"""The best matches of a map's cells in a neighbourhood of several reference maps, without the dense matrix.

Queries are processed in tiles: a strip of columns, and as many rows as the workspace holds. A row of keys is multiplied
only with the query rows within reach, in one matrix product over all references (keys are stored as (h, w, S, C)). The
products of a tile form a block (key rows, key columns, references, queries of a key row). The neighbourhood of a query
is the query's address in the block plus a fixed list of offsets.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import dot_products, onednn_pays, onednn_serves, to_device
from .tiles import Neighbourhood, Strips, Tile, tiles, used_of

WORKSPACE = 64 * 2**20  # bytes of a tile's products, which stay in a CPU's cache
LARGEST_WORKSPACE = 2**30
SHARE_OF_MEMORY = 32  # a GPU of 32 GiB or more gives the largest workspace

FoundMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `LocalAttention.best_matches` returns them."""


class WantedKeys(NamedTuple):
    """Slots of the searched references, and the number of matches to find.

    Attributes:
        used: the different slots, in order.
        listed: the slots as listed, repetitions included.
        copies: position in `used` of every listed slot.
        topk: number of matches.
    """

    used: Tensor
    listed: Tensor
    copies: Tensor
    topk: int

    @classmethod
    def of(cls, references: Sequence[int], topk: int, device: torch.device) -> "WantedKeys":
        """Return the slots on a device."""
        used = sorted(set(references))
        copies = [used.index(slot) for slot in references]
        return cls(to_device(used, device), to_device(references, device), to_device(copies, device), topk)


class LocalAttention:
    """Search for the best matches in the neighbourhood of all cells, for maps of equal size.

    Args:
        neighbourhood: neighbourhood of a query cell.
    """

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self.neighbourhood = neighbourhood
        self._addresses: dict[tuple[object, ...], Tensor] = {}

    def best_matches(self, query: Tensor, keys: Tensor, references: Sequence[int], topk: int) -> FoundMatches:
        """Return the largest dot products of all queries over their neighbourhoods in all references, exactly.

        Three steps: the maximum over the references at every cell; the top-k cells by this maximum; the top-k products
        at these cells. Every product of the top-k lies at one of these cells, so the search misses none.

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            references: indices into S; a repeated index counts twice.
            topk: matches to keep; fewer if cells and references are fewer.

        Returns:
            (h, w, k) products in no order, −inf beyond the neighbourhood's cells on the map; and their indices, long
            (h, w, k): (y · w + x) · S + s.
        """
        wanted = WantedKeys.of(references, topk, keys.device)
        used, budget = len(wanted.used), workspace_of(keys.device) // keys.element_size()
        if not few_kernels(keys):
            return self._by_tiles(query, keys, wanted, budget)
        candidates = topk * len(references)
        strips = Strips.of(self.neighbourhood, (keys.shape[0], keys.shape[1]), used, candidates, budget)
        if strips is not None:
            return self._by_strips(strips, query, keys, wanted)
        # room for the maxima and their copy, and for the addresses, which take twice the bytes
        beside_products = 2 if self.neighbourhood.reach is None else 5
        return self._by_tiles(query, keys, wanted, budget * used // (used + beside_products))

    def _by_tiles(self, query: Tensor, keys: Tensor, wanted: WantedKeys, budget: int) -> FoundMatches:
        """Find the matches of `best_matches` tile by tile, each of at most `budget` products."""
        (height, width), reach, used = keys.shape[:2], self.neighbourhood.reach, len(wanted.used)
        plan = tiles(height, width, reach, used, budget, slide=True, large=few_kernels(keys))
        buffer = keys.new_empty(max((tile.products for tile in plan if tile.slides), default=0) * used)
        matches = []
        for tile in plan:
            frame = tile.frame_size
            # padding addresses point at the last number
            maxima = keys.new_full((math.prod(frame) * tile.queries + 1,), -torch.inf)
            maxima_on_map = maxima[:-1].view(*frame, tile.queries)[tile.inner]
            block = _products(tile, query, tile.keys_of(keys, wanted.used), buffer, maxima_on_map)
            addresses = None if reach is None else self._addresses_of(tile, wanted.topk, keys)
            matches.append(_best_of_block(tile, block, maxima, addresses, wanted, keys))
        values = query.new_empty(height, width, matches[0][0].shape[1])
        indices = wanted.listed.new_empty(values.shape)
        for tile, best in zip(plan, matches, strict=True):
            for result, of_tile in zip((values, indices), best, strict=True):
                result[tile.query_slices] = of_tile.view(*tile.size, -1)
        return values, indices

    def _by_strips(self, strips: Strips, query: Tensor, keys: Tensor, wanted: WantedKeys) -> FoundMatches:
        """Find the matches of `best_matches` with as few kernels as memory allows: strips of full height, in groups.

        The products take one kernel per strip; all other kernels process a whole group.
        """
        height, width = keys.shape[:2]
        tile, used = strips.tile, len(wanted.used)
        addresses = self._addresses_of(tile, wanted.topk, keys)
        met = strips.met_queries(query)
        matches = []
        for group in strips.groups:
            block = keys.new_empty(len(group), height, len(tile.keys[1]), used, tile.queries)
            for products, index in zip(block, group, strict=True):
                of_map, on_map = strips.columns(index)
                part = used_of(keys[:, of_map], wanted.used)
                torch.bmm(part.flatten(1, 2), met[index].mT, out=products[:, on_map].flatten(1, 2))
            maxima = keys.new_full((len(group), *tile.frame_size, tile.queries), -torch.inf)
            torch.amax(block, 3, out=maxima[:, tile.inner[0]])
            maxima.masked_fill_(strips.beyond(group, keys.device), -torch.inf)
            matches.append(_best_of_block(tile, block, maxima.flatten(1), addresses, wanted, keys, group))
        values, indices = (
            torch.cat(parts).unflatten(1, tile.size).transpose(0, 1).flatten(1, 2)[:, :width]
            for parts in zip(*matches, strict=True)
        )
        return values, indices

    def _addresses_of(self, tile: Tile, topk: int, keys: Tensor) -> Tensor:
        """Return the addresses of a tile's queries in the maxima, (queries, n); tiles of equal size share them.

        On a CPU they are padded with the last address: with at least 64 · topk values torch sorts partially, in half
        the time.
        """
        shape = tile.size, topk
        if shape not in self._addresses:
            addresses = tile.addresses(self.neighbourhood, keys.device)
            missing = 64 * topk - addresses.shape[1]
            if not few_kernels(keys) and topk < addresses.shape[1] and missing > 0:
                addresses = F.pad(addresses, (0, missing), value=math.prod(tile.frame_size) * tile.queries)
            self._addresses[shape] = addresses
        return self._addresses[shape]


def workspace_of(device: torch.device) -> int:
    """Return the bytes of intermediate products on a device: 64 MiB on a CPU, 1/32 of a GPU's memory up to 1 GiB."""
    if device.type != "cuda":
        return WORKSPACE
    memory: int = torch.cuda.get_device_properties(device).total_memory
    return max(WORKSPACE, min(LARGEST_WORKSPACE, memory // SHARE_OF_MEMORY))


def few_kernels(keys: Tensor) -> bool:
    """Return whether the number of kernels matters more than a cache: on any device but a CPU."""
    return keys.device.type != "cpu"


def _best_of_block(
    tile: Tile,
    block: Tensor,
    maxima: Tensor,
    addresses: Tensor | None,
    wanted: WantedKeys,
    keys: Tensor,
    strips: range | None = None,
) -> FoundMatches:
    """Return the top-k products of a tile's queries, and the indices of their keys on the map.

    Args:
        tile: a tile, or the strip that stands for a group.
        block: products, see `_products`, or those of a group of strips.
        maxima: largest products over the references, see `_best_cells`.
        addresses: see `LocalAttention._addresses_of`; None if the neighbourhoods contain all keys.
        wanted: the references.
        keys: (h, w, S, C).
        strips: indices of the strips in the block.

    Returns:
        (…, queries of the tile, k), see `LocalAttention.best_matches`.
    """
    top, cell, lane = _best_cells(maxima, addresses, tile.queries, wanted.topk)
    outside = top == -torch.inf
    y, x, first = _places(tile, cell, lane, len(wanted.used))
    first.masked_fill_(outside, 0)
    if strips is not None:
        index = torch.arange(len(strips), device=keys.device).view(-1, 1, 1)
        first += index * block[0].numel()
        x += index * tile.size[1] + (strips.start * tile.size[1] - tile.at[1].start)
    candidates = first[..., None] + wanted.copies * tile.queries  # (…, queries, cells, references)
    products = block.view(-1).index_select(0, candidates.view(-1)).view(candidates.shape)
    top, choice = _largest(products.masked_fill_(outside[..., None], -torch.inf).flatten(-2), wanted.topk)
    best, slot = choice // len(wanted.copies), wanted.listed[choice % len(wanted.copies)]
    y, x = y.gather(-1, best), x.gather(-1, best)
    width, slots = keys.shape[1:3]
    return top, ((y * width + x) * slots + slot).masked_fill_(top == -torch.inf, 0)


def _best_cells(maxima: Tensor, addresses: Tensor | None, queries: int, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the top-k cells of all queries by the maximum over the references.

    Args:
        maxima: flat (frame rows · frame columns · queries), or several frames of this shape.
        addresses: (queries of the tile, n), see `LocalAttention._addresses_of`.
        queries: number of queries that a row of keys meets.
        topk: cells to keep.

    Returns:
        Three tensors (…, queries of the tile, k): maxima, cells of the frame, and the query's index ("lane") on the
        block's last axis.
    """
    if addresses is None:
        top, cell = _largest(maxima[:-1].view(-1, queries).T.contiguous(), topk)
        return top, cell, torch.arange(queries, device=cell.device)[:, None].expand_as(cell)
    scores = maxima.index_select(-1, addresses.view(-1)).view(*maxima.shape[:-1], *addresses.shape)
    top, choice = _largest(scores, topk)
    address = addresses.expand(scores.shape).gather(-1, choice)
    return top, address // queries, address % queries


def _places(tile: Tile, cell: Tensor, lane: Tensor, references: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of frame cells on the map, and the address of their first product in the block.

    Args:
        tile: the tile of the cells.
        cell: indices of frame cells.
        lane: indices on the block's last axis.
        references: number of different references.
    """
    (rows, columns), (key_rows, key_columns) = tile.frame, tile.keys
    y, x = cell // len(columns) + rows.start, cell % len(columns) + columns.start
    key = (y - key_rows.start) * len(key_columns) + x - key_columns.start
    return y, x, key * references * tile.queries + lane


def _products(tile: Tile, query: Tensor, keys: Tensor, buffer: Tensor, best: Tensor) -> Tensor:
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
    rows, columns, references, channels = keys.shape
    shape = (rows, columns, references, tile.queries)
    queries = query[tile.query_slices].contiguous()
    if not tile.slides:
        block = key_products(keys.flatten(0, 2), queries.flatten(0, 1)).view(shape)
        torch.amax(block, 2, out=best)
        return block
    block = buffer[: math.prod(shape)].view(shape)
    if not onednn_serves(keys):  # a single product instead of a product per row of keys
        # (key rows, queries of a key row, C) as a view: key rows share memory; zero beyond the tile
        reach = tile.reach or 0
        padded = F.pad(queries, (0, 0, 0, 0, 2 * reach, 2 * reach))[tile.keys[0].start - tile.at[0].start + reach :]
        met = padded.as_strided((rows, tile.queries, channels), (queries.stride(0), channels, 1))
        torch.bmm(keys.flatten(1, 2), met.mT, out=block.flatten(1, 2))
        torch.amax(block, 2, out=best)
        return block
    for i, (rows_met, start) in enumerate(tile.rows_met()):
        products = key_products(keys[i].flatten(0, 1), queries[rows_met].flatten(0, 1)).view(columns, references, -1)
        stop = start + products.shape[2]
        block[i, :, :, start:stop] = products
        best[i, :, start:stop] = products.amax(1)  # while the row is still in the cache
    return block


def key_products(keys: Tensor, queries: Tensor) -> Tensor:
    """Return products of rows, contiguous: (n, C), (m, C) → (n, m)."""
    return dot_products(queries, keys).mT.contiguous() if onednn_pays(queries, keys) else keys @ queries.T


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (…, n), both (…, min(k, n)), in no order."""
    top, index = scores.topk(min(topk, scores.shape[-1]), sorted=False)
    return top, index
