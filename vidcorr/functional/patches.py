"""Patches of an image on a grid, and their random resized crops, on any device."""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from .device import to_device


def grid_patches(images: Tensor, size: int, stride: int) -> Tensor:
    """Cut images into overlapping square patches, row by row.

    Args:
        images: `(…, C, H, W)`.
        size: side of a patch, pixels.
        stride: pixels from one patch to the next.

    Returns:
        `(…, N, C, size, size)`; patches that would reach beyond the image are left out.
    """
    patches = images.unfold(-2, size, stride).unfold(-2, size, stride)  # (…, C, rows, columns, size, size)
    return patches.movedim(-5, -3).flatten(-5, -4)


def random_patch_boxes(count: int, side: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draw boxes in a square image as torchvision's RandomResizedCrop does.

    The fraction of the area is uniform, and so is the logarithm of the aspect ratio (width / height), from 3/4 to 4/3.
    The first attempt of ten that fits into the image counts; if none fits, the box is the whole image.

    Args:
        count: number of boxes.
        side: side of the image, pixels.
        area: least and largest fraction of the area.
        generator: on the CPU.

    Returns:
        `(count, 4)` long: top, left, height, width.
    """
    low, high = math.log(3 / 4), math.log(4 / 3)
    draws = torch.rand(4, count, 10, generator=generator, dtype=torch.float32)
    surface = side**2 * (area[0] + draws[0] * (area[1] - area[0]))
    ratio = (low + draws[1] * (high - low)).exp()
    width, height = (surface * ratio).sqrt().round().long(), (surface / ratio).sqrt().round().long()
    fits = (width > 0) & (height > 0) & (width <= side) & (height <= side)
    chosen = fits.int().argmax(dim=1, keepdim=True)
    boxes = []
    for length, fraction in ((height, draws[2]), (width, draws[3])):
        length = length.gather(1, chosen).squeeze(1).where(fits.any(1), torch.tensor(side))
        start = (fraction.gather(1, chosen).squeeze(1) * (side - length + 1)).long().clamp(max=side - length)
        boxes.append((start, length))
    (top, height), (left, width) = boxes
    return torch.stack([top, left, height, width], dim=1)


def crop_and_resize(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut a box out of every image and enlarge it to the image's size, bilinearly.

    The box's border is repeated, so no pixel outside the box counts, as when Pillow resizes a crop.

    Args:
        images: `(N, C, H, W)`.
        boxes: `(N, 4)` long: top, left, height, width in pixels.

    Returns:
        `(N, C, H, W)`.
    """
    axes, on_device = [], to_device(boxes, images.device)
    fine = torch.promote_types(images.dtype, torch.float32)  # bfloat16 cannot tell neighbouring positions apart
    for axis, size in ((0, images.shape[2]), (1, images.shape[3])):
        start, length = on_device[:, axis, None], on_device[:, axis + 2, None]
        position = (torch.arange(size, device=images.device, dtype=fine) + 0.5) * length / size - 0.5
        position = start + position.clamp(min=0).minimum(length - 1)
        axes.append((2 * position + 1) / size - 1)  # −1 and 1 are the image's outer edges
    y, x = axes
    grid = torch.stack([x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], dim=-1)
    sampled = grid_sample(images.to(fine), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.to(images.dtype)
