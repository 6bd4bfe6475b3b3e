"""Attention of each cell of a feature map to a neighbourhood in several reference maps, without the dense matrix.

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

from .products import tile_dot_products
from .screened_search import MOST_MATCHES, SketchedKeys
from .tiles import Neighbourhood, Tile, on_device, tiles

WORKSPACE = 64 * 2**20  # bytes of a tile's products


def best_matches(
    query: Tensor,
    keys: Tensor,
    references: Sequence[int],
    neighbourhood: Neighbourhood,
    topk: int,
    workspace: int = WORKSPACE,
    sketches: SketchedKeys | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the largest dot products of each query over a neighbourhood in all references, exactly.

    Two levels find them: the maximum over the references at each cell, its top-k cells, and the top-k of the products
    at those cells. A product that belongs to the top-k lies at one of these cells, so none is lost.

    Args:
        query: (h, w, C).
        keys: (h, w, S, C), contiguous.
        references: indices into S; one that is listed twice counts twice.
        neighbourhood: neighbourhood of each query cell.
        topk: matches to keep; fewer where there are fewer cells and references.
        workspace: bytes for the products of a tile.
        sketches: sketches of the keys, by which compiled code finds the same matches on a CPU.

    Returns:
        (h, w, k) products in no order, −inf where the neighbourhood has no more cells on the map; and their indices,
        long (h, w, k): (y · w + x) · S + s.
    """
    if sketches is not None and topk <= MOST_MATCHES:
        return sketches.search(query, references, neighbourhood, topk)
    height, width, slots, _ = keys.shape
    different = sorted(set(references))
    used, listed = on_device(different, keys.device), on_device(references, keys.device)
    copies = on_device([different.index(number) for number in references], keys.device)
    budget = workspace // keys.element_size()
    cover = list(tiles(height, width, neighbourhood.reach, len(used), budget, slide=True))
    buffer = keys.new_empty(max((tile.products for tile in cover if tile.slides), default=0) * len(used))
    addresses: dict[tuple[int, int], Tensor] = {}
    values = indices = query.new_empty(0)
    for tile in cover:
        shape = (len(tile.rows), len(tile.columns))
        if tile.reach is not None and shape not in addresses:
            addresses[shape] = _addresses(tile, neighbourhood, topk, keys.device)
        top, y, x, choice = _tile_matches(
            tile, query, _part(tile, keys, used), copies, topk, addresses.get(shape), buffer
        )
        index = ((y * width + x) * slots + listed[choice]).masked_fill_(top == -torch.inf, 0)
        if len(values) == 0:
            values = top.new_empty(height, width, top.shape[1])
            indices = index.new_empty(height, width, top.shape[1])
        values[tile.query_slices] = top.view(*shape, -1)
        indices[tile.query_slices] = index.view(*shape, -1)
    return values, indices


