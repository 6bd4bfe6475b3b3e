"""Position maps of Liir, and the displacements that keep them out of the comparison of different videos."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import to_device

Displacement = Literal["shift", "shuffle", "none"]
"""Displacement of a position map: by a random step, of its cells, or none."""


def sinusoidal_position(channels: int, height: int, width: int) -> Tensor:
    """Return the fixed map 2DSPE: sines and cosines of the column, then of the row, half of the channels each.

    Channels 2i and 2i + 1 of a half are sin and cos of position / 10000^(4i / channels).
    Paper: Liir, section 3.2.

    Raises:
        ValueError: if the number of channels is not divisible by 4.

    Example:
        >>> sinusoidal_position(8, 3, 5)[:4, 2, 4]  # sin 4, cos 4, sin 0.04, cos 0.04: of column 4
        tensor([-0.7568, -0.6536,  0.0400,  0.9992])
    """
    if channels % 4:
        raise ValueError(f"a sinusoidal position map needs channels divisible by 4, got {channels}")
    frequency = 10000 ** (-torch.arange(0, channels, 4, dtype=torch.float32) / channels)
    columns = _waves(width, frequency)  # (C / 2, width): sin and cos of each frequency in turn
    rows = _waves(height, frequency)
    column_map = columns[:, None].expand(-1, height, -1)
    row_map = rows[:, :, None].expand(-1, -1, width)
    return torch.cat([column_map, row_map])


def resized_position(position: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a position map `(C, h, w)` to (H, W) bicubically; a map of this size is returned itself.

    Example:
        >>> resized_position(torch.tensor([[[0.0, 1.0, 2.0, 3.0]]]), (1, 2))
        tensor([[[0.4062, 2.5938]]])
    """
    if position.shape[1:] == size:
        return position
    return F.interpolate(position[None], size, mode="bicubic")[0]


def displaced_position(position: Tensor, orders: Tensor) -> Tensor:
    """Return the map `(C, h, w)` with its cells in the order of each frame, `(N, C, h, w)` (Liir, 3.2).

    Example:
        >>> position = torch.tensor([[[0, 1], [2, 3]]])
        >>> displaced_position(position, torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])).flatten(1)
        tensor([[0, 1, 2, 3],
                [3, 2, 1, 0]])
    """
    frames = position.flatten(1)[:, to_device(orders, position.device)].transpose(0, 1)
    return frames.unflatten(2, position.shape[1:])


def drawn_orders(kind: Displacement, frames: int, size: tuple[int, int], generator: torch.Generator) -> Tensor | None:
    """Draw an order of the position map's cells for every frame.

    Args:
        kind: "shift": move rows and columns cyclically by a random step: neighbours stay neighbours, but a cell's
            embedding no longer reveals its position. "shuffle": a random order of all cells (Liir, Table 5c). "none":
            draw nothing.
        frames: number of frames.
        generator: on the CPU.

    Example:
        >>> drawn_orders("shift", 2, (3, 3), torch.Generator().manual_seed(0))
        tensor([[4, 5, 3, 7, 8, 6, 1, 2, 0],
                [0, 1, 2, 3, 4, 5, 6, 7, 8]])
        >>> drawn_orders("shuffle", 2, (3, 3), torch.Generator().manual_seed(0))
        tensor([[2, 3, 4, 8, 6, 0, 5, 1, 7],
                [3, 4, 5, 1, 2, 6, 0, 7, 8]])
    """
    if kind == "none":
        return None
    height, width = size
    if kind == "shuffle":
        draws = torch.rand(frames, height * width, generator=generator, dtype=torch.float32)
        return draws.argsort(1)
    down = torch.randint(height, (frames,), generator=generator)
    right = torch.randint(width, (frames,), generator=generator)
    rows = (torch.arange(height) - down[:, None]) % height  # (frames, h): the row that comes to each row
    columns = (torch.arange(width) - right[:, None]) % width
    return (rows[:, :, None] * width + columns[:, None]).flatten(1)


def _waves(size: int, frequency: Tensor) -> Tensor:
    angle = frequency[:, None] * torch.arange(size)
    return torch.stack([angle.sin(), angle.cos()], dim=1).flatten(0, 1)
