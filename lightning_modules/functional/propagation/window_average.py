"""Averages over the windows of a map's cells with few kernels: small tiles of queries, in large groups."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .tiles import STRIP, Neighbourhood, windows_of


def grouped_average(
    neighbourhood: Neighbourhood,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    counts: Tensor,
    temperature: float,
    border: Literal["exclude", "zero"],
    adjust: Callable[[Tensor], Tensor] | None,
    normalise: bool,
    budget: int,
) -> Tensor:
    """Return `LocalAttention.average`; a kernel processes as many tiles of `STRIP`² queries as the budget holds.

    Args:
        neighbourhood: neighbourhood of a query cell, with a radius.
        query: (h, w, C).
        keys: (h, w, R, C), of the different references.
        values: (h, w, R, L).
        counts: (R,), number of times that a reference counts.
        temperature: see `LocalAttention.average`.
        border: see `LocalAttention.average`.
        adjust: see `LocalAttention.average`.
        normalise: see `LocalAttention.average`.
        budget: numbers in memory at a time: padded maps, and of a group keys, values and four times the products.

    Returns:
        (h, w, L).
    """
    (height, width, references, channels), reach = keys.shape, neighbourhood.reach or 0
    rows, columns, side, of_tile = -(-height // STRIP), -(-width // STRIP), STRIP + 2 * reach, STRIP**2
    padding = (reach, columns * STRIP - width + reach, reach, rows * STRIP - height + reach)
    with_ones = F.pad(values, (0, 1), value=1)  # the last channel of the average sums the weights on the map
    keys, values = (F.pad(maps, (0, 0, 0, 0, *padding)).flatten(0, 1) for maps in (keys, with_ones))
    query = F.pad(query, (0, 0, 0, columns * STRIP - width, 0, rows * STRIP - height))
    in_tiles = query.unflatten(1, (columns, STRIP)).unflatten(0, (rows, STRIP)).transpose(1, 2)
    queries = in_tiles.reshape(-1, of_tile, channels)
    windows, near = _window_cells(neighbourhood, rows, columns, side, query.device)
    far = torch.where(near, 0.0, -torch.inf).to(values.dtype)
    beyond = -torch.inf if border == "exclude" else 0.0
    of_maps = keys.numel() + values.numel() + queries.numel()
    at_once = max(1, (budget - of_maps) // (side**2 * references * (channels + values.shape[-1] + 4 * of_tile)))
    found = []
    for cells, asked in zip(windows.split(at_once), queries.split(at_once), strict=True):
        tiles = len(cells)
        seen, given = (maps.index_select(0, cells.flatten()).view(tiles, -1, maps.shape[-1]) for maps in (keys, values))
        weights = torch.bmm(seen, asked.mT).to(values.dtype).div_(temperature).view(tiles, -1, references, of_tile)
        weights += counts.log()[:, None]
        weights.masked_fill_((given[..., -1:] == 0).view(tiles, -1, references, 1), beyond)
        weights += far
        weights = weights.flatten(1, 2).softmax(1)
        if adjust is not None:
            block = windows_of(weights.view(tiles, side, side, references, of_tile), (STRIP, STRIP))
            block.copy_(adjust(block.flatten(4).flatten(0, 2)).view(block.shape))
        found.append(torch.bmm(given.mT, weights))
    average = torch.cat(found).view(rows, columns, -1, STRIP, STRIP).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    average = average[:height, :width]
    return average[..., :-1] / average[..., -1:].clamp_min(1e-12) if normalise else average[..., :-1]


def _window_cells(
    neighbourhood: Neighbourhood, rows: int, columns: int, side: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the cells around every tile, and the queries of a tile that each of the cells is near to.

    Returns:
        Long (tiles, side²), indices into the padded map; bool (side², 1, queries of a tile).
    """
    reach, across = (side - STRIP) // 2, columns * STRIP + side - STRIP
    axis, of_tile = torch.arange(side, device=device), torch.arange(STRIP, device=device)
    offset = axis[:, None] - reach - of_tile
    near = neighbourhood.contains(offset[:, None, :, None], offset[None, :, None, :])
    corners = (torch.arange(rows, device=device) * across)[:, None] + torch.arange(columns, device=device)
    cells = STRIP * corners.view(-1, 1) + (axis[:, None] * across + axis).flatten()
    return cells, near.flatten(2).flatten(0, 1)[:, None]
