"""Similarity of points with the cells of a feature map, and positions decoded from it, in cells.

Positions are x, y in cells: the first cell spans 0 to 1, and its centre is at 0.5.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..transfer import to_device

POINTS_WORKSPACE = 64 * 2**20
"""Bytes of the similarities that exist at a time; no result depends on it."""

Decoding = Literal["argmax", "soft_argmax", "expectation", "topk"]


def cell_centres(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the centres of all cells in rows, x, y `(h * w, 2)`."""
    rows, columns = (torch.arange(side, dtype=torch.float32, device=device) + 0.5 for side in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


def sample_features(features: Tensor, positions: Tensor) -> Tensor:
    """Return the features at positions between cells, bilinearly; beyond the outermost centres those of the border.

    Args:
        features: `(C, h, w)`.
        positions: x, y `(N, 2)` in cells.

    Returns:
        `(N, C)`.
    """
    size = to_device([features.shape[2], features.shape[1]], positions.device)
    grid = (positions / size * 2 - 1).to(features)
    found = F.grid_sample(features[None], grid[None, None], align_corners=False, padding_mode="border")
    return found[0, :, 0].T.contiguous()


def similarity_maps(descriptors: Tensor, features: Tensor, normalise: bool = True) -> Tensor:
    """Return the similarity of each descriptor with each cell.

    Args:
        descriptors: `(N, C)`.
        features: `(C, h, w)`.
        normalise: cosines; otherwise dot products.

    Returns:
        `(N, h, w)`.
    """
    cells = features.flatten(1)
    if normalise:
        descriptors, cells = F.normalize(descriptors, dim=1), F.normalize(cells, dim=0)
    return (descriptors @ cells).unflatten(1, features.shape[1:])


def decode_positions(
    similarities: Tensor,
    decoding: Decoding,
    temperature: float = 0.05,
    radius: float = 5.0,
    topk: int = 5,
) -> Tensor:
    """Decode a position from each similarity map.

    Args:
        similarities: `(N, h, w)`.
        decoding: "argmax": centre of the best cell, the first of equal ones. "soft_argmax": mean of the cells whose
            distance from it is strictly below `radius`, weighted by the softmax (TAPIR, utils/model_utils.py).
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
        best, choice = logits.topk(min(topk, logits.shape[1]), dim=1)
        return torch.einsum("nk,nkd->nd", best.softmax(1), centres[choice])
    if decoding == "soft_argmax":
        distances = (centres - centres[flat.argmax(1)][:, None]).square().sum(-1)
        logits = logits.masked_fill(distances >= radius**2, -math.inf)
    elif decoding != "expectation":
        raise ValueError(f"decoding must be argmax, soft_argmax, expectation or topk, got {decoding!r}")
    return logits.softmax(1) @ centres


def chunks(count: int, bytes_each: int, workspace: int = POINTS_WORKSPACE) -> list[slice]:
    """Return slices of `count` items whose intermediate values fit into the workspace, at least one item each."""
    size = max(1, workspace // max(bytes_each, 1))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
