"""Fixed position embeddings of a ViT: sines and cosines."""

from typing import Any

import torch
from torch import Tensor


def sine_cosine_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return the fixed position embedding of a grid and of its class token, whose position is zero.

    The first half of the channels encodes the column, the second half the row, each as `[sin(p ω_k), cos(p ω_k)]` with
    `ω_k = 10000^(−k / (width / 4))`.

    Source: MAE (He et al., CVPR 2022), `models_mae.py`.

    Args:
        rows: rows of the grid.
        columns: columns of the grid.
        width: channels, a multiple of 4.

    Returns:
        `(1, 1 + rows · columns, width)`, float32, the class token first.
    """
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    halves = []
    for coordinate in (column, row):
        angle = coordinate.flatten()[:, None] * frequencies
        halves += [angle.sin(), angle.cos()]
    cells = torch.cat(halves, dim=1).float()
    return torch.cat([cells.new_zeros(1, width), cells])[None]


@torch.no_grad()
def set_sine_positions(network: Any) -> None:
    """Replace the position embedding of a ViT of timm, of a class token and its patches, by sines and cosines."""
    rows, columns = network.patch_embed.grid_size
    network.pos_embed.copy_(sine_cosine_positions(rows, columns, network.embed_dim))
