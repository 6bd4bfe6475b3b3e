"""Attention of each cell of a map to a neighbourhood in several reference maps, without the dense matrix.

Queries are taken in tiles: a strip of columns, and as many rows as the workspace holds. Each row of keys within reach
of the strip is multiplied with just those query rows whose neighbourhood contains it: one matrix product over all
references, since keys are stored as (h, w, S, C). The products of a tile form one block (key rows, key columns,
references, queries of a key row), in which the neighbourhood of a query is its own address plus a fixed list of
offsets.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import dot_products, onednn_pays, onednn_serves, to_device
from .tiles import Neighbourhood, Tile, tiles

WORKSPACE = 64 * 2**20  # bytes of a tile's products

FoundMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `LocalAttention.best_matches` returns them."""


PlannedTile = tuple[Tile, Tensor | None]
"""A tile, and where the neighbourhoods of its queries lie (for `best_matches`, each query's addresses; for `average`, a
bias of the logits); None where all keys are in them."""


class LocalAttention:
    """Attention to the neighbourhood of each cell of maps of one size, for which its tiles are planned once.

    Args:
        neighbourhood: neighbourhood of each query cell.
        workspace: bytes for intermediate products, which no result depends on.
    """

    def __init__(self, neighbourhood: Neighbourhood, workspace: int = WORKSPACE) -> None:
        self.neighbourhood = neighbourhood
        self._workspace = workspace
        self._plans: dict[tuple[object, ...], list[PlannedTile]] = {}

    def best_matches(self, query: Tensor, keys: Tensor, references: Sequence[int], topk: int) -> FoundMatches:
        """Return the largest dot products of each query over its neighbourhood in all references, exactly.

        Two levels find them: the maximum over the references at each cell, its top-k cells, and the top-k of the
        products at those cells. A product that belongs to the top-k lies at one of these cells, so none is lost.

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            references: indices into S; one that is listed twice counts twice.
            topk: matches to keep; fewer where there are fewer cells and references.

        Returns:
            (h, w, k) products in no order, −inf where the neighbourhood has no more cells on the map; and their
            indices, long (h, w, k): (y · w + x) · S + s.
        """
        height, width, slots, _ = keys.shape
        different = sorted(set(references))
        used, listed = to_device(different, keys.device), to_device(references, keys.device)
        copies = to_device([different.index(number) for number in references], keys.device)
        budget = self._workspace // keys.element_size()
        plan = self._plan(keys, len(different), budget, lambda tile: self._addresses(tile, topk, keys.device), topk)
        buffer = keys.new_empty(max((tile.products for tile, _ in plan if tile.slides), default=0) * len(different))
        neighbours = plan[0][1]
        cells = height * width if neighbours is None else neighbours.shape[1]
        values = query.new_empty(height, width, min(topk, min(topk, cells) * len(references)))
        indices = listed.new_empty(values.shape)
        for tile, addresses in plan:
            part, frame = _part(tile, keys, used), tile.frame_size
            # the last number is for the addresses that are padding
            best = keys.new_full((math.prod(frame) * tile.queries + 1,), -torch.inf)
            block = _products(tile, query, part, buffer, best[:-1].view(*frame, tile.queries)[tile.inner])
            if addresses is None:
                top, cell = _largest(best[:-1].view(-1, tile.queries).T.contiguous(), topk)
                last = torch.arange(tile.queries, device=cell.device)[:, None].expand_as(cell)
            else:
                top, choice = _largest(best.index_select(0, addresses.view(-1)).view(addresses.shape), topk)
                address = addresses.gather(1, choice)
                cell, last = address // tile.queries, address % tile.queries
            (rows, columns), (key_rows, key_columns) = tile.frame, tile.keys
            y, x = cell // len(columns) + rows.start, cell % len(columns) + columns.start
            start = (y - key_rows.start) * len(key_columns) + x - key_columns.start
            outside = top == -torch.inf
            first = (start * len(different) * tile.queries + last).masked_fill_(outside, 0)
            candidates = first[:, :, None] + copies * tile.queries
            products = block.view(-1).index_select(0, candidates.view(-1)).view(candidates.shape)
            top, choice = _largest(products.masked_fill_(outside[:, :, None], -torch.inf).flatten(1), topk)
            at, reference = choice // len(copies), listed[choice % len(copies)]
            index = ((y.gather(1, at) * width + x.gather(1, at)) * slots + reference).masked_fill_(top == -torch.inf, 0)
            values[tile.query_slices] = top.view(*tile.size, -1)
            indices[tile.query_slices] = index.view(*tile.size, -1)
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
            references: indices into S; one that is listed twice counts twice.
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
        result = values.new_empty(height, width, values.shape[-1])
        budget = self._workspace // (4 * keys.element_size())  # for products, logits, weights and windows
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
                windows = _windows(tile, weights)
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
        """Return the tiles of a map, of at most `budget` products, with what `neighbours` gives for each shape of tile.

        Args:
            keys: (h, w, S, C).
            references: number of different references.
            budget: number of products.
            neighbours: see `PlannedTile`.
            topk: matches to find, for whose search tiles may slide; None: all keys count.
        """
        plan, reach = self._plans.setdefault((references, topk), []), self.neighbourhood.reach
        if not plan:
            of_shape: dict[tuple[int, int], Tensor] = {}
            for tile in tiles(keys.shape[0], keys.shape[1], reach, references, budget, slide=topk is not None):
                if reach is not None and tile.size not in of_shape:
                    of_shape[tile.size] = neighbours(tile)
                plan.append((tile, of_shape.get(tile.size)))
        return plan

    def _addresses(self, tile: Tile, topk: int, device: torch.device) -> Tensor:
        """Return each query's addresses in `best`, (queries, n), padded with the address of its last value."""
        addresses = tile.addresses(self.neighbourhood, device)
        count = addresses.shape[1]
        if device.type != "cpu" or not topk < count < 64 * topk:
            return addresses
        # with at least 64 · topk values torch sorts partially, in half the time
        return F.pad(addresses, (0, 64 * topk - count), value=math.prod(tile.frame_size) * tile.queries)

    def _window_bias(self, tile: Tile, like: Tensor) -> Tensor:
        """Return a bias (frame rows, frame columns, 1, queries): 0 in a query's neighbourhood, −inf elsewhere."""
        bias = like.new_full((*tile.frame_size, 1, tile.queries), -torch.inf)
        _windows(tile, bias).masked_fill_(to_device(self.neighbourhood.kept, like.device), 0.0)
        return bias


