"""Similarity of points with the cells of a feature map, and positions decoded from it, in cells.

Positions are x, y in cells: the first cell spans 0 to 1, and its centre is at 0.5.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import to_device, workspace_of

QUADS = 24
"""Number of squares between four cell centres that are evaluated first."""

Decoding = Literal["argmax", "soft_argmax", "expectation", "topk"]


def cell_centres(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the centres of all cells in rows, x, y `(h * w, 2)`."""
    rows = torch.arange(height, dtype=torch.float32, device=device) + 0.5
    columns = torch.arange(width, dtype=torch.float32, device=device) + 0.5
    return torch.cartesian_prod(rows, columns).flip(1)


def sample_features(features: Tensor, positions: Tensor) -> Tensor:
    """Return the features at positions between cells, bilinearly; beyond the outermost centres the border's features.

    Args:
        features: `(C, h, w)`.
        positions: x, y `(N, 2)` in cells.

    Returns:
        `(N, C)`.
    """
    size = to_device([features.shape[2], features.shape[1]], positions.device)
    grid = (positions / size * 2 - 1).to(features)
    sampled = F.grid_sample(features[None], grid[None, None], align_corners=False, padding_mode="border")
    return sampled[0, :, 0].T.contiguous()


def similarity_maps(descriptors: Tensor, features: Tensor, normalise: bool = True) -> Tensor:
    """Return the similarity of all descriptors with all cells.

    Args:
        descriptors: `(N, C)`.
        features: `(C, h, w)`.
        normalise: cosines; otherwise dot products.

    Returns:
        `(N, h, w)`.
    """
    cells = features.flatten(1)
    if normalise:
        descriptors = F.normalize(descriptors)
        cells = F.normalize(cells, dim=0)
    return (descriptors @ cells).unflatten(1, features.shape[1:])


def decode_positions(
    similarities: Tensor, decoding: Decoding, temperature: float = 0.05, radius: float = 5.0, topk: int = 5
) -> Tensor:
    """Decode similarity maps to positions.

    Args:
        similarities: `(N, h, w)`.
        decoding: "argmax": centre of the best cell, the first among equals. "soft_argmax": mean of the cells at a
            distance from it strictly below `radius`, weighted by the softmax (TAPIR, utils/model_utils.py).
            "expectation": the same over all cells (GMRW). "topk": over the `topk` best cells.
        temperature: divides the similarities before the softmax.
        radius: cells.
        topk: number of cells.

    Returns:
        x, y `(N, 2)` in cells.

    Example:
        >>> decode_positions(torch.eye(6).view(6, 2, 3)[4:5], "argmax")
        tensor([[1.5000, 1.5000]])
    """
    _, height, width = similarities.shape
    centres = cell_centres(height, width, similarities.device).to(similarities.dtype)
    flat = similarities.flatten(1)
    if decoding == "argmax":
        return centres[flat.argmax(1)]
    logits = flat / temperature
    if decoding == "topk":
        best, choice = logits.topk(min(topk, logits.shape[1]))
        return torch.einsum("nk,nkd->nd", best.softmax(1), centres[choice])
    if decoding == "soft_argmax":
        peaks = centres[flat.argmax(1)]
        distances = (centres - peaks[:, None]).square().sum(-1)
        logits = logits.masked_fill(distances >= radius**2, -math.inf)
    return logits.softmax(1) @ centres


