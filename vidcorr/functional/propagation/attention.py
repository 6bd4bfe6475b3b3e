"""Local attention of a map's cells to several reference maps, by torch: the best matches, or the average of all values.

The dense matrix is never stored: products are computed for as many tiles (`window_tiles`) as the workspace holds.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols import LabelProtocol
from ..compactness import CompactnessPrior, compact_windows
from ..device import items_in_workspace, slices, to_device
from ..window_tiles import Neighbourhood, TileGrid, used_by

BestMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `best_matches` returns them."""


class _Part(NamedTuple):
    """Products of the queries of some tiles with the keys around them.

    Attributes:
        places: cells y · w + x of the queries, (tiles, queries); −1 beyond the map.
        cells: cells y · w + x of the keys, (tiles, keys); −1 beyond the map.
        products: (tiles, keys, references, queries).
        is_far: True for keys outside a query's neighbourhood, in a shape that broadcasts to (keys, queries).
    """

    places: Tensor
    cells: Tensor
    products: Tensor
    is_far: Tensor


def _parts(
    query: Tensor, keys: Tensor, neighbourhood: Neighbourhood, floats_per_pair: int, floats_per_query: int, on_map: bool
) -> Iterator[_Part]:
    """Yield the products of all queries with their neighbourhoods, in parts that fit into the workspace.

    Args:
        floats_per_pair: how many numbers memory holds for a query and a key, with its products with all references.
        floats_per_query: how many further numbers memory holds for a query.
        on_map: yield only keys on the map; else parts also have cells beyond it, whose products are arbitrary.
    """
    height, width, references, channels = keys.shape
    device = keys.device
    map_cells = torch.arange(height * width, device=device).view(1, height, width, 1)
    # a part is like a single tile whose halo is the map
    if neighbourhood.reach is None:
        rows = keys.flatten(0, 2)
        nothing_is_far = map_cells.new_zeros(1, 1).bool()
        query_bytes = keys.element_size() * (floats_per_pair * height * width + floats_per_query)
        for places in map_cells.flatten().split(items_in_workspace(device, query_bytes)):
            products = (rows @ query.flatten(0, 1)[places].T).unflatten(0, (-1, references))
            yield _Part(places[None], map_cells.view(1, -1), products[None], nothing_is_far)
        return
    # Queries are taken in square tiles. The keys of a tile's queries lie in the tile and a margin around it, its halo.
    # A band holds the keys of some columns of tiles, copied once, so that halos are views of it. With `on_map`, halos
    # are cut at the map's edge: all halos of a part must be cut alike, so a band has one column of tiles.
    grid = TileGrid((height, width), neighbourhood)
    queries = grid.queries(query[None])[0]
    # + 1 − 1: a grid fills with 0 beyond the map, where places and cells are −1
    tile_places = grid.queries(map_cells + 1)[0, ..., 0] - 1
    halo_cells = grid.halos(grid.pad(map_cells + 1))[0, ..., 0] - 1
    is_far = to_device(~grid.near.T, device).view(grid.halo, grid.halo, -1)  # (rows and columns of a halo, queries)
    numbers = is_far.numel() * floats_per_pair + is_far.shape[2] * floats_per_query
    tiles_at_once = items_in_workspace(device, keys.element_size() * numbers)
    down, across = grid.shape
    columns_at_once = 1 if on_map else min(max(1, tiles_at_once // down), across)
    band = keys.new_zeros(grid.band_size(columns_at_once, references * channels))
    for columns in slices(across, columns_at_once):
        halo_columns = grid.extent(columns.start, width) if on_map else slice(0, grid.halo)
        halos = grid.column_halos(keys.flatten(2), columns, halo_columns, band)
        for tiles, halo_rows in grid.equal_tiles(max(1, tiles_at_once // columns_at_once), on_map):
            places = tile_places[tiles, columns].flatten(0, 1)
            tile_keys = halos[tiles, :, halo_rows].reshape(len(places), -1, channels)
            products = torch.bmm(tile_keys, queries[tiles, columns].flatten(0, 1).mT).unflatten(1, (-1, references))
            cells = halo_cells[tiles, columns, halo_rows, halo_columns].flatten(0, 1).flatten(1)
            yield _Part(places, cells, products, is_far[halo_rows, halo_columns].flatten(0, 1))


def best_matches(
    query: Tensor, keys: Tensor, references: Sequence[int], topk: int, neighbourhood: Neighbourhood
) -> BestMatches:
    """Return the largest dot products of queries (h, w, C) with their neighbourhoods in keys (h, w, S, C), exactly.

    Three steps: the maximum over the references at every cell; the top-k cells by this maximum; the top-k products
    at these cells. Every product of the top-k lies at one of these cells, so the search misses none.

    Returns:
        Products (h, w, topk) in no order; and the keys' cells, long (h, w, topk), as indices (y · w + x) · S + s. If a
        neighbourhood has fewer keys, both are padded with −inf at index 0.
    """
    height, width, slots, _ = keys.shape
    used = sorted(set(references))
    in_used = to_device(list(map(used.index, references)), keys.device)
    listed = to_device(references, keys.device)
    # a row per cell of the map; the last row, index −1, takes the results of queries beyond the map (`part.places`)
    values = query.new_full((height * width + 1, topk), -torch.inf)
    indices = torch.zeros(height * width + 1, topk, dtype=torch.long, device=query.device)
    used_keys = used_by(keys, to_device(used, keys.device))
    # a GPU takes halos that are equal, in few kernels
    on_map = keys.device.type == "cpu"
    # held at once: products, their maximum and its copies; and per match the addresses, candidates and results
    for part in _parts(query, used_keys, neighbourhood, len(used) + 3, 12 * topk * len(references), on_map):
        count, tile_cells, number, queries = part.products.shape
        is_no_match = part.is_far | (part.cells < 0)[..., None]
        best_in_cells = part.products.amax(2).masked_fill_(is_no_match, -torch.inf)
        maxima, choice = _largest(best_in_cells.mT.contiguous(), topk)  # (tiles, queries, k)
        tile = torch.arange(count, device=keys.device)[:, None, None]
        # flat address in `products` of a chosen cell's first reference and the query; then of each listed reference
        first = (tile * tile_cells + choice) * (number * queries)
        first += torch.arange(queries, device=keys.device)[:, None]
        addresses = first[..., None] + in_used * queries  # (tiles, queries, k, listed references)
        candidates = part.products.view(-1).index_select(0, addresses.view(-1)).view(addresses.shape)
        candidates.masked_fill_((maxima == -torch.inf)[..., None], -torch.inf)
        # `best`: place among k cells · listed references
        top, best = _largest(candidates.flatten(2), topk)
        cells = part.cells[:, None].expand(-1, queries, -1).gather(2, choice)
        index = cells.gather(2, best // len(references)) * slots + listed[best % len(references)]
        values[part.places, : top.shape[-1]] = top
        indices[part.places, : top.shape[-1]] = index.masked_fill_(top == -torch.inf, 0)
    return values[:-1].unflatten(0, (height, width)), indices[:-1].unflatten(0, (height, width))


def average_all(
    query: Tensor, keys: Tensor, values: Tensor, references: Sequence[int], protocol: LabelProtocol
) -> Tensor:
    """Return the average (h, w, L) of all values (h, w, S, L), weighted by the softmax of products / temperature."""
    reference_counts = Counter(references)
    used = to_device(sorted(reference_counts), keys.device)
    counts = to_device([reference_counts[reference] for reference in sorted(reference_counts)], keys.device)
    # (references, 1), added to logits: a reference that counts twice has twice the weight
    log_counts = counts.to(values.dtype).log()[:, None]
    # the average of 1 is the sum of the weights on the map
    with_ones = F.pad(used_by(values, used), (0, 1), value=1)
    table = F.pad(with_ones.flatten(0, 1), (0, 0, 0, 0, 0, 1))
    height, width = keys.shape[:2]
    # the last row is for queries beyond the map
    averages = table.new_zeros(height * width + 1, table.shape[-1])
    neighbourhood = Neighbourhood.of(protocol, keys.shape)
    prior = protocol_prior(protocol)
    floats_per_query = 0
    # held at once: windows of logits, of weights, of mixtures, and a copy
    if prior is not None:
        windows = to_device(TileGrid((height, width), neighbourhood).windows, keys.device)[:, None]
        floats_per_query = 4 * len(used) * windows.shape[2]
    # held at once: products, weights, and rows of the table
    floats_per_pair = 3 * len(used)
    for part in _parts(query, used_by(keys, used), neighbourhood, floats_per_pair, floats_per_query, on_map=False):
        # (tiles, keys, references, queries); places of queries and cells of keys are y · w + x, −1 beyond the map
        logits = part.products.to(values.dtype).div_(protocol.temperature).add_(log_counts)
        # finite: a query beyond the map sees only such cells, and NaN of −inf would enter all gradients
        off_map = 0.0 if protocol.border == "zero" else torch.finfo(logits.dtype).min
        logits.masked_fill_((part.cells < 0)[..., None, None], off_map)
        logits.masked_fill_(part.is_far.unsqueeze(-2), -torch.inf)
        weights = logits.flatten(1, 2).softmax(1)
        if prior is not None:
            _replace_windows(weights.view(logits.shape), windows, prior)
        averages[part.places] = torch.bmm(weights.mT, table[part.cells].flatten(1, 2))
    average, mass = averages[:-1].unflatten(0, (height, width)).split([values.shape[-1], 1], dim=-1)
    if protocol.normalise_labels and protocol.normalise_by == "weights":
        return average / mass.clamp_min(1e-12)
    return average


def protocol_prior(protocol: LabelProtocol) -> CompactnessPrior | None:
    """Return the prior whose mixtures of Gaussians replace windows of weights (Liir, Eq. 7); None without mixtures."""
    if protocol.mixture_components is None:
        return None
    return CompactnessPrior(
        protocol.mixture_components, protocol.mixture_above, protocol.mixture_width, protocol.mixture_weights
    )


def _replace_windows(weights: Tensor, windows: Tensor, prior: CompactnessPrior) -> None:
    """Replace the square windows of weights (tiles, keys, references, queries) by mixtures, in place."""
    # keys last; a view: `scatter_` writes into `weights`
    by_query = weights.permute(0, 3, 2, 1)
    index = windows.expand(len(weights), -1, by_query.shape[2], -1)
    by_query.scatter_(3, index, compact_windows(by_query.gather(3, index), prior))


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    top, index = scores.topk(min(topk, scores.shape[-1]), sorted=False)
    return top, index
