"""Log-sum-exp of the dot products of a frame's cells with cells of other videos (the new term of Liir's Eq. 4).

A query competes with points that all queries share (`shared_logsumexp`), with cells drawn for this query
(`per_query_logsumexp`), or with the cells around the query's position (`same_place_logsumexp`). Stored cells take no
gradient. Memory does not grow with the number of stored frames, because the keys pass by in chunks.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from .device import amount_for, slices
from .logsumexp import Chunk, dot_logsumexp, streamed_logsumexp, widened
from .window_tiles import Border, Neighbourhood, TileGrid

NUMBERS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Number of gathered or multiplied numbers held at a time: it fits a CPU's cache, or keeps a GPU busy."""
GATHERED_AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Number of gathered numbers held at a time if they are read twice: 2 MB in float32, a CPU's second cache."""


def shared_logsumexp(query: Tensor, points: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Return `log Σ exp(q·v)`, `(B, h, w)`, over points `(N, C)` that all queries share; −∞ without points."""
    return dot_logsumexp(query.flatten(2).mT, points, excluded).view(len(query), *query.shape[2:])


def per_query_logsumexp(query: Tensor, maps: Tensor, points: int, seed: int, excluded: Tensor | None = None) -> Tensor:
    """Return `log Σ exp(q·v)` over cells of all stored frames, drawn separately for every cell of the query.

    The samples of a batch share the draws of a cell, so that a gathered feature serves the whole batch.
    Paper: Liir, section 3.3 ("for each query pixel, we sample 4 feature points from each stored frame").

    Args:
        query: `(B, C, h, w)`.
        maps: `(N, C, h', w')`, stored feature maps, at least one; fastest in memory order `(N, h', w', C)`.
        points: number of cells that a query draws per map, with replacement.
        seed: seed of the draws, in [0, 2³²).
        excluded: `(B, N)` bool, maps left out for a sample, whose result is −∞ if all are; None excludes none.
    """
    groups = widened(query.flatten(2).permute(2, 0, 1).contiguous())  # (places, B, C)
    chunks = _drawn_chunks(groups.detach(), maps, points, seed, excluded)
    return streamed_logsumexp(groups, chunks).T.reshape(len(query), *query.shape[2:])


def _drawn_chunks(queries: Tensor, maps: Tensor, points: int, seed: int, excluded: Tensor | None) -> Iterator[Chunk]:
    """Yield the products of queries `(places, B, C)` with the cells that are drawn for their places."""
    places, samples, channels = queries.shape
    # a place draws `points` cells of each map: as many maps, then places, at once as fit into their memory
    maps_at_once = max(1, amount_for(queries.device, NUMBERS_AT_ONCE) // (places * points * channels))
    place_keys = min(maps_at_once, len(maps)) * points
    places_at_once = min(places, max(1, amount_for(queries.device, GATHERED_AT_ONCE) // (place_keys * channels)))
    features = maps.movedim(1, -1).flatten(0, 2)
    # the two buffers serve all chunks: fresh memory for each takes several times longer
    gathered = features.new_empty(places_at_once * place_keys, channels)
    products = queries.new_empty(places_at_once * place_keys * samples)
    for frames in slices(len(maps), maps_at_once):
        # (places, keys of a place), indices into `features`
        drawn = drawn_cells(seed, frames, points, places, maps[0, 0].numel(), queries.device)
        left_out = None if excluded is None else excluded[:, frames].repeat_interleave(points, 1)
        for chunk in slices(places, places_at_once):
            rows = drawn[chunk].flatten()
            keys = torch.index_select(features, 0, rows, out=gathered[: len(rows)])
            keys = keys.view(chunk.stop - chunk.start, -1, channels).to(queries.dtype)  # (places, keys of a place, C)
            logits = products[: len(rows) * samples].view(len(keys), samples, -1)
            torch.bmm(queries[chunk], keys.mT, out=logits)
            if left_out is not None:
                logits.masked_fill_(left_out, -torch.inf)
            yield chunk, logits, partial(_add_weighted, keys=keys)


def drawn_cells(
    seed: int, frames: slice, points: int, places: int, cells: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Draw cells of stored frames for all places of a query's map: long `(places, frames · points)`.

    A draw is a hash of (seed, frame, point, place), by the finaliser of MurmurHash3. It does not depend on the device
    or on other draws, and needs no storage.

    Example:
        >>> drawn_cells(11, slice(1, 3), points=2, places=2, cells=10**6)
        tensor([[1927603, 1270601, 2238250, 2611034],
                [1864189, 1096582, 2422446, 2629316]])
        >>> drawn_cells(11, slice(2, 3), points=2, places=2, cells=10**6)  # the same cells of frame 2
        tensor([[2238250, 2611034],
                [2422446, 2629316]])
    """
    low = (1 << 32) - 1
    frame = torch.arange(frames.start, frames.stop, device=device)[:, None]
    draw = (frame * points + torch.arange(points, device=device)).flatten()
    # a number for each draw of each place, then its hash
    x = draw * places + torch.arange(places, device=device)[:, None]
    # 2³² / golden ratio: spreads neighbouring numbers before the finaliser
    x = (x * 0x9E3779B9 & low) ^ seed
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & low
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & low
    x ^= x >> 16
    cell = (x * cells) >> 32
    return cell + (frame * cells).repeat_interleave(points)


def same_place_logsumexp(
    query: Tensor, maps: Tensor, radius: int, border: Border = "exclude", excluded: Tensor | None = None
) -> Tensor:
    """Return `log Σ exp(q·v)` over the stored frames' cells in a square window around the query's place.

    Arguments and result are those of `per_query_logsumexp`; `radius` and `border` those of `reconstruct_locally`.
    Geometry of the public code (shasha521/LIIR_pytorch), which uses stride 8 and a radius of 3 cells.
    """
    grid = TileGrid((query.shape[2], query.shape[3]), Neighbourhood(radius, "square"))
    # (rows of tiles, columns, B, queries of a tile, C)
    queries = widened(grid.queries(query.movedim(1, -1)).permute(1, 2, 0, 3, 4))
    chunks = _window_chunks(queries.detach(), maps, grid, border, excluded)
    tile_queries = queries.flatten(2, 3).flatten(0, 1)
    sums = streamed_logsumexp(tile_queries, chunks).view(*queries.shape[:4], 1)
    return grid.from_queries(sums.permute(2, 0, 1, 3, 4)).squeeze(-1)


def _window_chunks(
    queries: Tensor, maps: Tensor, grid: TileGrid, border: Border, excluded: Tensor | None
) -> Iterator[Chunk]:
    """Yield the products of queries with the stored cells around them, tile by tile."""
    across, samples, _, channels = queries.shape[1:]
    tile_queries = queries.flatten(2, 3).flatten(0, 1)  # (tiles, queries of a tile in all samples, C)
    # a halo is a square that holds the keys of a tile
    cells = grid.halo**2
    # ranges of maps and of rows of tiles; a map meets the queries of all samples
    for frames, rows in grid.parts(len(maps), samples, amount_for(queries.device, NUMBERS_AT_ONCE)):
        stored = maps[frames].movedim(1, -1).to(queries.dtype)
        halos = grid.halos(grid.pad(stored), rows).permute(1, 2, 0, 3, 4, 5)  # (rows, columns, maps, *halo, C)
        keys = halos.reshape(-1, len(stored) * cells, channels)
        tiles = slice(rows.start * across, rows.stop * across)
        logits = torch.bmm(tile_queries[tiles], keys.mT)
        # (rows, columns, samples, queries, maps, cells), a view: the next lines change the logits
        by_map = logits.view(*halos.shape[:2], samples, -1, len(stored), cells)
        by_map += grid.bias(rows, 1, border, tile_queries)[:, :, None, :, None]
        if excluded is not None:
            by_map.masked_fill_(excluded[:, frames][:, None, :, None], -torch.inf)
        yield tiles, logits, partial(_add_weighted, keys=keys)


def _add_weighted(mean: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
    """Add `weights @ keys` to `mean` in place: weights `(b, n, K)` of keys `(b, K, C)` to `(b, n, C)`."""
    return mean.baddbmm_(weights, keys)
