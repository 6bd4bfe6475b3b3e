"""Similarity of points with the cells of a feature map, and positions decoded from it, in cells.

Positions are x, y in cells: the first cell spans 0 to 1, and its centre is at 0.5.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import to_device

Decoding = Literal["argmax", "soft_argmax", "expectation"]


def cell_centres(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the centres x, y `(h · w, 2)` of all cells, row by row."""
    rows = torch.arange(height, dtype=torch.float32, device=device) + 0.5
    columns = torch.arange(width, dtype=torch.float32, device=device) + 0.5
    return torch.cartesian_prod(rows, columns).flip(1)


def sample_features(features: Tensor, positions: Tensor) -> Tensor:
    """Interpolate features `(C, h, w)` bilinearly at x, y `(N, 2)` in cells; beyond the border its feature counts."""
    size = to_device([features.shape[2], features.shape[1]], positions.device)
    grid = (positions / size * 2 - 1).to(features)
    sampled = F.grid_sample(features[None], grid[None, None], align_corners=False, padding_mode="border")
    return sampled[0, :, 0].T.contiguous()


def similarity_maps(descriptors: Tensor, features: Tensor, normalise: bool = True) -> Tensor:
    """Return the cosines, or dot products, `(N, h, w)` of descriptors `(N, C)` with all cells `(C, h, w)`."""
    cells = features.flatten(1)
    if normalise:
        descriptors = F.normalize(descriptors)
        cells = F.normalize(cells, dim=0)
    return (descriptors @ cells).unflatten(1, features.shape[1:])


def decode_positions(
    similarities: Tensor, decoding: Decoding, temperature: float = 0.05, radius: float = 5.0
) -> Tensor:
    """Decode similarity maps `(N, h, w)` to positions x, y `(N, 2)` in cells.

    Args:
        decoding: "argmax": centre of the best cell, the first among equals. "soft_argmax": mean of the cells whose
            distance from the best cell is below `radius`, weighted by the softmax (TAPIR, utils/model_utils.py).
            "expectation": mean of all cells, weighted by the softmax (GMRW).
    """
    _, height, width = similarities.shape
    centres = cell_centres(height, width, similarities.device).to(similarities.dtype)
    flat = similarities.flatten(1)
    if decoding == "argmax":
        return centres[flat.argmax(1)]
    logits = flat / temperature
    if decoding == "soft_argmax":
        peaks = centres[flat.argmax(1)]
        squared_distances = (centres - peaks[:, None]).square().sum(-1)
        logits = logits.masked_fill(squared_distances >= radius**2, -math.inf)
    return logits.softmax(1) @ centres
