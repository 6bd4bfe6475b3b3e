"""Annotations to labels on the feature grid and back: object masks and body joints."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..transfer import to_device
from .protocol import PropagationProtocol
from .sizing import Filter, Nearest, Size, resize_ids, resize_maps


def encode_masks_by(mask: Tensor, objects: Sequence[int], grid: Size, protocol: PropagationProtocol) -> Tensor:
    """Return the labels that a mask gives, by the protocol.

    Args:
        mask: (H, W) integer ids, at the size that the feature map covers (`covered_size`).
        objects: the id of each channel from 1 on.
        grid: (h, w) of the feature map.
        protocol: says how masks are sampled.

    Returns:
        (1 + len(objects), h, w) float32, background first.
    """
    stride = protocol.feature_stride
    via = (grid[0] * stride, grid[1] * stride) if protocol.label_size == "input" else None
    return encode_masks(mask, objects, grid, protocol.label_encoding, via)


def decode_masks_by(
    labels: Tensor, objects: Sequence[int], protocol: PropagationProtocol, covered: Size, size: Size
) -> Tensor:
    """Return the mask that propagated labels give, by the protocol.

    Args:
        labels: soft labels (1 + objects, h, w), background first.
        objects: ids of the others.
        protocol: says how masks are decoded.
        covered: what the labels cover, see `covered_size`, at the scale of `size`.
        size: (H, W) of the frame, which is the upper left part of that.

    Returns:
        uint8 ids (H, W).
    """
    height, width = (length * protocol.feature_stride for length in labels.shape[1:])
    mask = decode_masks(
        labels,
        covered,
        rescale=protocol.label_rescaling,
        floor=protocol.label_rescaling_floor,
        method=protocol.decoding_filter,
        argmax_size=(height, width) if protocol.decoding_size == "input" else None,
        nearest=protocol.decoding_nearest,
        objects=objects,
    )
    return mask[: size[0], : size[1]]


def encode_masks(
    mask: Tensor | np.ndarray,
    objects: Sequence[int],
    size: tuple[int, int],
    method: Literal["nearest", "nearest-exact", "bilinear", "bilinear-aligned", "strided"] = "nearest",
    via: tuple[int, int] | None = None,
) -> Tensor:
    """Return one channel per object, and the background first, on the feature grid.

    Args:
        mask: (H, W) integer object ids. Ids not in `objects`, 0 among them, are background.
        objects: the id of each channel from 1 on.
        size: (h, w) of the feature map.
        method: "nearest": the pixel that Pillow's NEAREST takes (VFS, DINO); "nearest-exact": the pixel under the
            cell's centre (DINOv3); "bilinear": each channel's 0/1 map sampled bilinearly without smoothing (CRW, by
            OpenCV); "bilinear-aligned": sampled between corners (HVC); "strided": every s-th pixel from the corner,
            where s = ceil(H / h) (Liir).
        via: (H', W') to which the mask is first brought by OpenCV's nearest pixel (CropMAE, RVM).

    Returns:
        (1 + len(objects), h, w) float32 in [0, 1], which sums to 1 over the channels.

    Raises:
        ValueError: for a mask that is not (H, W) integer, more than 254 objects, ids that repeat or are 0, or a size
            that striding cannot give.
    """
    mask = torch.as_tensor(mask)
    if mask.ndim != 2 or mask.is_floating_point() or mask.is_complex():
        raise ValueError(f"mask must be (H, W) integer ids, got {tuple(mask.shape)} {mask.dtype}")
    if len(objects) > 254:
        raise ValueError(f"at most 254 objects fit in addition to the background, got {len(objects)}")
    if len(set(objects)) < len(objects) or 0 in objects:
        raise ValueError(f"objects must be different ids other than 0 (background), got {list(objects)}")
    if via is not None:
        mask = resize_ids(mask, via, "opencv")
    height, width = mask.shape
    if method in ("nearest", "nearest-exact"):
        mask = resize_ids(mask, size, "pillow" if method == "nearest" else "torch-exact")
    elif method == "strided":
        mask = mask[:: -(-height // size[0]), :: -(-width // size[1])]
        if mask.shape != tuple(size):
            raise ValueError(
                f"no stride samples a mask of {height} x {width} at {size[0]} x {size[1]} points; "
                f"the nearest gives {mask.shape[0]} x {mask.shape[1]}"
            )
    elif method not in ("bilinear", "bilinear-aligned"):
        raise ValueError(
            f"method must be nearest, nearest-exact, bilinear, bilinear-aligned or strided, got {method!r}"
        )
    ids = torch.tensor(list(objects), device=mask.device, dtype=torch.long)
    foreground = (mask == ids[:, None, None]).float()
    labels = torch.cat([1 - foreground.sum(0, keepdim=True), foreground])
    return resize_maps(labels, size, method) if method in ("bilinear", "bilinear-aligned") else labels


def decode_masks(
    labels: Tensor,
    size: tuple[int, int],
    *,
    rescale: bool = True,
    floor: float = 0.0,
    method: Filter = "bilinear",
    argmax_size: tuple[int, int] | None = None,
    nearest: Nearest = "pillow",
    objects: Sequence[int] | None = None,
) -> Tensor:
    """Return the label with the largest value at each pixel, after up-sampling.

    Args:
        labels: (L, h, w) soft labels, L <= 255.
        size: (H, W) of the mask.
        rescale: first map each up-sampled channel from its [min, max] to [0, 1] (VFS, DINO).
        floor: only channels with a maximum above this are rescaled, and, unless it is 0, the background only if an
            object is: a trace that an object has left behind then stays one.
        method: method of up-sampling: "bilinear" (align_corners False), "bilinear-aligned" (align_corners True; HVC),
            or "nearest" cell (torch's "nearest"; DINOv3).
        argmax_size: take the argmax at this size and resize the result to `size` by the nearest pixel (DINO).
        nearest: whose nearest pixel that is, see `Nearest`.
        objects: ids of the channels from 1 on; None: the channels' own numbers.

    Returns:
        (H, W) uint8. Of equal labels the first wins, as in `argmax`.

    Raises:
        ValueError: for labels that are not (L, h, w) floats or have more than 255 channels, or another number of
            objects than channels.
    """
    _check_maps(labels, "labels")
    if not 1 <= len(labels) <= 255:
        raise ValueError(f"labels must have 1 to 255 channels for a uint8 mask, got {len(labels)}")
    if objects is not None and len(objects) != len(labels) - 1:
        raise ValueError(f"{len(labels) - 1} objects expected for {len(labels)} channels, got {len(objects)}")
    winner = _argmax_of_upsampled(labels.float(), argmax_size or size, floor if rescale else None, method)
    if argmax_size is not None:
        winner = resize_ids(winner, size, nearest)
    if objects is None:
        return winner
    return to_device(torch.tensor([0, *objects], dtype=torch.uint8), labels.device)[winner.long()]


def encode_keypoints(
    points: Tensor | np.ndarray,
    frame_size: tuple[int, int],
    size: tuple[int, int],
    sigma: float = 4.0,
    unit: Literal["pixel", "cell"] = "pixel",
) -> Tensor:
    """Return a Gaussian with peak 1 for each joint, on the feature grid.

    The window spans the integers trunc(p − 3σ) … trunc(p + 3σ) and the Gaussian sits on its middle, so that the
    fraction of a position is lost, as in the original codes. A joint whose window misses the picture gives zeros.

    Args:
        points: (K, 2) x, y in pixels of the frame, from 0.
        frame_size: (H, W) of the frame.
        size: (h, w) of the feature map.
        sigma: standard deviation, in `unit`.
        unit: "pixel": drawn at the frame's size, then sampled bilinearly (VFS, σ = 4); "cell": drawn on the grid
            (CRW, σ = 0.5).

    Returns:
        (K, h, w) float32 in [0, 1].

    Raises:
        ValueError: for points that are not (K, 2) or a sigma of 0 or less.
    """
    points = torch.as_tensor(points, dtype=torch.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must be (K, 2), got {tuple(points.shape)}")
    if sigma <= 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    if unit == "pixel":
        return resize_maps(_gaussians(points, frame_size, sigma).float(), size)
    if unit != "cell":
        raise ValueError(f"unit must be pixel or cell, got {unit!r}")
    scale = points.new_tensor([size[1] / frame_size[1], size[0] / frame_size[0]])
    return _gaussians(points * scale, size, sigma).float()


def decode_keypoints(
    heatmaps: Tensor,
    frame_size: tuple[int, int],
    topk: int = 5,
    grid: Literal["input", "feature"] = "input",
) -> Tensor:
    """Return joint positions: the mean of the best positions of each heat-map, weighted by their values.

    Args:
        heatmaps: (K, h, w), 0 or more.
        frame_size: (H, W) of the frame.
        topk: number of positions.
        grid: "input": positions are pixels of the heat-map up-sampled to the frame (VFS, topk 5); "feature": cells,
            whose position is scaled by H / h and W / w (CRW, topk 3).

    Returns:
        (K, 2) x, y in pixels of the frame; (−1, −1) where a heat-map is zero everywhere.

    Raises:
        ValueError: for heat-maps that are not (K, h, w) floats, a topk of less than 1, or an unknown grid.
    """
    _check_maps(heatmaps, "heatmaps")
    if topk < 1:
        raise ValueError(f"topk must be 1 or more, got {topk}")
    if grid not in ("input", "feature"):
        raise ValueError(f"grid must be input or feature, got {grid!r}")
    maps = resize_maps(heatmaps.float(), frame_size) if grid == "input" else heatmaps.float()
    _, height, width = maps.shape
    values, indices = maps.flatten(1).topk(min(topk, height * width), dim=1)
    weights = values / values.sum(1, keepdim=True)
    x = (indices % width * weights).sum(1) * (frame_size[1] / width)
    y = (indices // width * weights).sum(1) * (frame_size[0] / height)
    empty = maps.flatten(1).amax(1) <= 0
    return torch.stack([x, y], dim=1).masked_fill(empty[:, None], -1.0)


def _argmax_of_upsampled(labels: Tensor, size: tuple[int, int], floor: float | None, method: Filter) -> Tensor:
    """Return the argmax (H, W) uint8 of (L, h, w) by a running maximum: faster than an argmax over a strided axis."""
    best, scaled = labels.new_full(size, -torch.inf), labels.new_empty(size)
    winner = torch.zeros(size, dtype=torch.uint8, device=labels.device)
    rescaled = labels.flatten(1).amax(1) > (floor or 0.0)
    if floor:
        rescaled[0] &= rescaled[1:].any()  # else its least value would be 0, and a trace of an object would win there
    better = torch.empty(size, dtype=torch.bool, device=labels.device)
    for channel, label in enumerate(labels):
        value = resize_maps(label[None], size, method)[0]
        if floor is not None:
            low, high = value.aminmax()
            low = torch.where(rescaled[channel], low, 0.0)
            extent = torch.where(rescaled[channel], high - low + 1e-12, 1.0)
            value = torch.sub(value, low, out=scaled).div_(extent)
        torch.gt(value, best, out=better)
        winner.masked_fill_(better, channel)
        torch.maximum(best, value, out=best)
    return winner


def _gaussians(points: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw a Gaussian (K, H, W) at each x, y of (K, 2); separable, so that one vector per joint and axis is enough."""
    axes = []
    for coordinate, extent in zip(points.T, reversed(size), strict=True):
        start, stop = (coordinate - 3 * sigma).trunc(), (coordinate + 3 * sigma + 1).trunc()
        positions = torch.arange(extent, dtype=points.dtype, device=points.device)
        centre = start + (6 * sigma + 1) // 2
        inside = (positions >= start[:, None]) & (positions < stop[:, None])
        axes.append(torch.exp(-((positions - centre[:, None]) ** 2) / (2 * sigma**2)) * inside)
    return axes[1][:, :, None] * axes[0][:, None, :]


def _check_maps(maps: Tensor, name: str) -> None:
    if maps.ndim != 3 or not maps.is_floating_point():
        raise ValueError(f"{name} must be (channels, h, w) float, got {tuple(maps.shape)} {maps.dtype}")
