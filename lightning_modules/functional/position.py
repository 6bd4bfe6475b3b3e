"""Position maps and what keeps them out of the comparison of different videos."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sinusoidal_position(channels: int, height: int, width: int) -> Tensor:
    """2DSPE: the column in the first half of the channels, the row in the second, as sines and cosines in turn.

    Channels 2i and 2i + 1 of a half are sin and cos of position / 10000^(4i / channels).
    Paper: Liir, section 3.2.

    Args:
        channels: C, divisible by 4.
        height: of the map.
        width: of the map.

    Returns:
        `(C, height, width)` float32 in [−1, 1].

    Raises:
        ValueError: if the channels cannot be divided so.
    """
    if channels % 4:
        raise ValueError(f"a sinusoidal position map needs channels divisible by 4, got {channels}")
    frequency = 10000 ** (-torch.arange(0, channels, 4) / channels)
    columns, rows = (_waves(size, frequency) for size in (width, height))
    return torch.cat([columns[:, None].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)])


def resized_position(position: Tensor, size: tuple[int, int]) -> Tensor:
    """A position map `(C, h, w)` at another size, by bicubic interpolation."""
    if position.shape[1:] == size:
        return position
    return F.interpolate(position[None], size=size, mode="bicubic", align_corners=False)[0]


def shifted_position(position: Tensor, shifts: Tensor) -> Tensor:
    """Position shifting: the map rolled around by another step for each frame.

    Neighbours stay neighbours, but where a place is tells no longer where it is on the map.
    Paper: Liir, section 3.2, Figure 4.

    Args:
        position: `(C, h, w)`.
        shifts: long `(N, 2)`: dy, dx.

    Returns:
        `(N, C, h, w)`; frame n is `torch.roll(position, (dy, dx), (1, 2))`.
    """
    _, height, width = position.shape
    shifts = shifts.to(position.device)
    y = (torch.arange(height, device=position.device) - shifts[:, :1]) % height
    x = (torch.arange(width, device=position.device) - shifts[:, 1:]) % width
    return position[:, y[:, :, None], x[:, None, :]].transpose(0, 1)


def shuffled_position(position: Tensor, order: Tensor) -> Tensor:
    """Position shuffling, the alternative of Liir's Table 5: the places of the map in another order for each frame.

    Args:
        position: `(C, h, w)`.
        order: long `(N, h · w)`, permutations.

    Returns:
        `(N, C, h, w)`.
    """
    return position.flatten(1)[:, order.to(position.device)].transpose(0, 1).unflatten(2, position.shape[1:])


def _waves(size: int, frequency: Tensor) -> Tensor:
    """`(2 F, size)`: sin and cos in turn."""
    angle = frequency[:, None] * torch.arange(size)
    return torch.stack([angle.sin(), angle.cos()], dim=1).flatten(0, 1)
