"""Local attention of a map's cells to several reference maps, by torch: the best matches, and the average of all.

Neither stores the dense matrix. Products are computed tile by tile (`window_tiles`), and stay within a workspace.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compactness import CompactnessPrior, compact_windows
from ..device import dot_products, onednn_pays, onednn_serves, to_device
from ..window_tiles import TILE, Border, Neighbourhood, Tile, TileGrid, tiles, used_of

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


class _Weighting(NamedTuple):
    """Weights of an average, see `LocalAttention.average`.

    Attributes:
        log_counts: logarithm of how often each reference counts, (R, 1).
        off_map: logit of cells outside the map.
    """

    temperature: float
    log_counts: Tensor
    off_map: float
    prior: CompactnessPrior | None
    normalise: bool

    def logits(self, products: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the logits of products (…, R, queries), in place if the type stays."""
        return products.to(dtype).div_(self.temperature).add_(self.log_counts)


class LocalAttention:
    """Attention of all cells to their neighbourhoods, for maps of equal size.

    Args:
        neighbourhood: keys of a query cell.
    """

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self.neighbourhood = neighbourhood
        self._kept: dict[Hashable, Tensor] = {}  # addresses and masks of tiles, from frame to frame

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
            return self._matches_by_tiles(query, keys, wanted, budget)
        reach, height = self.neighbourhood.reach, keys.shape[0]
        if reach is not None and height > 2 * reach + 1:
            columns = range(reach, reach + TILE)
            strip = Tile((range(height), columns), (height, columns.stop + reach), self.neighbourhood, slides=True)
            maxima, queries = math.prod(strip.frame_size) * strip.queries, math.prod(strip.size)
            # a query has its neighbourhood, and candidates with their addresses
            of_queries = queries * (int(self.neighbourhood.kept.sum()) + 6 * topk * len(references))
            if at_once := budget // (strip.products * used + maxima + of_queries):
                return self._matches_by_strips(query, keys, wanted, strip, at_once)
        # room for the maxima and their copy, and for the addresses, which take twice the bytes
        beside_products = 2 if reach is None else 5
        return self._matches_by_tiles(query, keys, wanted, budget * used // (used + beside_products))

    def average(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        references: Sequence[int],
        temperature: float,
        border: Border = "exclude",
        prior: CompactnessPrior | None = None,
        normalise: bool = False,
    ) -> Tensor:
        """Return the average of all values in the neighbourhoods, weighted by the softmax of products / temperature.

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            values: (h, w, S, L).
            references: indices into S; a repeated index counts twice.
            temperature: divides the products.
            border: "zero": cells outside the map take softmax mass with product 0 and give no value (squares only).
            prior: replaces the weights by mixtures (squares only).
            normalise: divide by the sum of the weights inside the map, which is 1 without a prior or such a border.

        Returns:
            (h, w, L).
        """
        listed = sorted(Counter(references).items())
        used, counts = (to_device(numbers, keys.device) for numbers in zip(*listed, strict=True))
        log_counts, off_map = counts.to(values.dtype).log()[:, None], 0.0 if border == "zero" else -torch.inf
        weighting = _Weighting(temperature, log_counts, off_map, prior, normalise)
        by_rows = few_kernels(keys) and self.neighbourhood.reach is not None
        average = self._average_by_rows if by_rows else self._average_by_tiles
        return average(query, keys, values, used, weighting)

    def _matches_by_tiles(self, query: Tensor, keys: Tensor, wanted: WantedKeys, budget: int) -> FoundMatches:
        """Find the matches of `best_matches` tile by tile, each of at most `budget` products."""
        (height, width), used = keys.shape[:2], len(wanted.used)
        plan = tiles((height, width), self.neighbourhood, used, budget, slide=True, large=few_kernels(keys))
        buffer = keys.new_empty(max((tile.products for tile in plan if tile.slides), default=0) * used)
        matches = []
        for tile in plan:
            frame = tile.frame_size
            # padding addresses point at the last number
            maxima = keys.new_full((math.prod(frame) * tile.queries + 1,), -torch.inf)
            maxima_on_map = maxima[:-1].view(*frame, tile.queries)[tile.inner]
            block = _products(tile, query, tile.keys_of(keys, wanted.used), buffer, maxima_on_map)
            addresses = None if self.neighbourhood.reach is None else self._addresses_of(tile, wanted.topk, keys)
            matches.append(_best_of_block(tile, block, maxima, addresses, wanted, keys))
        values = query.new_empty(height, width, matches[0][0].shape[1])
        indices = wanted.listed.new_empty(values.shape)
        for tile, best in zip(plan, matches, strict=True):
            for result, of_tile in zip((values, indices), best, strict=True):
                result[tile.query_slices] = of_tile.view(*tile.size, -1)
        return values, indices

    def _matches_by_strips(
        self, query: Tensor, keys: Tensor, wanted: WantedKeys, strip: Tile, at_once: int
    ) -> FoundMatches:
        """Find the matches of `best_matches` with as few kernels as memory allows: strips of full height, in groups.

        The products take one kernel per strip; all other kernels process a group of `at_once` strips.
        """
        (height, width), used = keys.shape[:2], len(wanted.used)
        grid = TileGrid((height, width), self.neighbourhood, strip.size)
        met = strip.met(grid.queries(query[None])[0, 0])
        addresses = self._addresses_of(strip, wanted.topk, keys)
        if "beyond" not in self._kept:
            self._kept["beyond"] = to_device(~grid.on_map(1)[:, None, :, None], keys.device)
        matches = []
        for start in range(0, grid.shape[1], at_once):
            strips = range(start, min(start + at_once, grid.shape[1]))
            block = keys.new_empty(len(strips), height, len(strip.keys[1]), used, strip.queries)
            for products, index in zip(block, strips, strict=True):
                first = index * TILE - grid.reach  # column of the frame
                left, right = max(first, 0), min(first + len(strip.keys[1]), width)
                on_map = products[:, left - first : right - first]
                part = used_of(keys[:, left:right], wanted.used)
                torch.bmm(part.flatten(1, 2), met[index], out=on_map.flatten(1, 2))
            maxima = keys.new_full((len(strips), *strip.frame_size, strip.queries), -torch.inf)
            torch.amax(block, 3, out=maxima[:, strip.inner[0]])
            maxima.masked_fill_(self._kept["beyond"][strips.start : strips.stop], -torch.inf)
            matches.append(_best_of_block(strip, block, maxima.flatten(1), addresses, wanted, keys, strips))
        values, indices = (grid.from_queries(torch.cat(parts)[None, None])[0] for parts in zip(*matches, strict=True))
        return values, indices

    def _average_by_tiles(
        self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, weighting: _Weighting
    ) -> Tensor:
        """Average tile by tile, over keys on the map."""
        (height, width), few = keys.shape[:2], few_kernels(keys)
        budget = workspace_of(keys.device) // (4 * keys.element_size())  # for products, logits, weights and windows
        result = values.new_empty(height, width, values.shape[-1])
        for tile in tiles((height, width), self.neighbourhood, len(used), budget, slide=False, large=few):
            seen, given = (tile.keys_of(maps, used) for maps in (keys, values))
            products = key_products(seen.flatten(0, 2), query[tile.query_slices].flatten(0, 1))
            logits = weighting.logits(products.view(*seen.shape[:3], -1), values.dtype)
            if logits.shape[:2] != tile.frame_size:
                framed = logits.new_full((*tile.frame_size, *logits.shape[2:]), weighting.off_map)
                framed[tile.inner] = logits
                logits = framed
            inside = self._weights(logits, tile, weighting.prior)[tile.inner].reshape(-1, tile.queries)
            average = given.flatten(0, 2).T @ inside
            if weighting.normalise:
                average /= inside.sum(0).clamp_min(1e-12)
            result[tile.query_slices] = average.T.unflatten(0, tile.size)
        return result

    def _average_by_rows(
        self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, weighting: _Weighting
    ) -> Tensor:
        """Average over padded maps; a kernel processes as many rows of tiles as the workspace holds."""
        keys, values = used_of(keys, used), used_of(values, used)
        height, width, references, channels = keys.shape
        grid = TileGrid((height, width), self.neighbourhood)
        queries = grid.queries(query[None])
        values = F.pad(values, (0, 1), value=1)  # the last channel of the average sums the weights on the map
        seen, given = (grid.frames(grid.pad(maps.flatten(2)[None])) for maps in (keys, values))
        # padded maps, and of each query its part of the frames and four times the products
        budget = workspace_of(keys.device) // keys.element_size()
        budget -= keys.numel() + values.numel() + queries.numel()
        products = budget * TILE**2 // (channels + values.shape[-1] + 4 * TILE**2)
        averages = []
        for part in grid.parts(1, references, products):
            asked = queries[part].flatten(0, 2)
            k, v = (maps[part].reshape(len(asked), -1, maps.shape[-1] // references) for maps in (seen, given))
            frame = len(asked), *grid.tile.frame_size, references
            logits = weighting.logits(torch.bmm(k, asked.mT).view(*frame, -1), values.dtype)
            logits.masked_fill_((v[..., -1:] == 0).view(*frame, 1), weighting.off_map)
            averages.append(torch.bmm(v.mT, self._weights(logits, grid.tile, weighting.prior).flatten(1, 3)))
        of_tiles = torch.cat(averages).mT.unflatten(0, (1, *grid.shape))
        average, mass = grid.from_queries(of_tiles)[0].split([values.shape[-1] - 1, 1], dim=-1)
        return average / mass.clamp_min(1e-12) if weighting.normalise else average

    def _weights(self, logits: Tensor, tile: Tile, prior: CompactnessPrior | None) -> Tensor:
        """Return the weights of a tile's queries, or of several equal tiles, from logits in blocks (…, R, queries)."""
        if self.neighbourhood.reach is not None:
            if tile.size not in self._kept:
                far = to_device(~tile.near.T, logits.device)
                bias = logits.new_zeros(far.shape).masked_fill_(far, -torch.inf)
                self._kept[tile.size] = bias.view(*tile.frame_size, 1, -1)
            logits += self._kept[tile.size]
        weights = logits.flatten(-4, -2).softmax(-2).view(logits.shape)
        if prior is not None:
            squares = tile.squares(weights)
            squares.copy_(compact_windows(squares.flatten(-2).flatten(0, -3), prior).view(squares.shape))
        return weights

    def _addresses_of(self, tile: Tile, topk: int, keys: Tensor) -> Tensor:
        """Return the addresses of a tile's queries in the maxima, (queries, n); tiles of equal size share them.

        On a CPU they are padded with the last address: with at least 64 · topk values torch sorts partially, in half
        the time.
        """
        shape = tile.size, topk
        if shape not in self._kept:
            addresses = to_device(tile.addresses, keys.device)
            missing = 64 * topk - addresses.shape[1]
            if not few_kernels(keys) and topk < addresses.shape[1] and missing > 0:
                addresses = F.pad(addresses, (0, missing), value=math.prod(tile.frame_size) * tile.queries)
            self._kept[shape] = addresses
        return self._kept[shape]


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
    (rows, columns), (key_rows, key_columns) = tile.frame, tile.keys
    y, x = cell // len(columns) + rows.start, cell % len(columns) + columns.start
    key = (y - key_rows.start) * len(key_columns) + x - key_columns.start
    first = (key * len(wanted.used) * tile.queries + lane).masked_fill_(outside, 0)  # address of the first product
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
    rows, columns, references, _ = keys.shape
    shape = (rows, columns, references, tile.queries)
    queries = query[tile.query_slices].contiguous()
    if not tile.slides:
        block = key_products(keys.flatten(0, 2), queries.flatten(0, 1)).view(shape)
        torch.amax(block, 2, out=best)
        return block
    block = buffer[: math.prod(shape)].view(shape)
    if not onednn_serves(keys):  # a single product instead of a product per row of keys
        torch.bmm(keys.flatten(1, 2), tile.met(queries.flatten(0, 1)), out=block.flatten(1, 2))
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
