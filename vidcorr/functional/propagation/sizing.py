"""Size of the network's input, area that its feature map covers, and the resampling of the original codes."""

import functools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import to_device
from ..protocols import Filter, Nearest, NetworkInput

Size = tuple[int, int]

ROUNDINGS: dict[str, Callable[[Fraction], int]] = {"nearest": round, "floor": math.floor, "ceil": math.ceil}

GREY = 0.466327
"""Padding colour: RGB of Lab lightness 50, which Liir's normalisation makes 0 and others nearly so."""


def resized_size(size: Size, rules: NetworkInput, multiple: int = 1) -> Size:
    """Return the height and width of an image as the network sees it, without padding.

    Args:
        size: (H, W) of the image.
        rules: see `NetworkInput`.
        multiple: the network's multiple, for rules with the `input_multiple` "network".

    Example:
        >>> dino = NetworkInput(name="dino's", input_size=480, input_multiple=64, input_rounding="floor")
        >>> resized_size((480, 854), dino), resized_size((854, 480), dino)
        ((480, 832), (832, 480))
    """
    if isinstance(rules.input_size, tuple):
        return rules.input_size
    step = multiple if rules.input_multiple == "network" else rules.input_multiple

    def rounded(side: Fraction) -> int:
        return max(ROUNDINGS[rules.input_rounding](side / step), 1) * step

    if rules.input_size is None:
        return rounded(Fraction(size[0])), rounded(Fraction(size[1]))
    given, other = sorted(size, reverse=rules.input_side == "long")
    short, long = sorted((rules.input_size, rounded(Fraction(rules.input_size * other, given))))
    return (short, long) if size[0] <= size[1] else (long, short)


def fit_input(images: Tensor, rules: NetworkInput, multiple: int = 1, device: torch.device | None = None) -> Tensor:
    """Resize images by a protocol's rules, then pad them at the right and below with grey.

    Args:
        images: RGB `(N, 3, H, W)`, uint8 or float in [0, 1].
        rules: see `NetworkInput`.
        multiple: pad to a multiple of this too, for a network that needs complete patches; see `resized_size`.
        device: device of the result; None: the device of `images`.

    Returns:
        Float RGB `(N, 3, H', W')` in [0, 1].
    """
    device = device or images.device
    size = resized_size((images.shape[-2], images.shape[-1]), rules, multiple)
    if size == tuple(images.shape[-2:]):
        images = _as_float(to_device(images, device))
    elif rules.input_filter.startswith("bilinear"):
        smooth = rules.input_filter == "bilinear-antialias"
        images = _as_float(to_device(images, device))
        images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=smooth).clamp_(0, 1)
    else:
        images = _as_float(images) if rules.input_filter.endswith("-float") else _as_bytes(images)
        images = _as_float(to_device(resize_images(images, size, rules.input_filter), device))
    padded = padded_size(size, rules, multiple)
    below, right = padded[0] - size[0], padded[1] - size[1]
    return F.pad(images, (0, right, 0, below), value=GREY) if below or right else images


def covered_size(size: Size, rules: NetworkInput, multiple: int = 1) -> Size:
    """Return the extent of the network's input in pixels of the image: the image and its padding.

    Labels are coded at this size: annotations are padded to it with background, and decoded masks are cut.

    Args:
        size: (H, W) of the image.
        rules: see `NetworkInput`.
        multiple: as for `fit_input`.

    Returns:
        (H', W'), at least (H, W).

    Example:
        >>> any_size, liir = NetworkInput(name="x"), NetworkInput(name="Liir's", input_padding=4)
        >>> covered_size((480, 854), any_size), covered_size((480, 854), liir)
        ((480, 854), (480, 856))
        >>> covered_size((480, 854), any_size, multiple=16)
        (480, 864)
    """
    seen = resized_size(size, rules, multiple)
    padded = padded_size(seen, rules, multiple)
    return round(size[0] * padded[0] / seen[0]), round(size[1] * padded[1] / seen[1])


def resize_images(images: Tensor, size: Size, method: str) -> Tensor:
    """Resize images by OpenCV or Pillow, which round uint8 images to 8 bits again.

    Args:
        images: `(N, 3, H, W)` uint8, or float for "opencv-linear-float", on any device.
        size: (H', W').
        method: "opencv-linear", "opencv-linear-float", "pillow-nearest", "pillow-bicubic" or "pillow-lanczos".

    Returns:
        `(N, 3, H', W')` of the same type, on the CPU.
    """
    import cv2
    from PIL import Image

    resized = []
    for image in images.cpu().permute(0, 2, 3, 1).contiguous().numpy():
        if method.startswith("opencv-linear"):
            resized.append(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))
        else:
            resampling = Image.Resampling[method.removeprefix("pillow-").upper()]
            resized.append(np.asarray(Image.fromarray(image).resize(size[::-1], resampling)))
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def _as_float(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _as_bytes(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else images.mul(255).round().clamp(0, 255).byte()


def padded_size(size: Size, rules: NetworkInput, multiple: int) -> Size:
    """Return the height and width of the network's input, from the result of `resized_size`."""
    multiple = math.lcm(multiple, rules.input_padding)
    return size[0] + -size[0] % multiple, size[1] + -size[1] % multiple


@functools.lru_cache(maxsize=256)
@torch.inference_mode(False)  # kept from call to call, whatever mode the next one is in
def nearest_index(source: int, target: int, rule: Nearest = "pillow") -> Tensor:
    """Return the source index of all target indices along an axis.

    Args:
        source: source length.
        target: target length.
        rule: see `Nearest`.

    Returns:
        Long (target,), on the CPU.
    """
    if rule == "torch-exact":
        pixels = torch.arange(source, dtype=torch.float64)[None, None]
        return F.interpolate(pixels, size=target, mode="nearest-exact")[0, 0].long()
    if rule == "pillow":  # positions are summed up in double precision
        step = source / target
        positions = np.add.accumulate(np.array([step * 0.5] + [step] * (target - 1)))
        return torch.from_numpy(positions.astype(np.int64).clip(max=source - 1))
    import cv2

    flag = cv2.INTER_NEAREST if rule == "opencv" else cv2.INTER_NEAREST_EXACT
    index = cv2.resize(np.arange(source, dtype=np.float64)[None], (target, 1), interpolation=flag)
    return torch.from_numpy(index[0].astype(np.int64))


def resize_ids(ids: Tensor, size: tuple[int, int], rule: Nearest = "pillow") -> Tensor:
    """Resize integer ids (H, W) to (H', W') by the nearest pixel."""
    if tuple(ids.shape) == tuple(size):
        return ids
    rows, columns = (to_device(nearest_index(*pair, rule), ids.device) for pair in zip(ids.shape, size, strict=True))
    return ids[rows[:, None], columns]


def resize_maps(maps: Tensor, size: tuple[int, int], method: Filter = "bilinear") -> Tensor:
    """Resize maps (L, h, w) to (L, H, W) without smoothing.

    Args:
        maps: float.
        size: (H, W).
        method: "bilinear": between pixel centres (torch's align_corners=False, OpenCV's INTER_LINEAR);
            "bilinear-aligned": between corners (align_corners=True); "nearest": torch's.
    """
    if maps.shape[-2:] == tuple(size):
        return maps
    if method == "nearest":
        return F.interpolate(maps[None], size=size, mode="nearest")[0]
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=method == "bilinear-aligned")[0]
