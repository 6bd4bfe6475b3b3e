"""Flow from cell to cell, interpolated at the positions of points, and its forward-backward consistency."""

from collections.abc import Callable

import torch
from torch import Tensor

FlowAt = Callable[[Tensor], Tensor]
"""Places x, y `(N, 2)` in cells → displacement `(N, 2)` in cells."""


def look_up_flow(flow: Tensor, places: Tensor) -> Tensor:
    """Return the flow at places between cells, bilinearly; beyond the outermost centres that of the border.

    Args:
        flow: `(2, h, w)`, dx, dy in cells at the centre of each cell.
        places: x, y `(N, 2)` in cells.

    Returns:
        `(N, 2)`.
    """
    corners, weights = bilinear_corners(places, flow.shape[1], flow.shape[2])
    return torch.einsum("nk,nkd->nd", weights, flow.flatten(1).T[corners].to(weights))


def bilinear_corners(places: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each place, numbers in rows `(N, 4)`, and their bilinear weights `(N, 4)`."""
    limits = places.new_tensor([width - 1, height - 1])
    inner = (places - 0.5).clamp(min=0).minimum(limits)
    low = inner.floor().minimum((limits - 1).clamp(min=0))
    part = inner - low
    x, y = (low[:, axis, None].long() for axis in (0, 1))
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    corners = torch.cat([y * width + x, y * width + right, below * width + x, below * width + right], dim=1)
    dx, dy = part[:, :1], part[:, 1:]
    weights = torch.cat([(1 - dx) * (1 - dy), dx * (1 - dy), (1 - dx) * dy, dx * dy], dim=1)
    return corners, weights


def chain_step(places: Tensor, there: FlowAt, back: FlowAt) -> tuple[Tensor, Tensor]:
    """Move points by the flow to the next frame, and measure how far the flow back misses them.

    Args:
        places: x, y `(N, 2)` in cells.
        there: flow to the next frame.
        back: flow from the next frame to this one.

    Returns:
        x, y `(N, 2)` in the next frame, and `(N, 2)` the sum of both displacements, zero for a closed cycle; cells.
    """
    forward = there(places)
    moved = places + forward
    return moved, forward + back(moved)
