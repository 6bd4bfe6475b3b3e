"""Dot products of a tile of queries with the keys around it: the inner loop of propagation."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cpu_products import dot_products, onednn_pays, onednn_serves
from .tiles import Tile


def tile_dot_products(
    tile: Tile, query: Tensor, keys: Tensor, buffer: Tensor | None = None, best: Tensor | None = None
) -> Tensor:
    """Dot products of each key with the queries that its row meets.

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
    if not tile.slides:
        block = _dot(keys.reshape(-1, channels), queries.view(-1, channels)).view(shape)
        if best is not None:
            torch.amax(block, 2, out=best)
        return block
    if buffer is None or best is None:
        raise ValueError("a tile that slides needs buffers for its products and their maxima")
    block = buffer[: rows * columns * references * tile.queries].view(shape)
    if not onednn_serves(keys):
        torch.bmm(keys.flatten(1, 2), _queries_per_key_row(tile, queries).mT, out=block.flatten(1, 2))
        torch.amax(block, 2, out=best)
        return block
    for i, key_row in enumerate(tile.keys[0]):
        met, start = tile.query_rows(key_row)
        chosen = queries[met.start - tile.rows.start : met.stop - tile.rows.start].flatten(0, 1)
        products = _dot(keys[i].flatten(0, 1), chosen).view(columns, references, -1)
        block[i, :, :, start : start + len(chosen)] = products
        best[i, :, start : start + len(chosen)] = products.amax(1)  # while the row is still in the cache
    return block


def _dot(keys: Tensor, queries: Tensor) -> Tensor:
    """Return products of rows, contiguous: (n, C), (m, C) → (n, m)."""
    return dot_products(queries, keys).mT.contiguous() if onednn_pays(queries, keys) else keys @ queries.T


def _queries_per_key_row(tile: Tile, queries: Tensor) -> Tensor:
    """(rows, columns, C) → (key rows, queries of a key row, C), without a copy per key row; zero beyond the tile."""
    reach, channels = tile.reach or 0, queries.shape[-1]
    padded = F.pad(queries, (0, 0, 0, 0, 2 * reach, 2 * reach))[tile.keys[0].start - tile.rows.start + reach :]
    return padded.as_strided((len(tile.keys[0]), tile.queries, channels), (queries.stride(0), channels, 1))
