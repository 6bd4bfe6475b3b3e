"""Local attention of a map's cells to several reference maps, by torch: the best matches, and the average of all.

Neither stores the dense matrix. Products are computed tile by tile (`window_tiles`), and stay within a workspace.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compactness import CompactnessPrior, compact_windows
from ..device import to_device
from ..window_tiles import TILE, Border, Neighbourhood, Tile, TileGrid, used_of
from .blocks import Block, FoundMatches, WantedKeys, key_products, tile_products, tiles

WORKSPACE = 64 * 2**20  # bytes of a tile's products, which stay in a CPU's cache
LARGEST_WORKSPACE = 2**30
SHARE_OF_MEMORY = 32  # a GPU of 32 GiB or more gives the largest workspace


class Weighting(NamedTuple):
    """Rules that turn products into the weights of an average.

    Attributes:
        temperature: divides the products before the softmax.
        border: "zero": cells outside the map take softmax mass with product 0 and give no value (squares only).
        prior: replaces the weights by mixtures of Gaussians (squares only); None keeps the softmax.
        normalise: divide an average by the sum of the weights inside the map, which is 1 without a prior or such a
            border.
        dtype: type of the logits; None: that of the products.
        log_counts: logarithm of how often each reference counts, (R, 1); 0: once.
    """

    temperature: float
    border: Border = "exclude"
    prior: CompactnessPrior | None = None
    normalise: bool = False
    dtype: torch.dtype | None = None
    log_counts: Tensor | float = 0.0

    @property
    def off_map(self) -> float:
        """Logit of cells outside the map."""
        if self.border == "zero":
            return 0.0
        return -math.inf

    def logits(self, products: Tensor) -> Tensor:
        """Return the logits of products (…, R, queries), in place if the type stays."""
        return products.to(self.dtype or products.dtype).div_(self.temperature).add_(self.log_counts)


class LocalAttention:
    """Attention of all cells to their neighbourhoods, for maps of equal size.

    Args:
        neighbourhood: keys of a query cell.
    """

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self.neighbourhood = neighbourhood
        # kept from frame to frame
        self._addresses: dict[tuple[tuple[int, int], int], Tensor] = {}  # size of a tile, top-k → its queries' cells
        self._distances: dict[tuple[int, int], Tensor] = {}  # size of a tile → 0 in a neighbourhood, −inf elsewhere
        self._columns_beyond: Tensor | None = None  # mask of the strips' columns that lie beyond the map

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
        used = len(wanted.used)
        budget = workspace_of(keys.device) // keys.element_size()
        if not few_kernels(keys):
            return self._matches_by_tiles(query, keys, wanted, budget)
        reach = self.neighbourhood.reach
        height = keys.shape[0]
        if reach is not None and height > 2 * reach + 1:
            columns = range(reach, reach + TILE)
            strip = Tile((range(height), columns), (height, columns.stop + reach), self.neighbourhood, slides=True)
            maxima = math.prod(strip.halo_size) * strip.queries
            queries = math.prod(strip.size)
            # a query has its neighbourhood, and candidates with their addresses
            of_queries = queries * (int(self.neighbourhood.kept.sum()) + 6 * topk * len(references))
            at_once = budget // (strip.products * used + maxima + of_queries)
            if at_once:
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
        weighting: Weighting,
    ) -> Tensor:
        """Return the average of all values in the neighbourhoods, weighted by the softmax of products / temperature.

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            values: (h, w, S, L).
            references: indices into S; a repeated index counts twice.
            weighting: from products to weights.

        Returns:
            (h, w, L).
        """
        used, weighting = _distinct_references(references, weighting, keys.device, values.dtype)
        if self.neighbourhood.reach is None:
            return self._average_of_map(query, keys, values, used, weighting)
        return self._average_of_halos(query, keys, values, used, weighting)

    def _matches_by_tiles(self, query: Tensor, keys: Tensor, wanted: WantedKeys, budget: int) -> FoundMatches:
        """Find the matches of `best_matches` tile by tile, each of at most `budget` products."""
        height, width = keys.shape[:2]
        used = len(wanted.used)
        plan = tiles((height, width), self.neighbourhood, used, budget, slide=True, large=few_kernels(keys))
        most_products = max((tile.products for tile in plan if tile.slides), default=0)
        buffer = keys.new_empty(most_products * used)
        matches = []
        for tile in plan:
            halo = tile.halo_size
            # padding addresses point at the last number
            maxima = keys.new_full((math.prod(halo) * tile.queries + 1,), -torch.inf)
            maxima_on_map = maxima[:-1].view(*halo, tile.queries)[tile.inner]
            products = tile_products(tile, query, tile.keys_of(keys, wanted.used), buffer, maxima_on_map)
            addresses = None
            if self.neighbourhood.reach is not None:
                addresses = self._addresses_of(tile, wanted.topk, keys)
            matches.append(Block(tile, products, maxima).best_matches(addresses, wanted, keys))
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
        height, width = keys.shape[:2]
        used = len(wanted.used)
        grid = TileGrid((height, width), self.neighbourhood, strip.size)
        met = strip.met(grid.queries(query[None])[0, 0])
        addresses = self._addresses_of(strip, wanted.topk, keys)
        if self._columns_beyond is None:
            self._columns_beyond = to_device(~grid.on_map(1)[:, None, :, None], keys.device)
        matches = []
        for start in range(0, grid.shape[1], at_once):
            strips = range(start, min(start + at_once, grid.shape[1]))
            products_of_strips = keys.new_empty(len(strips), height, len(strip.keys[1]), used, strip.queries)
            for products, index in zip(products_of_strips, strips, strict=True):
                first = index * TILE - grid.reach  # column of the halo
                left = max(first, 0)
                right = min(first + len(strip.keys[1]), width)
                on_map = products[:, left - first : right - first]
                part = used_of(keys[:, left:right], wanted.used)
                torch.bmm(part.flatten(1, 2), met[index], out=on_map.flatten(1, 2))
            maxima = keys.new_full((len(strips), *strip.halo_size, strip.queries), -torch.inf)
            torch.amax(products_of_strips, 3, out=maxima[:, strip.inner[0]])
            maxima.masked_fill_(self._columns_beyond[strips.start : strips.stop], -torch.inf)
            block = Block(strip, products_of_strips, maxima.flatten(1), strips)
            matches.append(block.best_matches(addresses, wanted, keys))
        values, indices = map(torch.cat, zip(*matches, strict=True))
        return grid.from_queries(values[None, None])[0], grid.from_queries(indices[None, None])[0]

    def _average_of_map(
        self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, weighting: Weighting
    ) -> Tensor:
        """Average over the whole map, as many queries at a time as the workspace holds with products and weights."""
        rows = used_of(keys, used).flatten(0, 2)
        table = used_of(values, used).flatten(0, 2)
        at_once = max(1, workspace_of(keys.device) // (3 * keys.element_size() * len(rows)))
        averages = []
        for part in query.flatten(0, 1).split(at_once):
            products = key_products(rows, part).unflatten(0, (-1, len(used)))
            weights = weighting.logits(products).flatten(0, 1).softmax(0)
            averages.append(weights.T @ table)
        return torch.cat(averages).unflatten(0, query.shape[:2])

    def _average_of_halos(
        self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, weighting: Weighting
    ) -> Tensor:
        """Average over the halos of a padded map; a kernel processes as many rows of tiles as the workspace holds."""
        keys = used_of(keys, used)
        values = used_of(values, used)
        height, width, references, channels = keys.shape
        grid = TileGrid((height, width), self.neighbourhood)
        queries = grid.queries(query[None])
        values = F.pad(values, (0, 1), value=1)  # the last channel of the average sums the weights on the map
        seen = grid.halos(grid.pad(keys.flatten(2)[None]))
        given = grid.halos(grid.pad(values.flatten(2)[None]))
        # padded maps, and of each query its part of the halos and four times the products
        budget = workspace_of(keys.device) // keys.element_size()
        budget -= keys.numel() + values.numel() + queries.numel()
        products = budget * TILE**2 // (channels + values.shape[-1] + 4 * TILE**2)
        averages = []
        for part in grid.parts(1, references, products):
            asked = queries[part].flatten(0, 2)
            k = seen[part].reshape(len(asked), -1, seen.shape[-1] // references)
            v = given[part].reshape(len(asked), -1, given.shape[-1] // references)
            shape = len(asked), *grid.tile.halo_size, references
            logits = weighting.logits(torch.bmm(k, asked.mT).view(*shape, -1))
            is_off_map = (v[..., -1:] == 0).view(*shape, 1)
            logits.masked_fill_(is_off_map, weighting.off_map)
            averages.append(torch.bmm(v.mT, self._weights(logits, grid.tile, weighting.prior).flatten(1, 3)))
        of_tiles = torch.cat(averages).mT.unflatten(0, (1, *grid.shape))
        of_map = grid.from_queries(of_tiles)[0]
        average, mass = of_map.split([values.shape[-1] - 1, 1], dim=-1)
        if weighting.normalise:
            return average / mass.clamp_min(1e-12)
        return average

    def _weights(self, logits: Tensor, tile: Tile, prior: CompactnessPrior | None) -> Tensor:
        """Return the weights of a tile's queries, or of several equal tiles, from logits in blocks (…, R, queries)."""
        if self.neighbourhood.reach is not None:
            if tile.size not in self._distances:
                far = to_device(~tile.near.T, logits.device)
                bias = logits.new_zeros(far.shape).masked_fill_(far, -torch.inf)
                self._distances[tile.size] = bias.view(*tile.halo_size, 1, -1)
            logits += self._distances[tile.size]
        weights = logits.flatten(-4, -2).softmax(-2).view(logits.shape)
        if prior is not None:
            squares = tile.squares(weights)
            windows = squares.flatten(-2).flatten(0, -3)
            squares.copy_(compact_windows(windows, prior).view(squares.shape))
        return weights

    def _addresses_of(self, tile: Tile, topk: int, keys: Tensor) -> Tensor:
        """Return the addresses of a tile's queries in the maxima, (queries, n); tiles of equal size share them.

        On a CPU they are padded with the last address: with at least 64 · topk values torch sorts partially, in half
        the time.
        """
        shape = tile.size, topk
        if shape not in self._addresses:
            addresses = to_device(tile.addresses, keys.device)
            missing = 64 * topk - addresses.shape[1]
            if not few_kernels(keys) and topk < addresses.shape[1] and missing > 0:
                addresses = F.pad(addresses, (0, missing), value=math.prod(tile.halo_size) * tile.queries)
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


def _distinct_references(
    references: Sequence[int], weighting: Weighting, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Weighting]:
    """Return the different references, sorted, and the weighting with the logarithm of how often each is listed."""
    listed = sorted(Counter(references).items())
    used = to_device([reference for reference, _ in listed], device)
    counts = to_device([count for _, count in listed], device)
    return used, weighting._replace(dtype=dtype, log_counts=counts.to(dtype).log()[:, None])
