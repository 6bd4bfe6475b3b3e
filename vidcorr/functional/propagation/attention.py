"""Local attention of a map's cells to several reference maps, by torch: the average of all values in a neighbourhood.

The dense matrix is never stored: products are computed tile by tile (`window_tiles`), and stay within a workspace.
"""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols import LabelProtocol
from ..compactness import CompactnessPrior, compact_windows
from ..device import at_once, to_device, workspace_of
from ..window_tiles import TILE, Neighbourhood, TileGrid, used_of


def average_of_all(
    query: Tensor, keys: Tensor, values: Tensor, references: Sequence[int], protocol: LabelProtocol
) -> Tensor:
    """Return the average of all values in the neighbourhoods, weighted by the softmax of products / temperature.

    Args:
        query: (h, w, C).
        keys: (h, w, S, C), contiguous.
        values: (h, w, S, L).
        references: indices into S; a repeated index counts twice.
        protocol: the neighbourhood, the temperature, the border, the mixture (Liir, Eq. 7), and whether averages are
            divided by the sum of the weights on the map.

    Returns:
        (h, w, L).
    """
    count_of_reference = Counter(references)
    used_references = sorted(count_of_reference)
    used = to_device(used_references, keys.device)
    counts = to_device([count_of_reference[reference] for reference in used_references], keys.device).to(values.dtype)
    keys = used_of(keys, used)
    values = used_of(values, used)
    log_counts = counts.log()[:, None]
    if protocol.radius is None:
        return _average_of_map(query, keys, values, log_counts, protocol.temperature)
    return _average_of_halos(query, keys, values, log_counts, protocol)


def mixture_of(protocol: LabelProtocol) -> CompactnessPrior | None:
    """Return the mixtures that replace the windows of weights; None keeps the softmax."""
    if protocol.mixture_components is None:
        return None
    return CompactnessPrior(
        protocol.mixture_components, protocol.mixture_above, protocol.mixture_width, protocol.mixture_weights
    )


def _average_of_map(query: Tensor, keys: Tensor, values: Tensor, log_counts: Tensor, temperature: float) -> Tensor:
    """Average over the whole map, for as many queries at a time as the workspace holds.

    Shapes are those of `average_of_all`; `log_counts` is (S, 1).
    """
    rows = keys.flatten(0, 2)
    # Products, logits and weights. In half precision the last two are larger, float32, but parts of another size would
    # change the rounding of labels.
    numbers_of_key = 3
    bytes_of_query = numbers_of_key * keys.element_size() * len(rows)
    averages = []
    for part in query.flatten(0, 1).split(at_once(keys.device, bytes_of_query)):
        products = (rows @ part.T).unflatten(0, (-1, len(log_counts)))
        logits = products.to(values.dtype).div_(temperature).add_(log_counts)
        averages.append(logits.flatten(0, 1).softmax(0).T @ values.flatten(0, 2))
    return torch.cat(averages).unflatten(0, query.shape[:2])


def _average_of_halos(
    query: Tensor, keys: Tensor, values: Tensor, log_counts: Tensor, protocol: LabelProtocol
) -> Tensor:
    """Average over the halos of a padded map; a kernel processes as many rows of tiles as the workspace holds."""
    height, width, references, channels = keys.shape
    grid = TileGrid((height, width), Neighbourhood.of(protocol, (height, width)))
    queries = grid.queries(query[None])
    values = F.pad(values, (0, 1), value=1)  # the last channel of the average sums the weights on the map
    halos_of_keys = grid.halos(grid.pad(keys.flatten(2)[None]))
    halos_of_values = grid.halos(grid.pad(values.flatten(2)[None]))
    is_far = to_device(~grid.near.T, keys.device)
    bias = values.new_zeros(is_far.shape).masked_fill_(is_far, -torch.inf).view(*grid.halo_size, 1, -1)
    budget = workspace_of(keys.device) // keys.element_size()
    budget -= keys.numel() + values.numel() + queries.numel()  # the padded maps
    # a key of a halo has its channels, its values, and up to four copies of its products with the queries of a tile
    numbers_of_key = channels + values.shape[-1] + 4 * TILE**2
    products_at_once = budget * TILE**2 // numbers_of_key  # of the queries of a tile with as many keys as fit
    averages = []
    for part in grid.parts(1, references, products_at_once):
        q = queries[part].flatten(0, 2)
        k = halos_of_keys[part].reshape(len(q), -1, channels)
        v = halos_of_values[part].reshape(len(q), -1, values.shape[-1])
        shape = len(q), *grid.halo_size, references
        products = torch.bmm(k, q.mT).view(*shape, -1).to(values.dtype)
        logits = products.div_(protocol.temperature).add_(log_counts)
        is_off_map = (v[..., -1:] == 0).view(*shape, 1)
        weights = _weights_of_halos(logits, is_off_map, bias, grid, protocol)
        averages.append(torch.bmm(v.mT, weights.flatten(1, 3)))
    of_tiles = torch.cat(averages).mT.unflatten(0, (1, *grid.shape))
    of_map = grid.from_queries(of_tiles)[0]
    average, mass = of_map.split([values.shape[-1] - 1, 1], dim=-1)
    if protocol.normalise_labels and protocol.normalise_by == "weights":
        return average / mass.clamp_min(1e-12)
    return average


def _weights_of_halos(
    logits: Tensor, is_off_map: Tensor, bias: Tensor, grid: TileGrid, protocol: LabelProtocol
) -> Tensor:
    """Return the weights of the keys of halos, whose sum is 1 for each query of a tile, in place of the logits.

    Args:
        logits: (tiles, halo rows, halo columns, references, queries of a tile).
        is_off_map: True for keys off the map, (tiles, halo rows, halo columns, references, 1).
        bias: −inf for keys that are far from a query, else 0, (halo rows, halo columns, 1, queries of a tile).
        grid: the tiles.
        protocol: the border and the mixture.
    """
    # finite, since a query beyond the map sees nothing else, and NaN would enter all gradients
    logits.masked_fill_(is_off_map, 0.0 if protocol.border == "zero" else torch.finfo(logits.dtype).min)
    logits += bias
    weights = logits.flatten(1, 3).softmax(1).view(logits.shape)
    mixture = mixture_of(protocol)
    if mixture is not None:
        _replace_windows(grid.squares(weights), mixture)
    return weights


def _replace_windows(squares: Tensor, mixture: CompactnessPrior) -> None:
    """Replace windows of weights (…, R, D, D), D rows and columns around a query, by mixtures, in place."""
    windows = squares.flatten(-2).flatten(0, -3)
    squares.copy_(compact_windows(windows, mixture).view(squares.shape))
