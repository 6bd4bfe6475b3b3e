"""Frames to the network's input, annotations to labels on its feature grid, and labels back, by a protocol.

Frames are sized, and annotations resampled, as the original codes do.
"""

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols.label_protocols import Filter, JointProtocol, PropagationProtocol
from ...protocols.network_input import NetworkInput
from ..device import to_device
from ..images import as_floats
from .guidance import GuidedFilter
from .resizing import Size, resize_ids, resize_images, resize_maps

ROUNDINGS: dict[str, Callable[[Fraction], int]] = {"nearest": round, "floor": math.floor, "ceil": math.ceil}

GREY = 0.466327
"""Value of R, G and B in padding: Lab lightness 50, which Liir's normalisation maps to 0, and others nearly to 0."""


class InputSizes(NamedTuple):
    """Sizes of an image on its way into the network, (height, width).

    Attributes:
        seen: size of the resized image, without padding.
        padded: size of the network's input, with padding.
        covered: size of the padded input measured in pixels of the image, at least the image's own size. Annotations
            are padded to it with background before they are encoded; masks are decoded at it, then cut.
    """

    seen: Size
    padded: Size
    covered: Size


@functools.lru_cache
def input_sizes(size: Size, rules: NetworkInput, multiple: int = 1) -> InputSizes:
    """Return the sizes of an image (H, W) on its way into the network, with complete patches of `multiple` pixels."""
    step = multiple if rules.input_multiple == "network" else rules.input_multiple

    def rounded(side: Fraction) -> int:
        return max(ROUNDINGS[rules.input_rounding](side / step), 1) * step

    if isinstance(rules.input_size, tuple):
        height, width = rules.input_size
    elif rules.input_size is None:
        height = rounded(Fraction(size[0]))
        width = rounded(Fraction(size[1]))
    else:
        side, other = sorted(size, reverse=rules.input_side == "long")
        # sorted, because the given side may be the longer one, and rounding may make the other side cross it
        short, long = sorted((rules.input_size, rounded(Fraction(rules.input_size * other, side))))
        height, width = (short, long) if size[0] <= size[1] else (long, short)
    padding = math.lcm(multiple, rules.input_padding)
    padded = height + -height % padding, width + -width % padding
    covered = round(size[0] * padded[0] / height), round(size[1] * padded[1] / width)
    return InputSizes((height, width), padded, covered)


def fit_input(images: Tensor, rules: NetworkInput, multiple: int = 1, device: torch.device | None = None) -> Tensor:
    """Resize images by a protocol's rules, then pad them at the right and below with grey.

    Args:
        images: RGB `(N, 3, H, W)`, uint8 or float in [0, 1].
        multiple: sides of the padded input are multiples of this, for a network that needs complete patches.
        device: device of the result, float RGB in [0, 1]; None: the device of `images`.
    """
    device = device or images.device
    size, padded, _ = input_sizes((images.shape[-2], images.shape[-1]), rules, multiple)
    # on the device; the other libraries resize on the CPU
    by_torch = rules.input_filter.startswith("bilinear")
    if images.shape[-2:] != size and not by_torch:
        on_floats = rules.input_filter.endswith("-float")
        images = resize_images(as_floats(images) if on_floats else _as_bytes(images), size, rules.input_filter)
    images = as_floats(to_device(images, device))
    if images.shape[-2:] != size:
        smooth = rules.input_filter == "bilinear-antialias"
        images = F.interpolate(images, size=size, mode="bilinear", antialias=smooth).clamp_(0, 1)
    below = padded[0] - size[0]
    right = padded[1] - size[1]
    if below or right:
        return F.pad(images, (0, right, 0, below), value=GREY)
    return images


