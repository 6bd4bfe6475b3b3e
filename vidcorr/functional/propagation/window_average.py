"""Averages over the windows of a map's cells: a tile at a time on a CPU, rows of tiles with few kernels elsewhere."""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import to_device
from ..window_tiles import TILE, Border, WindowTiles
from .attention import few_kernels, key_products, workspace_of
from .tiles import Neighbourhood, tiles, used_of, windows_of


class WindowAverage:
    """Average of all values in a neighbourhood, weighted by the softmax of dot products / temperature.

    Args:
        neighbourhood: neighbourhood of a query cell.
        temperature: divides the products.
        border: "zero": cells outside the map take softmax mass with product 0 and give no value (squares only).
        adjust: replaces the weights of all windows: (queries, references, D · D) to the same shape (squares only).
        normalise: divide by the sum of the weights inside the map, which is 1 until they are adjusted.
    """

    def __init__(
        self,
        neighbourhood: Neighbourhood,
        temperature: float,
        border: Border = "exclude",
        adjust: Callable[[Tensor], Tensor] | None = None,
        normalise: bool = False,
    ) -> None:
        self.neighbourhood, self.temperature, self.adjust, self.normalise = (
            neighbourhood,
            temperature,
            adjust,
            normalise,
        )
        self._off_map = -torch.inf if border == "exclude" else 0.0
        self._biases: dict[tuple[int, int], Tensor] = {}

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, references: Sequence[int]) -> Tensor:
        """Return the average (h, w, L).

        Args:
            query: (h, w, C).
            keys: (h, w, S, C), contiguous.
            values: (h, w, S, L).
            references: indices into S; a repeated index counts twice.
        """
        listed = sorted(Counter(references).items())
        used, counts = (to_device(numbers, keys.device) for numbers in zip(*listed, strict=True))
        by_rows = few_kernels(keys) and self.neighbourhood.reach is not None
        average = self._by_rows if by_rows else self._by_tiles
        return average(query, keys, values, used, counts.to(values.dtype).log()[:, None])

    def _by_tiles(self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, log_counts: Tensor) -> Tensor:
        """Average tile by tile, over keys on the map."""
        (height, width), reach = keys.shape[:2], self.neighbourhood.reach
        budget = workspace_of(keys.device) // (4 * keys.element_size())  # for products, logits, weights and windows
        result = values.new_empty(height, width, values.shape[-1])
        for tile in tiles(height, width, reach, len(used), budget, slide=False, large=few_kernels(keys)):
            seen, given = (tile.keys_of(maps, used) for maps in (keys, values))
            queries = query[tile.query_slices].flatten(0, 1)
            products = key_products(seen.flatten(0, 2), queries).view(*seen.shape[:3], -1)
            logits = products.to(values.dtype).div_(self.temperature)
            logits += log_counts
            if logits.shape[:2] != tile.frame_size:
                framed = logits.new_full((*tile.frame_size, *logits.shape[2:]), self._off_map)
                framed[tile.inner] = logits
                logits = framed
            inside = self._weights(logits, tile.size)[tile.inner].reshape(-1, tile.queries)
            average = given.flatten(0, 2).T @ inside
            if self.normalise:
                average /= inside.sum(0).clamp_min(1e-12)
            result[tile.query_slices] = average.T.unflatten(0, tile.size)
        return result

    def _by_rows(self, query: Tensor, keys: Tensor, values: Tensor, used: Tensor, log_counts: Tensor) -> Tensor:
        """Average over windows of padded maps; a kernel processes as many rows of tiles as the workspace holds."""
        keys, values = used_of(keys, used), used_of(values, used)
        (height, width, references, channels), reach = keys.shape, self.neighbourhood.reach or 0
        tiling = WindowTiles(height, width, reach)
        queries = tiling.queries(query[None])[0]
        values = F.pad(values, (0, 1), value=1)  # the last channel of the average sums the weights on the map
        seen, given = (tiling.windows(tiling.pad(maps.flatten(2)[None]))[0] for maps in (keys, values))
        # padded maps, and of each query its part of the windows and four times the products
        budget = workspace_of(keys.device) // keys.element_size()
        budget -= keys.numel() + values.numel() + queries.numel()
        products = budget * TILE**2 // (channels + values.shape[-1] + 4 * TILE**2)
        averages = []
        for _, rows in tiling.parts(1, references, products):
            asked = queries[rows].flatten(0, 1)
            k, v = (part[rows].reshape(len(asked), -1, part.shape[-1] // references) for part in (seen, given))
            frame = len(asked), tiling.side, tiling.side, references
            logits = torch.bmm(k, asked.mT).to(values.dtype).div_(self.temperature).view(*frame, -1)
            logits += log_counts
            logits.masked_fill_((v[..., -1:] == 0).view(*frame, 1), self._off_map)
            averages.append(torch.bmm(v.mT, self._weights(logits, (TILE, TILE)).flatten(1, 3)))
        of_tiles = torch.cat(averages).mT.unflatten(0, (1, tiling.rows, tiling.columns))
        average, mass = tiling.from_queries(of_tiles)[0].split([values.shape[-1] - 1, 1], dim=-1)
        return average / mass.clamp_min(1e-12) if self.normalise else average

    def _weights(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the weights of a tile's queries, or of several tiles, from logits (…, rows, columns, R, queries)."""
        if self.neighbourhood.reach is not None:
            logits += self._bias(logits, size)
        weights = logits.flatten(-4, -2).softmax(-2).view(logits.shape)
        if self.adjust is not None:
            windows = windows_of(weights, size)
            windows.copy_(self.adjust(windows.flatten(-2).flatten(0, -3)).view(windows.shape))
        return weights

    def _bias(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return (frame rows, frame columns, 1, queries): 0 in the neighbourhood of a tile's query, otherwise −inf."""
        if size not in self._biases:
            *_, rows, columns, _, queries = logits.shape
            bias = logits.new_full((rows, columns, 1, queries), -torch.inf)
            windows_of(bias, size).masked_fill_(to_device(self.neighbourhood.kept, logits.device), 0.0)
            self._biases[size] = bias
        return self._biases[size]