def best_pixels(heatmaps: Tensor, height: int, width: int, topk: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of heat-maps enlarged bilinearly, and the centres of their pixels.

    A bilinear value is at most the largest of the four cells around it. The squares between cell centres with the
    largest bounds are evaluated first; if the last value found exceeds all other bounds, the result is complete.
    Otherwise, or if a cell is not an even number of pixels wide, the whole map is enlarged.

    Args:
        heatmaps: `(N, h, w)`.
        height: height of the enlarged maps, pixels.
        width: width of the enlarged maps, pixels.
        topk: pixels per map, at most all.

    Returns:
        Values `(N, k)`, largest first, and x, y `(N, k, 2)` in pixels; the first pixel's centre is at 0.5.
    """
    rows, columns = heatmaps.shape[1:]
    topk = min(topk, height * width)
    side = height // rows
    fits = side % 2 == 0 and (height, width) == (side * rows, side * columns)
    has_few_squares = (rows + 1) * (columns + 1) <= 2 * QUADS
    has_few_pixels = QUADS * side**2 < 4 * topk  # at a corner, a quarter of a square lies inside the map
    # a GPU enlarges maps faster than it can answer whether the result is complete
    if heatmaps.device.type != "cpu" or not fits or has_few_squares or has_few_pixels:
        return _of_enlarged(heatmaps, height, width, topk)
    bytes_of_pixel = 32  # its value and place, and what they are computed from
    at_once = max(1, workspace_of(heatmaps.device) // (bytes_of_pixel * QUADS * side**2))
    of_parts = [_of_quads(part, side, topk) for part in heatmaps.split(at_once)]
    values, centres, sure = map(torch.cat, zip(*of_parts, strict=True))
    if not sure.all():
        unsure = ~sure
        values[unsure], centres[unsure] = _of_enlarged(heatmaps[unsure], height, width, topk)
    return values, centres


def _of_enlarged(heatmaps: Tensor, height: int, width: int, topk: int) -> tuple[Tensor, Tensor]:
    """Return the best pixels of whole enlarged maps, as `best_pixels`."""
    best = []
    bytes_of_pixel = 8  # float32, and the copy of topk
    at_once = max(1, workspace_of(heatmaps.device) // (bytes_of_pixel * height * width))
    for part in heatmaps.split(at_once):
        enlarged = F.interpolate(part[None], (height, width), mode="bilinear")
        best.append(enlarged[0].flatten(1).topk(topk))
    values, choice = map(torch.cat, zip(*best, strict=True))
    return values, cell_centres(height, width, heatmaps.device)[choice]


def _of_quads(heatmaps: Tensor, side: int, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best pixels of the best squares, and a mask `(N,)` of maps for which they are surely complete.

    A square is `side` pixels wide and lies between four neighbouring centres of the map, padded by a cell all around.
    """
    rows, columns = heatmaps.shape[1:]
    device = heatmaps.device
    padded = F.pad(heatmaps[:, None], (1, 1, 1, 1), mode="replicate")
    of_two = torch.maximum(padded[:, 0, :-1], padded[:, 0, 1:])
    of_four = torch.maximum(of_two[:, :, :-1], of_two[:, :, 1:])
    bounds, choice = of_four.flatten(1).topk(QUADS + 1)  # the last bound is the largest of all other squares
    squares = choice[:, :-1]
    y = squares // (columns + 1)
    x = squares % (columns + 1)
    flat = padded.flatten(1)
    corner = y * (columns + 2) + x
    next_row = corner + columns + 2
    above = torch.stack([flat.gather(1, corner), flat.gather(1, corner + 1)], dim=2)
    below = torch.stack([flat.gather(1, next_row), flat.gather(1, next_row + 1)], dim=2)
    inner = torch.arange(side, dtype=torch.float32, device=device) + 0.5
    fraction = inner / side
    between = above[..., None] * (1 - fraction) + below[..., None] * fraction
    left, right = between.unbind(2)  # (N, QUADS, side)
    pixels = left[..., None] * (1 - fraction) + right[..., None] * fraction  # (N, QUADS, side, side)
    # the first square begins half a cell before the map
    py = y[:, :, None] * side + inner - side / 2
    px = x[:, :, None] * side + inner - side / 2
    outside_y = (py < 0) | (py > rows * side)
    outside_x = (px < 0) | (px > columns * side)
    outside = outside_y[..., None] | outside_x[:, :, None]
    pixels = pixels.masked_fill(outside, -torch.inf)
    values, best = pixels.flatten(1).topk(topk)
    square = best // side**2
    pixel = best % side**2
    best_x = px.flatten(1).gather(1, square * side + pixel % side)
    best_y = py.flatten(1).gather(1, square * side + pixel // side)
    return values, torch.stack([best_x, best_y], dim=2), values[:, -1] > bounds[:, -1]