def _as_bytes(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else images.mul(255).round().clamp(0, 255).byte()


def encode_masks(
    mask: Tensor | np.ndarray, objects: Sequence[int], grid: Size, protocol: PropagationProtocol
) -> Tensor:
    """Return a mask as labels on the feature grid: the background, then a channel per object.

    Args:
        mask: (H, W) integer object ids, at the size that the feature map covers, padding included. Ids not in
            `objects`, also 0, are background.
        objects: ids of the channels from 1 on.
        grid: (h, w) of the feature map.
        protocol: sampling of masks: `label_encoding`, `label_size`.

    Returns:
        (1 + len(objects), h, w) float32 in [0, 1], with sum 1 over the channels.

    Raises:
        ValueError: for ids that repeat or are 0; or, if labels are "strided" and frames keep their size, for a grid
            that no stride gives.

    Example:
        >>> vfs = PropagationProtocol.named("vfs")
        >>> encode_masks(torch.tensor([[0, 7, 7, 7], [7, 7, 9, 9]]), [7], (1, 2), vfs)[:, 0]  # 9 is background
        tensor([[0., 1.],
                [1., 0.]])
    """
    mask = torch.as_tensor(mask)
    if len(set(objects)) < len(objects) or 0 in objects:
        raise ValueError(f"objects must be different ids other than 0 (background), got {list(objects)}")
    if protocol.label_size == "input":
        stride = protocol.feature_stride
        mask = resize_ids(mask, (grid[0] * stride, grid[1] * stride), "opencv")
    method = protocol.label_encoding
    if method == "nearest" or method == "nearest-exact":
        mask = resize_ids(mask, grid, "pillow" if method == "nearest" else "torch-exact")
    elif method == "strided":
        mask = _sample_by_stride(mask, grid, protocol)
    ids = to_device(list(objects), mask.device)
    foreground = (mask == ids[:, None, None]).float()
    labels = torch.cat([1 - foreground.sum(0, keepdim=True), foreground])
    if method == "bilinear" or method == "bilinear-aligned":
        return resize_maps(labels, grid, method)
    return labels


def _sample_by_stride(mask: Tensor, grid: Size, protocol: PropagationProtocol) -> Tensor:
    """Return every n-th pixel of a mask (H, W) from the upper left corner, one per cell of a grid (h, w)."""
    # the network sees frames as they are
    keeps_size = protocol.input_size is None and protocol.input_multiple == 1
    height, width = mask.shape
    down, across = grid
    if not keeps_size:
        rows = torch.arange(down, device=mask.device) * height // down
        columns = torch.arange(across, device=mask.device) * width // across
        return mask[rows[:, None], columns]
    sampled = mask[:: protocol.feature_stride, :: protocol.feature_stride]
    # features of another stride than the protocol's
    if sampled.shape != tuple(grid):
        row_stride = math.ceil(height / down)
        column_stride = math.ceil(width / across)
        sampled = mask[::row_stride, ::column_stride]
    if sampled.shape != tuple(grid):
        raise ValueError(
            f"no stride samples a mask of {height} x {width} at {down} x {across} points; "
            f"the nearest gives {sampled.shape[0]} x {sampled.shape[1]}"
        )
    return sampled


def decode_masks(
    labels: Tensor,
    objects: Sequence[int],
    protocol: PropagationProtocol,
    covered_size: Size,
    size: Size | None = None,
    frame: Tensor | None = None,
) -> Tensor:
    """Return a mask from labels: every pixel gets the object whose up-sampled label is the largest.

    Args:
        labels: soft labels (1 + len(objects), h, w), background first.
        objects: ids of the channels from 1 on, at most 254.
        protocol: decoding of masks: `label_rescaling`, `label_rescaling_floor`, `decoding_*`.
        covered_size: (H, W) of the area that the labels cover, padding included.
        size: (H', W') of the mask, the upper left part of the covered area; None: the whole area.
        frame: RGB (3, H', W') uint8, or float in [0, 1], for a protocol with `decoding_guidance`.

    Returns:
        (H', W') uint8 ids. Of equal labels the first wins, as in `argmax`.

    Raises:
        ValueError: for labels that are not (1 + len(objects), h, w) float, or have more than 255 channels; or if the
            protocol needs a frame and none is given.

    Example:
        >>> labels = torch.tensor([[[0.9, 0.2]], [[0.1, 0.8]]])  # the background, and an object
        >>> decode_masks(labels, [7], PropagationProtocol.named("vfs"), (2, 6))
        tensor([[0, 0, 0, 7, 7, 7],
                [0, 0, 0, 7, 7, 7]], dtype=torch.uint8)
        >>> trace = torch.tensor([[[1.0, 0.7, 0.1]], [[0.0, 0.3, 0.0]], [[0.0, 0.0, 0.9]]])  # object 7 has left
        >>> masks = [decode_masks(trace, [7, 8], PropagationProtocol.named(n), (1, 6)) for n in ("vfs", "vidcorr-fast")]
        >>> [mask.tolist() for mask in masks]
        [[[0, 0, 7, 7, 8, 8]], [[0, 0, 0, 0, 8, 8]]]
    """
    channels = 1 + len(objects)
    if labels.ndim != 3 or not labels.is_floating_point() or not len(labels) == channels <= 255:
        raise ValueError(
            f"labels must be float ({channels}, h, w), the background and each object, at most 255; "
            f"got {tuple(labels.shape)} {labels.dtype}"
        )
    floor = protocol.label_rescaling_floor if protocol.label_rescaling else None
    if protocol.decoding_size == "input":
        # decoded at the size of the network's input, then resized as ids; protocols refuse a guide here
        input_size = labels.shape[1] * protocol.feature_stride, labels.shape[2] * protocol.feature_stride
        winner = upsampled_argmax(labels.float(), input_size, floor, protocol.decoding_filter)
        winner = resize_ids(winner, covered_size, protocol.decoding_nearest)
    else:
        guide = _guide(frame, protocol, covered_size, labels.device) if protocol.decoding_guidance else None
        winner = upsampled_argmax(labels.float(), covered_size, floor, protocol.decoding_filter, guide)
    ids = to_device(torch.tensor([0, *objects], dtype=torch.uint8), labels.device)[winner.long()]
    height, width = size or covered_size
    return ids[:height, :width]


def _guide(frame: Tensor | None, protocol: PropagationProtocol, size: Size, device: torch.device) -> GuidedFilter:
    """Return the guided filter of a frame (3, H, W), padded to `size` by repeating its last row and column."""
    if frame is None:
        raise ValueError(f"protocol {protocol.name!r} decodes labels by their frame: give frame, (3, H, W)")
    below = size[0] - frame.shape[1]
    right = size[1] - frame.shape[2]
    padded = F.pad(as_floats(to_device(frame, device))[None], (0, right, 0, below), mode="replicate")[0]
    return GuidedFilter(padded, protocol.decoding_guidance)


def encode_keypoints(points: Tensor | np.ndarray, frame_size: Size, grid: Size, protocol: JointProtocol) -> Tensor:
    """Return a Gaussian with peak 1 per joint, on the feature grid.

    The Gaussian of a joint at p is cut to a window, the integers trunc(p − 3σ) … trunc(p + 3σ), and its peak is the
    middle of the window. This loses the fraction of p, as in the original codes. A joint whose window lies outside the
    image gives zeros.

    Args:
        points: (K, 2) x, y in pixels of the frame, from 0.
        frame_size: (H, W) of the frame.
        grid: (h, w) of the feature map.
        protocol: `keypoint_sigma` is σ. By `keypoint_unit` the Gaussian is drawn at the frame's size, then sampled
            bilinearly ("pixel": VFS), or drawn on the grid ("cell": CRW).

    Returns:
        (K, h, w) float32 in [0, 1].

    Example:
        >>> (10 * encode_keypoints(torch.tensor([[16.0, 16.0]]), (40, 40), (5, 5), JointProtocol.named("crw"))).round()
        tensor([[[ 0.,  0.,  0.,  0.,  0.],
                 [ 0.,  0.,  1.,  0.,  0.],
                 [ 0.,  1., 10.,  1.,  0.],
                 [ 0.,  0.,  1.,  0.,  0.],
                 [ 0.,  0.,  0.,  0.,  0.]]])
    """
    points = torch.as_tensor(points, dtype=torch.float64)
    if protocol.keypoint_unit == "pixel":
        return resize_maps(_gaussians(points, frame_size, protocol.keypoint_sigma).float(), grid)
    scale = points.new_tensor([grid[1] / frame_size[1], grid[0] / frame_size[0]])
    return _gaussians(points * scale, grid, protocol.keypoint_sigma).float()


def decode_keypoints(heatmaps: Tensor, frame_size: Size, protocol: JointProtocol) -> Tensor:
    """Return a joint position per heat-map: the mean of the positions with the largest values, weighted by the values.

    Args:
        heatmaps: (K, h, w) float, 0 or more.
        frame_size: (H, W) of the frame.
        protocol: `keypoint_topk` is the number of positions. By `keypoint_grid` the positions are pixels of the
            heat-map up-sampled to the frame ("input": VFS), or cells, scaled by H / h and W / w ("feature": CRW).

    Returns:
        (K, 2) x, y in pixels of the frame; (−1, −1) for a heat-map that is zero everywhere.

    Example:
        >>> heatmaps = torch.zeros(2, 3, 4)
        >>> heatmaps[0, 1, 2] = 1
        >>> decode_keypoints(heatmaps, (24, 32), JointProtocol.named("crw"))  # the second joint is nowhere
        tensor([[16.,  8.],
                [-1., -1.]])
    """
    maps = resize_maps(heatmaps.float(), frame_size) if protocol.keypoint_grid == "input" else heatmaps.float()
    _, height, width = maps.shape
    values, indices = maps.flatten(1).topk(min(protocol.keypoint_topk, height * width))
    # NaN for an empty map, which is masked at the end
    weights = values / values.sum(1, keepdim=True)
    x = (indices % width * weights).sum(1) * (frame_size[1] / width)
    y = (indices // width * weights).sum(1) * (frame_size[0] / height)
    empty = maps.flatten(1).amax(1) <= 0
    return torch.stack([x, y], dim=1).masked_fill(empty[:, None], -1.0)


def upsampled_argmax(
    labels: Tensor,
    size: Size,
    floor: float | None = None,
    method: Filter = "bilinear",
    guide: GuidedFilter | None = None,
) -> Tensor:
    """Return the argmax (H, W) over the channels of up-sampled labels (L, h, w), background first.

    Args:
        floor: None: up-sampled channels are compared as they are. A number: a channel whose largest label is above it
            is first rescaled from [min, max] to [0, 1] (VFS, DINO). With a number above 0 the background is rescaled
            only if an object is; else the faint trace of an object that has left would win.
        guide: filter that is applied to each up-sampled channel.
    """
    best = labels.new_full(size, -torch.inf)
    scaled = labels.new_empty(size)
    winner = torch.zeros(size, dtype=torch.uint8, device=labels.device)
    rescaled = labels.flatten(1).amax(1) > (floor or 0.0)
    if floor:
        rescaled[0] &= rescaled[1:].any()  # else the background's least value becomes 0, and a faint trace wins there
    better = torch.empty(size, dtype=torch.bool, device=labels.device)
    for channel, label in enumerate(labels):
        value = resize_maps(label[None], size, method)[0]
        if floor is not None:
            low, high = value.aminmax()
            low = torch.where(rescaled[channel], low, 0.0)
            extent = torch.where(rescaled[channel], high - low + 1e-12, 1.0)
            value = torch.sub(value, low, out=scaled).div_(extent)
        # the filter is linear: filtering differences from the background saves one pass
        if guide is not None:
            if channel == 0:
                # the next channel overwrites `scaled`
                background = value.clone()
                best.zero_()
                continue
            value = guide(value - background)
        torch.gt(value, best, out=better)
        winner.masked_fill_(better, channel)
        torch.maximum(best, value, out=best)
    return winner


def _gaussians(points: Tensor, size: Size, sigma: float) -> Tensor:
    """Return Gaussians (K, H, W) at x, y (K, 2), cut to 3 σ on each side and centred in the window's middle pixel."""
    axes = []
    for coordinate, extent in zip(points.T, reversed(size), strict=True):
        start = (coordinate - 3 * sigma).trunc()
        stop = (coordinate + 3 * sigma + 1).trunc()
        positions = torch.arange(extent, device=points.device)
        centre = start + (6 * sigma + 1) // 2
        inside = (positions >= start[:, None]) & (positions < stop[:, None])
        distance = positions - centre[:, None]
        axes.append(torch.exp(-(distance**2) / (2 * sigma**2)) * inside)
    columns, rows = axes
    return rows[:, :, None] * columns[:, None, :]
