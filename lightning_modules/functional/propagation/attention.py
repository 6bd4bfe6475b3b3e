"""Attention of a map's cells to a neighbourhood in several reference maps, without the dense matrix.

Queries are processed in tiles: a strip of columns, and as many rows as the workspace holds. A row of keys is multiplied
only with the query rows within reach, in one matrix product over all references (keys are stored as (h, w, S, C)). The
products of a tile form a block (key rows, key columns, references, queries of a key row). The neighbourhood of a query
is the query's address in the block plus a fixed list of offsets.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import dot_products, onednn_pays, onednn_serves, to_device
from .tiles import Neighbourhood, Strips, Tile, tiles
from .window_average import grouped_average

WORKSPACE = 64 * 2**20  # bytes of a tile's products, which stay in a CPU's cache
LARGEST_WORKSPACE = 2**30
SHARE_OF_MEMORY = 32  # a GPU of 32 GiB or more gives the largest workspace

FoundMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `LocalAttention.best_matches` returns them."""


PlannedTile = tuple[Tile, Tensor | None]
"""A tile, and the neighbourhoods of its queries: addresses for `best_matches`, a bias of the logits for `average`, None
if they contain all keys."""


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
    """Attention to the neighbourhood of all cells, for maps of equal size: tiles are planned once.

    Args:
        neighbourhood: neighbourhood of a query cell.
        workspace: bytes for intermediate products, without effect on results; None: see `workspace_of`.
    """

    def __init__(self, neighbourhood: Neighbourhood, workspace: int | None = None) -> None:
        self.neighbourhood = neighbourhood
        self._workspace = workspace
        self._plans: dict[tuple[object, ...], list[PlannedTile]] = {}
        self._of_strips: Tensor | None = None  # addresses in the frame of a strip; all strips are alike

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
        height, width = keys.shape[:2]
        wanted = WantedKeys.of(references, topk, keys.device)
        workspace = self._workspace or workspace_of(keys.device)
        used, budget = len(wanted.used), workspace // keys.element_size()
        candidates = topk * len(references)
        strips = Strips.of(self.neighbourhood, (height, width), used, candidates, budget) if few_kernels(keys) else None
        if strips is not None:
            return self._best_matches_of_strips(strips, query, keys, wanted)
        if few_kernels(keys):  # room for the maxima and their copy, and for the addresses, which take twice the bytes
            budget = budget * used // (used + (2 if self.neighbourhood.reach is None else 5))
        plan = self._plan(keys, used, budget, lambda tile: self._addresses(tile, topk, keys.device), topk)
        buffer = keys.new_empty(max((tile.products for tile, _ in plan if tile.slides), default=0) * used)
        neighbours = plan[0][1]
        cells = height * width if neighbours is None else neighbours.shape[1]
        values = query.new_empty(height, width, min(topk, min(topk, cells) * len(references)))
        indices = wanted.listed.new_empty(values.shape)
        for tile, addresses in plan:
            frame = tile.frame_size
            # padding addresses point at the last number
            maxima = keys.new_full((math.prod(frame) * tile.queries + 1,), -torch.inf)
            maxima_on_map = maxima[:-1].view(*frame, tile.queries)[tile.inner]
            block = _products(tile, query, _part(tile, keys, wanted.used), buffer, maxima_on_map)
            top, index = _best_of_block(tile, block, maxima, addresses, wanted, keys)
            values[tile.query_slices] = top.view(*tile.size, -1)
            indices[tile.query_slices] = index.view(*tile.size, -1)
        return values, indices

    def _best_matches_of_strips(
        self, strips: "Strips", query: Tensor, keys: Tensor, wanted: "WantedKeys"
    ) -> FoundMatches:
        """Find the matches of `best_matches` with as few kernels as memory allows: strips of full height, in groups.

        The products take one kernel per strip; all other kernels process a whole group.
        """
        height, width = keys.shape[:2]
        tile, used = strips.tile, len(wanted.used)
        if self._of_strips is None:
            self._of_strips = tile.addresses(self.neighbourhood, keys.device)
        met = strips.met_queries(query)
        found = []
        for group in strips.groups:
            block = keys.new_empty(len(group), height, len(tile.keys[1]), used, tile.queries)
            for products, number in zip(block, group, strict=True):
                of_map, on_map = strips.columns(number)
                part = _used(keys[:, of_map], wanted.used)
                torch.bmm(part.flatten(1, 2), met[number].mT, out=products[:, on_map].flatten(1, 2))
            maxima = keys.new_full((len(group), *tile.frame_size, tile.queries), -torch.inf)
            torch.amax(block, 3, out=maxima[:, tile.inner[0]])
            maxima.masked_fill_(strips.beyond(group, keys.device), -torch.inf)
            found.append(_best_of_block(tile, block, maxima.flatten(1), self._of_strips, wanted, keys, group))
        values, indices = (
            torch.cat(parts).unflatten(1, tile.size).transpose(0, 1).flatten(1, 2)[:, :width]
            for parts in zip(*found, strict=True)
        )
        return values, indices

    def average(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        references: Sequence[int],
        temperature: float,
        border: Literal["exclude", "zero"] = "exclude",
        adjust: Callable[[Tensor], Tensor] | None = None,
        normalise: bool = False,
    ) -> Tensor:
        """Return the average of all values in a neighbourhood, weighted by the softmax of dot products / temperature.

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            values: (h, w, S, L).
            references: indices into S; a repeated index counts twice.
            temperature: divides the products.
            border: "zero": cells outside the map take softmax mass with product 0 and give no value (squares only).
            adjust: replaces the weights of all windows: (queries, references, D · D) to the same shape (squares only).
            normalise: divide by the sum of the weights inside the map, which is 1 until they are adjusted.

        Returns:
            (h, w, L).
        """
        height, width, _, _ = keys.shape
        different = sorted(set(references))
        used = to_device(different, keys.device)
        counts = to_device([references.count(number) for number in different], keys.device)
        workspace = self._workspace or workspace_of(keys.device)
        if few_kernels(keys) and self.neighbourhood.reach is not None:
            return grouped_average(
                self.neighbourhood,
                query,
                _used(keys, used),
                _used(values, used),
                counts.to(values.dtype),
                temperature,
                border,
                adjust,
                normalise,
                workspace // keys.element_size(),
            )
        result = values.new_empty(height, width, values.shape[-1])
        budget = workspace // (4 * keys.element_size())  # for products, logits, weights and windows
        for tile, bias in self._plan(keys, len(different), budget, lambda tile: self._window_bias(tile, values)):
            logits = _products(tile, query, _part(tile, keys, used)).to(values.dtype).div_(temperature)
            logits += counts.to(values.dtype).log()[:, None]
            if bias is not None:
                if logits.shape[:2] != tile.frame_size:
                    beyond = -torch.inf if border == "exclude" else 0.0
                    framed = logits.new_full((*tile.frame_size, *logits.shape[2:]), beyond)
                    framed[tile.inner] = logits
                    logits = framed
                logits += bias
            weights = logits.view(-1, tile.queries).softmax(0).view(logits.shape)
            if adjust is not None:
                windows = tile.windows(weights)
                windows.copy_(adjust(windows.flatten(3).flatten(0, 1)).view(windows.shape))
            inside = weights[tile.inner].reshape(-1, tile.queries)
            average = _part(tile, values, used).flatten(0, 2).T @ inside
            if normalise:
                average /= inside.sum(0).clamp_min(1e-12)
            result[tile.query_slices] = average.T.unflatten(0, tile.size)
        return result

    def _plan(
        self, keys: Tensor, references: int, budget: int, neighbours: Callable[[Tile], Tensor], topk: int | None = None
    ) -> list[PlannedTile]:
        """Return the tiles of a map, of at most `budget` products; `neighbours` is called once per shape of tile.

        Args:
            keys: (h, w, S, C).
            references: number of different references.
            budget: number of products.
            neighbours: tile → neighbourhoods of its queries, see `PlannedTile`.
            topk: matches to find, by tiles that may slide; None: all keys count.
        """
        plan, reach = self._plans.setdefault((references, topk), []), self.neighbourhood.reach
        if not plan:
            of_shape: dict[tuple[int, int], Tensor] = {}
            slide, large = topk is not None, few_kernels(keys)
            for tile in tiles(keys.shape[0], keys.shape[1], reach, references, budget, slide, large):
                if reach is not None and tile.size not in of_shape:
                    of_shape[tile.size] = neighbours(tile)
                plan.append((tile, of_shape.get(tile.size)))
        return plan

    def _addresses(self, tile: Tile, topk: int, device: torch.device) -> Tensor:
        """Return the addresses of all queries in the maxima, (queries, n), padded with the last address."""
        addresses = tile.addresses(self.neighbourhood, device)
        count = addresses.shape[1]
        if device.type != "cpu" or not topk < count < 64 * topk:
            return addresses
        # with at least 64 · topk values torch sorts partially, in half the time
        return F.pad(addresses, (0, 64 * topk - count), value=math.prod(tile.frame_size) * tile.queries)

    def _window_bias(self, tile: Tile, like: Tensor) -> Tensor:
        """Return a bias (frame rows, frame columns, 1, queries): 0 in a query's neighbourhood, otherwise −inf."""
        bias = like.new_full((*tile.frame_size, 1, tile.queries), -torch.inf)
        tile.windows(bias).masked_fill_(to_device(self.neighbourhood.kept, like.device), 0.0)
        return bias


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
        addresses: see `PlannedTile`.
        wanted: the references.
        keys: (h, w, S, C).
        strips: numbers of the strips in the block.

    Returns:
        (…, queries of the tile, k), see `LocalAttention.best_matches`.
    """
    top, cell, lane = _best_cells(maxima, addresses, tile.queries, wanted.topk)
    outside = top == -torch.inf
    y, x, first = _places(tile, cell, lane, len(wanted.used))
    first.masked_fill_(outside, 0)
    if strips is not None:
        number = torch.arange(len(strips), device=keys.device).view(-1, 1, 1)
        first += number * block[0].numel()
        x += (number + strips.start) * tile.size[1]
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
        addresses: (queries of the tile, n), see `PlannedTile`.
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


def _products(
    tile: Tile, query: Tensor, keys: Tensor, buffer: Tensor | None = None, best: Tensor | None = None
) -> Tensor:
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
    if buffer is None or best is None or not tile.slides:
        block = _dot(keys.reshape(-1, channels), queries.view(-1, channels)).view(shape)
        if best is not None:
            torch.amax(block, 2, out=best)
        return block
    block = buffer[: math.prod(shape)].view(shape)
    if not onednn_serves(keys):
        # (key rows, queries of a key row, C) as a view: key rows share memory; zero beyond the tile
        reach = tile.reach or 0
        padded = F.pad(queries, (0, 0, 0, 0, 2 * reach, 2 * reach))[tile.keys[0].start - tile.at[0].start + reach :]
        met = padded.as_strided((rows, tile.queries, channels), (queries.stride(0), channels, 1))
        torch.bmm(keys.flatten(1, 2), met.mT, out=block.flatten(1, 2))
        torch.amax(block, 2, out=best)
        return block
    for i, (rows_met, start) in enumerate(tile.rows_met()):
        products = _dot(keys[i].flatten(0, 1), queries[rows_met].flatten(0, 1)).view(columns, references, -1)
        stop = start + products.shape[2]
        block[i, :, :, start:stop] = products
        best[i, :, start:stop] = products.amax(1)  # while the row is still in the cache
    return block


def _dot(keys: Tensor, queries: Tensor) -> Tensor:
    """Return products of rows, contiguous: (n, C), (m, C) → (n, m)."""
    return dot_products(queries, keys).mT.contiguous() if onednn_pays(queries, keys) else keys @ queries.T


def _part(tile: Tile, maps: Tensor, used: Tensor) -> Tensor:
    """Cut a tile's keys out of (h, w, S, ·): (key rows, key columns, used references, ·), a view if all are used."""
    rows, columns = tile.keys
    return _used(maps[rows.start : rows.stop, columns.start : columns.stop], used)


def _used(maps: Tensor, used: Tensor) -> Tensor:
    """Return the used references of (rows, columns, S, ·), a view if all are used."""
    return maps if len(used) == maps.shape[2] else maps.index_select(2, used)


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (…, n), both (…, min(k, n)), in no order."""
    top, index = scores.topk(min(topk, scores.shape[-1]), sorted=False)
    return top, index
