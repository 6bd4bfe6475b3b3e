"""The search for the best matches of a map's cells in several reference maps, by torch: strip by strip, exactly.

A strip is a tile as high as the map (`window_tiles`). Its products are (key rows, halo columns, references, queries
that a row of keys meets); `places_met` says where a query finds its neighbourhood.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import at_once, kept, to_device, workspace_of
from ..dot_products import dot_products, onednn_pays
from ..window_tiles import TILE, Neighbourhood, TileGrid, used_of

FoundMatches = tuple[Tensor, Tensor]
"""Dot products (h, w, k) and cells, as `best_matches` returns them."""


class _Wanted(NamedTuple):
    """Slots of the searched references, and the number of matches to find.

    Attributes:
        used: the different slots, in order.
        listed: the slots as listed, repetitions included.
        places: index in `used` of every listed slot.
        slots: number of slots in memory.
        topk: number of matches.
    """

    used: Tensor
    listed: Tensor
    places: Tensor
    slots: int
    topk: int


def best_matches(
    query: Tensor, keys: Tensor, references: Sequence[int], topk: int, neighbourhood: Neighbourhood
) -> FoundMatches:
    """Return the largest dot products of all queries over their neighbourhoods in all references, exactly.

    Three steps: the maximum over the references at every cell; the top-k cells by this maximum; the top-k products
    at these cells. Every product of the top-k lies at one of these cells, so the search misses none.

    Args:
        query: (h, w, C).
        keys: (h, w, S, C), contiguous.
        references: indices into S; a repeated index counts twice.
        topk: matches to keep; fewer if cells and references are fewer.
        neighbourhood: keys of a query.

    Returns:
        (h, w, k) products in no order, −inf beyond the neighbourhood's cells on the map; and their indices, long
        (h, w, k): (y · w + x) · S + s.
    """
    used = sorted(set(references))
    places = list(map(used.index, references))
    device = keys.device
    listed = to_device(references, device)
    wanted = _Wanted(to_device(used, device), listed, to_device(places, device), keys.shape[2], topk)
    if neighbourhood.reach is None:
        return _matches_in_map(query, keys, wanted)
    return _matches_in_strips(query, keys, wanted, neighbourhood)


def _matches_in_map(query: Tensor, keys: Tensor, wanted: _Wanted) -> FoundMatches:
    """Find the matches on the whole map, for as many queries at a time as the workspace holds."""
    rows = used_of(keys, wanted.used).flatten(0, 2)
    # Products, and their maxima, at most as many. The copy of the maxima, as large for one reference, is not counted.
    numbers_of_key = 2
    bytes_of_query = numbers_of_key * keys.element_size() * len(rows)
    matches = []
    for queries in query.flatten(0, 1).split(at_once(keys.device, bytes_of_query)):
        products = (rows @ queries.T).unflatten(0, (-1, len(wanted.used)))  # (cells, references, queries)
        maxima, cells = _largest(products.amax(1).T.contiguous(), wanted.topk)
        products_of_cell = products[0].numel()
        addresses = cells * products_of_cell + torch.arange(len(queries), device=cells.device)[:, None]
        matches.append(_matches_at(addresses, products, maxima, cells, wanted))
    values, indices = map(torch.cat, zip(*matches, strict=True))
    return values.unflatten(0, query.shape[:2]), indices.unflatten(0, query.shape[:2])


def _matches_in_strips(query: Tensor, keys: Tensor, wanted: _Wanted, neighbourhood: Neighbourhood) -> FoundMatches:
    """Find the matches in the neighbourhoods, for as many strips at a time as the workspace holds.

    The products take one kernel per strip; all other kernels process a group of strips.
    """
    height = len(keys)
    references = len(wanted.used)
    grid = _widest_strips(keys, neighbourhood, wanted)
    columns = grid.tile_size[1]
    strips_at_once = at_once(keys.device, keys.element_size() * _numbers_of_search(grid, wanted))
    reach = grid.reach
    across = grid.halo_size[1]
    queries = _queries_met(grid)
    of_strips = grid.queries(query[None])[0, 0]  # (strips, queries of a strip, C), row by row
    rows_around = reach * columns  # queries of the rows above and below the map that the first and last keys meet
    padded = F.pad(of_strips, (0, 0, rows_around, rows_around))
    queries_met = padded.unfold(1, queries, columns)  # (strips, key rows, C, queries)
    places = places_met(grid, keys.device)
    beyond = to_device(~grid.on_map(1)[:, None, :, None], keys.device)
    matches = []
    for start in range(0, grid.shape[1], strips_at_once):
        strips = range(start, min(start + strips_at_once, grid.shape[1]))
        products = keys.new_empty(len(strips), height, across, references, queries)
        for of_strip, index in zip(products, strips, strict=True):
            _write_products(of_strip, keys, queries_met[index], wanted.used, grid, index)
        of_cells = products.amax(3).masked_fill_(beyond[strips.start : strips.stop], -torch.inf)
        of_halo = F.pad(of_cells, (0, 0, 0, 0, reach, reach), value=-torch.inf).flatten(1)
        of_neighbourhoods = of_halo.index_select(1, places.view(-1)).view(len(strips), *places.shape)
        maxima, choice = _largest(of_neighbourhoods, wanted.topk)
        chosen = places.expand(of_neighbourhoods.shape).gather(2, choice)
        addresses, cells = _locate(chosen, start, grid, references)
        matches.append(_matches_at(addresses, products, maxima, cells, wanted))
    values, indices = map(torch.cat, zip(*matches, strict=True))
    return grid.from_queries(values[None, None])[0], grid.from_queries(indices[None, None])[0]


def _locate(places: Tensor, first: int, grid: TileGrid, references: int) -> tuple[Tensor, Tensor]:
    """Return where places of `places_met` lie in the products of a group of strips, and on the map.

    Args:
        places: (strips, queries, k).
        first: number of the group's first strip.
        grid: strips.
        references: number of searched references.

    Returns:
        Addresses of the products with the first reference, in the flat products, and cells y · w + x; any numbers for
        places beyond the map.
    """
    height, width = grid.map_size
    across = grid.halo_size[1]
    queries = _queries_met(grid)
    strip = torch.arange(len(places), device=places.device)[:, None, None]
    cell = places // queries
    y = cell // across - grid.reach  # the halo begins `reach` rows above the map, and as many columns left of the strip
    column = cell % across
    x = (first + strip) * grid.tile_size[1] + column - grid.reach
    cell_of_products = (strip * height + y) * across + column
    return cell_of_products * (references * queries) + places % queries, y * width + x


def _write_products(products: Tensor, keys: Tensor, met: Tensor, used: Tensor, grid: TileGrid, index: int) -> None:
    """Write the products of a strip's keys on the map with the queries that their rows meet.

    Other places are masked by the caller, or looked up by no query on the map, and may stay unwritten.

    Args:
        products: where they are written, (key rows, halo columns, references, queries).
        keys: (h, w, S, C).
        met: queries that each row of keys meets, (key rows, C, queries).
        used: slots of the references.
        grid: strips.
        index: number of the strip.
    """
    height, width = keys.shape[:2]
    first = index * grid.tile_size[1] - grid.reach  # column of the map at which the halo begins
    left = max(first, 0)
    right = min(first + grid.halo_size[1], width)
    on_map = products[:, left - first : right - first]  # (key rows, columns on the map, references, queries)
    keys_on_map = used_of(keys[:, left:right], used)
    # `bmm` rounds otherwise, which would change recorded scores of points: they search by torch on a CPU too
    if onednn_pays(met, keys_on_map[0]):
        _write_products_row_by_row(on_map, keys_on_map, met, grid)
    else:
        torch.bmm(keys_on_map.flatten(1, 2), met, out=on_map.view(height, -1, met.shape[2]))


def _write_products_row_by_row(on_map: Tensor, keys_on_map: Tensor, met: Tensor, grid: TileGrid) -> None:
    """Write the products as `_write_products` does, by oneDNN, with the queries on the map alone.

    Args:
        on_map: where they are written, (key rows, columns on the map, references, queries).
        keys_on_map: (key rows, columns on the map, references, C).
        met: queries that each row of keys meets, (key rows, C, queries).
        grid: strips.
    """
    columns = grid.tile_size[1]
    reach = grid.reach
    for y, keys_of_row in enumerate(keys_on_map):
        # of the query rows y − reach … y + reach those on the map
        first_row = max(reach - y, 0)
        end = min(len(keys_on_map) - y, reach + 1) + reach
        queries_on_map = slice(first_row * columns, end * columns)
        queries = met[y, :, queries_on_map].T
        products = dot_products(queries, keys_of_row.flatten(0, 1))
        on_map[y, :, :, queries_on_map] = products.T.unflatten(0, keys_of_row.shape[:2])


def _matches_at(addresses: Tensor, products: Tensor, maxima: Tensor, cells: Tensor, wanted: _Wanted) -> FoundMatches:
    """Return the top-k products at the best cells, and the indices of their keys.

    Args:
        addresses: of the cells' products with the first reference, in the flat products, (…, queries, cells).
        products: (…, references, queries).
        maxima: largest products over the references, (…, queries, cells); −inf if there are fewer cells.
        cells: y · w + x, (…, queries, cells).
        wanted: the references, and the number of matches.
    """
    is_outside = maxima == -torch.inf
    # the candidates of a query: each of its cells in each listed reference
    candidates = addresses.masked_fill(is_outside, 0)[..., None] + wanted.places * products.shape[-1]
    of_candidates = products.view(-1).index_select(0, candidates.view(-1)).view(candidates.shape)
    of_candidates.masked_fill_(is_outside[..., None], -torch.inf)
    top, choice = _largest(of_candidates.flatten(-2), wanted.topk)
    per_cell = len(wanted.listed)
    indices = cells.gather(-1, choice // per_cell) * wanted.slots + wanted.listed[choice % per_cell]
    return top, indices.masked_fill_(top == -torch.inf, 0)


def _widest_strips(keys: Tensor, neighbourhood: Neighbourhood, wanted: _Wanted) -> TileGrid:
    """Return the strips of the map, of `TILE` columns, or as many fewer as the workspace needs to hold a search."""
    height, width = keys.shape[:2]
    budget = workspace_of(keys.device) // keys.element_size()
    columns = TILE
    grid = TileGrid((height, width), neighbourhood, (height, columns))
    while columns > 1 and _numbers_of_search(grid, wanted) > budget:
        columns //= 2
        grid = TileGrid((height, width), neighbourhood, (height, columns))
    return grid


def _queries_met(grid: TileGrid) -> int:
    """Return the number of queries that a row of keys meets: 2 · reach + 1 rows, those beyond the map included."""
    return (2 * grid.reach + 1) * grid.tile_size[1]


def _numbers_of_search(grid: TileGrid, wanted: _Wanted) -> int:
    """Return how many numbers the search of a strip holds at a time, for the workspace."""
    rows, columns = grid.halo_size
    of_reference = rows * columns * _queries_met(grid)
    of_products = of_reference * (len(wanted.used) + 2)  # the maxima over the references, and a padded copy of these
    # a query has its neighbourhood, and six numbers of each candidate: product, addresses and indices
    of_query = int(grid.neighbourhood.kept.sum()) + 6 * wanted.topk * len(wanted.listed)
    return of_products + grid.tile_size[0] * grid.tile_size[1] * of_query


@kept(8)
def places_met(grid: TileGrid, device: torch.device) -> Tensor:
    """Return the places of each query's neighbourhood in a strip's maxima.

    Args:
        grid: strips.
        device: device of the result.

    Returns:
        Long (queries of a strip, cells), places in the flat (halo rows, halo columns, queries that a row meets).
    """
    cells = grid.windows
    rows, columns = grid.tile_size
    query = np.arange(rows * columns)[:, None]
    # the first query that the cell's row of keys meets, which moves down with the row
    first_met = (cells // grid.halo_size[1] - 2 * grid.reach) * columns
    return to_device(cells * _queries_met(grid) + (query - first_met), device)


def _largest(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Return values and indices of the top-k of (…, n), both (…, min(k, n)), in no order."""
    top, index = scores.topk(min(topk, scores.shape[-1]), sorted=False)
    return top, index
