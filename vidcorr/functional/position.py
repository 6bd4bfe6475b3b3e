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

    Args:
        channels: C, divisible by 4.
        height: height of the map.
        width: width of the map.

    Returns:
        `(C, height, width)` float32 in [−1, 1].

    Raises:
        ValueError: if the number of channels is not divisible by 4.
    """
    if channels % 4:
        raise ValueError(f"a sinusoidal position map needs channels divisible by 4, got {channels}")
    frequency = 10000 ** (-torch.arange(0, channels, 4, dtype=torch.float32) / channels)
    columns = _waves(width, frequency)
    rows = _waves(height, frequency)
    of_columns = columns[:, None].expand(-1, height, -1)
    of_rows = rows[:, :, None].expand(-1, -1, width)
    return torch.cat([of_columns, of_rows])


def resized_position(position: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a position map `(C, h, w)` by bicubic interpolation."""
    if position.shape[1:] == size:
        return position
    return F.interpolate(position[None], size=size, mode="bicubic", align_corners=False)[0]


def shifted_position(position: Tensor, shifts: Tensor) -> Tensor:
    """Shift the position map cyclically, by a separate step per frame.

    Neighbouring cells stay neighbours, but a cell's embedding no longer reveals its position.
    Paper: Liir, section 3.2, Figure 4.

    Args:
        position: `(C, h, w)`.
        shifts: long `(N, 2)`, dy and dx in cells.

    Returns:
        `(N, C, h, w)`; frame n is `torch.roll(position, (dy, dx), (1, 2))`.
    """
    _, height, width = position.shape
    shifts = to_device(shifts, position.device)
    y = (torch.arange(height, device=position.device) - shifts[:, :1]) % height
    x = (torch.arange(width, device=position.device) - shifts[:, 1:]) % width
    return position[:, y[:, :, None], x[:, None, :]].transpose(0, 1)


def shuffled_position(position: Tensor, order: Tensor) -> Tensor:
    """Permute the cells of the position map, in a separate order per frame.

    Paper: Liir, Table 5c, the alternative to shifting.

    Args:
        position: `(C, h, w)`.
        order: long `(N, h · w)`, a permutation per frame.

    Returns:
        `(N, C, h, w)`.
    """
    order = to_device(order, position.device)
    frames = position.flatten(1)[:, order].transpose(0, 1)
    return frames.unflatten(2, position.shape[1:])


def drawn_displacements(
    kind: Displacement, frames: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor | None:
    """Draw a displacement of the position map for every frame.

    Args:
        kind: "shift", "shuffle" or "none".
        frames: number of frames.
        size: height and width of the map.
        generator: on the CPU.

    Returns:
        Shifts `(frames, 2)` for `shifted_position`, orders `(frames, h · w)` for `shuffled_position`, None for "none".
    """
    if kind == "none":
        return None
    height, width = size
    if kind == "shift":
        rows = torch.randint(height, (frames,), generator=generator)
        columns = torch.randint(width, (frames,), generator=generator)
        return torch.stack([rows, columns], dim=1)
    draws = torch.rand(frames, height * width, generator=generator, dtype=torch.float32)
    return draws.argsort(1)


def displaced_position(position: Tensor, kind: Displacement, displacements: Tensor) -> Tensor:
    """Displace the position map frame by frame: `(C, h, w)` → `(N, C, h, w)`.

    Args:
        position: `(C, h, w)`.
        kind: "shift" or "shuffle".
        displacements: of N frames: shifts `(N, 2)` in cells, or orders of the cells `(N, h · w)`.
    """
    if kind == "shift":
        return shifted_position(position, displacements)
    return shuffled_position(position, displacements)


def _waves(size: int, frequency: Tensor) -> Tensor:
    """Return sin and cos in turn, `(2 F, size)`."""
    angle = frequency[:, None] * torch.arange(size)
    return torch.stack([angle.sin(), angle.cos()], dim=1).flatten(0, 1)
