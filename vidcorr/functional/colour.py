"""Liir's colour: CIE Lab, and the information bottleneck that hides one channel from the encoder."""

import torch
from torch import Tensor

# IEC 61966-2-1 (sRGB), white point D65, rows scaled so that white is 1 in X, Y and Z.
_XYZ_OF_RGB = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab (white point D65) by the exact formula; OpenCV's tables differ slightly.

    Args:
        rgb: float `(…, 3, H, W)` in [0, 1].

    Returns:
        The same shape: L in [0, 100], a and b within ±128; float32 or finer.

    Raises:
        ValueError: for another shape or an integer dtype.

    Example:
        >>> rgb_to_lab(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)).flatten().round()
        tensor([53., 80., 67.])
    """
    if rgb.ndim < 3 or rgb.shape[-3] != 3 or not rgb.is_floating_point():
        raise ValueError(f"rgb_to_lab: expected float RGB (…, 3, H, W) in [0, 1], got {rgb.dtype} {tuple(rgb.shape)}")
    rgb = rgb.to(torch.promote_types(rgb.dtype, torch.float32))
    curved = ((rgb + 0.055) / 1.055).pow(2.4)
    linear = torch.where(rgb > 0.04045, curved, rgb / 12.92)
    red, green, blue = linear.unbind(-3)
    x, y, z = (_cube_root(r * red + g * green + b * blue) for r, g, b in _XYZ_OF_RGB)
    lightness = 116 * y - 16
    a = 500 * (x - y)
    b = 200 * (y - z)
    return torch.stack([lightness, a, b], dim=-3)


def normalised_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB `(…, 3, H, W)` in [0, 1] to Lab of about ±1: (L − 50) / 50, a / 127, b / 127."""
    lightness, a, b = rgb_to_lab(rgb).unbind(-3)
    return torch.stack([(lightness - 50) / 50, a / 127, b / 127], dim=-3)


def drop_channel(lab: Tensor, channel: int) -> Tensor:
    """Set a (1) or b (2) of normalised Lab to 0, and multiply the others by 3/2 (MAST, 3.1; Liir, 3.3)."""
    scale = lab.new_full((3,), 1.5)
    scale[channel] = 0
    return lab * scale[:, None, None]


def _cube_root(ratio: Tensor) -> Tensor:
    """Return the cube root of X, Y or Z as a ratio to white; near black a straight line (CIE 15:2004)."""
    root = ratio.clamp_min(0.008856).pow(1 / 3)
    line = 7.787 * ratio + 16 / 116
    return torch.where(ratio > 0.008856, root, line)