def _products(
    tile: Tile, query: Tensor, keys: Tensor, buffer: Tensor | None = None, best: Tensor | None = None
) -> Tensor:
    """Return the dot products of each key with the queries that its row meets.

    Args:
        tile: where queries and keys lie.
        query: (h, w, C): of the whole map.
        keys: (key rows, key columns, R, C): of the tile; dense from the third axis on, and along a row.
        buffer: flat, where the products of a tile that slides go.
        best: (key rows, key columns, queries): receives the maxima over the references where a row of keys meets
            queries.

    Returns:
        (key rows, key columns, R, queries of a key row), undefined where a row of keys meets no query.
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
        # (key rows, queries of a key row, C), without a copy for each key row; zero beyond the tile
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
    part = maps[rows.start : rows.stop, columns.start : columns.stop]
    return part if len(used) == maps.shape[2] else part.index_select(2, used)


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (Q, n), (Q, min(k, n)) each, in no order."""
    top, index = scores.topk(min(topk, scores.shape[1]), dim=1, sorted=False)
    return top, index


def _windows(tile: Tile, block: Tensor) -> Tensor:
    """View a block (frame rows, frame columns, R, queries) as squares (rows, columns, R, D, D), D = 2 · reach + 1."""
    if tile.reach is None or tile.slides:
        raise ValueError("windows need a reach and a tile that is not higher than a neighbourhood")
    rows, columns, side = *tile.size, 2 * tile.reach + 1
    row, column, reference, last = block.stride()
    strides = (row + columns * last, column + last, reference, row, column)
    return block.as_strided((rows, columns, block.shape[2], side, side), strides)