def _tile_matches(
    tile: Tile, query: Tensor, keys: Tensor, copies: Tensor, topk: int, addresses: Tensor | None, buffer: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the best matches of one tile: products, key rows, key columns, indices of `copies`, (queries, k) each."""
    frame = [len(axis) for axis in tile.frame]
    best = keys.new_full((math.prod(frame) * tile.queries + 1,), -torch.inf)  # the last number pads `addresses`
    block = tile_dot_products(tile, query, keys, buffer, best[:-1].view(*frame, tile.queries)[tile.inner])
    if addresses is None:
        top, cell = _largest(best[:-1].view(-1, tile.queries).T.contiguous(), topk)
        last = torch.arange(tile.queries, device=cell.device)[:, None].expand_as(cell)
    else:
        top, choice = _largest(best.index_select(0, addresses.view(-1)).view(addresses.shape), topk)
        address = addresses.gather(1, choice)
        cell, last = address // tile.queries, address % tile.queries
    (rows, columns), (key_rows, key_columns) = tile.frame, tile.keys
    y, x = cell // len(columns) + rows.start, cell % len(columns) + columns.start
    start = ((y - key_rows.start) * len(key_columns) + x - key_columns.start) * keys.shape[2] * tile.queries + last
    outside = top == -torch.inf
    candidates = start.masked_fill_(outside, 0)[:, :, None] + copies * tile.queries
    products = block.view(-1).index_select(0, candidates.view(-1)).view(candidates.shape)
    top, choice = _largest(products.masked_fill_(outside[:, :, None], -torch.inf).flatten(1), topk)
    chosen = choice // len(copies)
    return top, y.gather(1, chosen), x.gather(1, chosen), choice % len(copies)


def window_average(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    references: Sequence[int],
    neighbourhood: Neighbourhood,
    temperature: float,
    border: Literal["exclude", "zero"] = "exclude",
    adjust: Callable[[Tensor], Tensor] | None = None,
    normalise: bool = False,
    workspace: int = WORKSPACE,
) -> Tensor:
    """Return the average of all values in a neighbourhood, weighted by the softmax of dot products / temperature.

    Args:
        query: (h, w, C).
        keys: (h, w, S, C), contiguous.
        values: (h, w, S, L).
        references: indices into S; one that is listed twice counts twice.
        neighbourhood: neighbourhood of each query cell.
        temperature: divides the products.
        border: "zero": cells outside the map take softmax mass with product 0 and give no value (squares only).
        adjust: replaces the weights of all windows: (queries, references, D · D) to the same shape (squares only).
        normalise: divide by the sum of the weights inside the map, which is 1 until they are adjusted.
        workspace: bytes for a tile.

    Returns:
        (h, w, L).
    """
    height, width, _, _ = keys.shape
    different = sorted(set(references))
    used = on_device(different, keys.device)
    counts = on_device([references.count(number) for number in different], keys.device)
    result = values.new_empty(height, width, values.shape[-1])
    biases: dict[tuple[int, int], Tensor] = {}
    budget = workspace // (4 * keys.element_size())  # products, logits, weights and windows live at the same time
    cover = list(tiles(height, width, neighbourhood.reach, len(used), budget, slide=False))
    for tile in cover:
        block = tile_dot_products(tile, query, _part(tile, keys, used))
        logits = block.to(values.dtype).div_(temperature).add_(counts.to(values.dtype).log()[:, None])
        inner = tile.inner
        if tile.reach is not None:
            shape = (len(tile.rows), len(tile.columns))
            if shape not in biases:
                biases[shape] = _window_bias(tile, neighbourhood, values)
            frame = [len(axis) for axis in tile.frame]
            if logits.shape[:2] != (frame[0], frame[1]):
                framed = logits.new_full((*frame, *logits.shape[2:]), -torch.inf if border == "exclude" else 0.0)
                framed[inner] = logits
                logits = framed
            logits += biases[shape][:, :, None]
        weights = logits.view(-1, tile.queries).softmax(0).view(logits.shape)
        if adjust is not None:
            windows = _windows(tile, weights)
            windows.copy_(adjust(windows.flatten(3).flatten(0, 1)).view(windows.shape))
        inside = weights[inner].reshape(-1, tile.queries)
        average = _part(tile, values, used).flatten(0, 2).T @ inside
        if normalise:
            average /= inside.sum(0).clamp_min(1e-12)
        result[tile.query_slices] = average.T.unflatten(0, (len(tile.rows), -1))
    return result


def _part(tile: Tile, maps: Tensor, used: Tensor) -> Tensor:
    """Cut a tile's keys out of (h, w, S, ·): (key rows, key columns, used references, ·), a view if all are used."""
    rows, columns = tile.keys
    part = maps[rows.start : rows.stop, columns.start : columns.stop]
    return part if len(used) == maps.shape[2] else part.index_select(2, used)


def _addresses(tile: Tile, neighbourhood: Neighbourhood, topk: int, device: torch.device) -> Tensor:
    """Return each query's addresses in `best`, (queries, n), padded with the address of its last value."""
    addresses = tile.addresses(neighbourhood, device)
    count = addresses.shape[1]
    if device.type != "cpu" or not topk < count < 64 * topk:
        return addresses
    # With at least 64 · topk values torch sorts partially, in half the time.
    end = len(tile.frame[0]) * len(tile.frame[1]) * tile.queries
    return F.pad(addresses, (0, 64 * topk - count), value=end)


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (Q, n), (Q, min(k, n)) each, in no order."""
    top, index = scores.topk(min(topk, scores.shape[1]), dim=1, sorted=False)
    return top, index


def _window_bias(tile: Tile, neighbourhood: Neighbourhood, like: Tensor) -> Tensor:
    """Return a bias (frame rows, frame columns, queries): 0 in a query's neighbourhood, −inf elsewhere."""
    bias = like.new_full((*(len(axis) for axis in tile.frame), 1, tile.queries), -torch.inf)
    windows = _windows(tile, bias)
    windows.masked_fill_(neighbourhood.mask(like.device), 0.0)
    return bias[:, :, 0]


def _windows(tile: Tile, block: Tensor) -> Tensor:
    """View a block (frame rows, frame columns, R, queries) as squares (rows, columns, R, D, D), D = 2 · reach + 1."""
    if tile.reach is None or tile.slides:
        raise ValueError("windows need a reach and a tile that is not higher than a neighbourhood")
    rows, columns, side = len(tile.rows), len(tile.columns), 2 * tile.reach + 1
    row, column, reference, last = block.stride()
    strides = (row + columns * last, column + last, reference, row, column)
    return block.as_strided((rows, columns, block.shape[2], side, side), strides)
