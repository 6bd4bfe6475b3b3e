"""Flow of points from frame to frame: the cells around a point, and the forward-backward consistency."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..transfer import to_device

FlowAt = Callable[[Tensor], Tensor]
"""Positions x, y `(N, 2)` in cells → displacement `(N, 2)` in cells."""


def bilinear_corners(positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each position, numbers in rows `(N, 4)`, and their bilinear weights `(N, 4)`."""
    limits = to_device([width - 1, height - 1], positions.device).to(positions.dtype)
    inner = (positions - 0.5).clamp(min=0).minimum(limits)
    low = inner.floor().minimum((limits - 1).clamp(min=0))
    part = inner - low
    x, y = (low[:, axis, None].long() for axis in (0, 1))
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    corners = torch.cat([y * width + x, y * width + right, below * width + x, below * width + right], dim=1)
    dx, dy = part[:, :1], part[:, 1:]
    weights = torch.cat([(1 - dx) * (1 - dy), dx * (1 - dy), (1 - dx) * dy, dx * dy], dim=1)
    return corners, weights


def chain_step(positions: Tensor, there: FlowAt, back: FlowAt) -> tuple[Tensor, Tensor]:
    """Move points by the flow to the next frame, and measure how far the flow back misses them.

    Args:
        positions: x, y `(N, 2)` in cells.
        there: flow to the next frame.
        back: flow from the next frame to this one.

    Returns:
        x, y `(N, 2)` in the next frame, and `(N, 2)` the sum of both displacements, zero for a closed cycle; cells.
    """
    forward = there(positions)
    moved = positions + forward
    return moved, forward + back(moved)
