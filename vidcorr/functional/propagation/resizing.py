"""Resizing of images, ids and maps, pixel for pixel as OpenCV, Pillow and torch do."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...protocols.masks import Filter, Nearest
from ..device import to_device

Size = tuple[int, int]


def resize_images(images: Tensor, size: Size, method: str) -> Tensor:
    """Resize images by OpenCV or Pillow; the results of uint8 images are rounded to uint8.

    Args:
        images: `(N, 3, H, W)` uint8, or float for "opencv-linear-float", on any device.
        size: (H', W').
        method: "pillow-nearest", "pillow-bilinear", "pillow-bicubic", "pillow-lanczos"; "opencv-linear" for uint8, or
            "opencv-linear-float" for float.

    Returns:
        `(N, 3, H', W')` of the same type, on the CPU.

    Example:
        >>> image = torch.tensor([[[[0, 100]]]], dtype=torch.uint8).expand(1, 3, 1, 2)
        >>> for method in ("pillow-nearest", "pillow-bilinear", "opencv-linear"):
        ...     print(method, resize_images(image, (1, 4), method)[0, 0].tolist())
        pillow-nearest [[0, 0, 100, 100]]
        pillow-bilinear [[0, 25, 75, 100]]
        opencv-linear [[0, 25, 75, 100]]
    """
    import cv2

    resized = []
    for image in images.cpu().permute(0, 2, 3, 1).contiguous().numpy():
        if method.startswith("opencv-linear"):
            resized.append(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))
        else:
            resized.append(resize_by_pillow(image, size, method.removeprefix("pillow-")))
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def resize_by_pillow(image: NDArray[np.uint8], size: Size, method: str) -> NDArray[np.uint8]:
    """Resize an image by Pillow, one side after the other, so that all releases of Pillow give equal pixels.

    The image between the two passes is rounded to 8 bits, so the order of the passes counts. Pillow 11 always begins
    with the width. Pillow 13, as this function, begins with the height if the height loses more than twice as many
    pixels as the width.

    Args:
        image: (H, W, 3) uint8.
        size: (H', W').
        method: "nearest", "bilinear", "bicubic" or "lanczos".

    Returns:
        (H', W', 3) uint8.
    """
    from PIL import Image

    height, width = image.shape[:2]
    shrinks_most_in_height = size[0] < height and height - size[0] > 2 * (width - size[1])
    between = (width, size[0]) if shrinks_most_in_height else (size[1], height)  # (width, height) after the first pass
    resampling = Image.Resampling[method.upper()]
    return np.asarray(Image.fromarray(image).resize(between, resampling).resize(size[::-1], resampling))


def truncated_resize(frame: Tensor, size: Size) -> Tensor:
    """Resize a frame bilinearly without smoothing, on floats, and truncate it to 8 bits (OmniProbe's first resize).

    Args:
        frame: RGB `(3, H, W)` uint8.
        size: (H', W').

    Returns:
        `(3, H', W')` uint8; a frame of this size stays as it is.
    """
    return F.interpolate(frame[None].float(), size, mode="bilinear")[0].byte()


def reduced_frame(frame: Tensor, size: Size) -> Tensor:
    """Reduce a frame to a size by averaging over areas (OpenCV's INTER_AREA).

    Args:
        frame: RGB `(3, H, W)` uint8, on the CPU.
        size: (H', W').

    Returns:
        `(3, H', W')` uint8; a frame of this size is returned itself.

    Example:
        >>> reduced_frame(torch.tensor([[[0, 10, 50, 20, 30, 100]]], dtype=torch.uint8).expand(3, 1, 6), (1, 2))[0]
        tensor([[20, 50]], dtype=torch.uint8)
    """
    import cv2

    if tuple(frame.shape[-2:]) == tuple(size):
        return frame
    image = cv2.resize(frame.permute(1, 2, 0).numpy(), size[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(image).permute(2, 0, 1)


@lru_cache(256)
@torch.inference_mode(False)  # autograd takes no tensors of inference mode, in which the first call may be
def nearest_index(source: int, target: int, rule: Nearest = "pillow") -> Tensor:
    """Return, along an axis, the index of the nearest source pixel for each target pixel.

    Args:
        source: number of source pixels.
        target: number of target pixels.
        rule: the library whose rounding is used: "pillow"; "opencv" (INTER_NEAREST); "opencv-exact"
            (INTER_NEAREST_EXACT); or "torch-exact" ("nearest-exact").

    Returns:
        Long (target,), on the CPU.
    """
    if rule == "torch-exact":
        pixels = torch.arange(source, dtype=torch.float64)[None, None]
        return F.interpolate(pixels, target, mode="nearest-exact")[0, 0].long()
    if rule in ("pillow", "opencv-exact"):  # both add up steps in double precision; OpenCV's exact rule does since 5.0
        step = source / target
        steps = [step * 0.5] + [step] * (target - 1)  # from the middle of the first target pixel on
        positions = np.add.accumulate(np.array(steps))
        return torch.from_numpy(positions.astype(np.int64).clip(max=source - 1))
    import cv2

    index = cv2.resize(np.arange(source, dtype=np.float64)[None], (target, 1), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(index[0].astype(np.int64))


def resize_ids(ids: Tensor, size: tuple[int, int], rule: Nearest = "pillow") -> Tensor:
    """Resize integer ids (H, W) to `size` (H', W') by the nearest pixel, which `nearest_index` finds by the rule.

    Ids of this size are returned themselves.
    """
    if tuple(ids.shape) == tuple(size):
        return ids
    rows = to_device(nearest_index(ids.shape[0], size[0], rule), ids.device)
    columns = to_device(nearest_index(ids.shape[1], size[1], rule), ids.device)
    return ids[rows[:, None], columns]


def resize_maps(maps: Tensor, size: tuple[int, int], method: Filter = "bilinear") -> Tensor:
    """Resize maps (L, h, w) to (L, H, W) without smoothing.

    Args:
        maps: the maps, float.
        size: (H, W).
        method: "bilinear": pixel centres are aligned (torch's align_corners=False, OpenCV's INTER_LINEAR);
            "bilinear-aligned": the corner pixels are aligned (align_corners=True); "nearest": as torch's.
    """
    if maps.shape[-2:] == tuple(size):
        return maps
    if method == "nearest":
        return F.interpolate(maps[None], size, mode="nearest")[0]
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=method == "bilinear-aligned")[0]


@lru_cache(16)
@torch.inference_mode(False)  # so that autograd takes the kept matrix, wherever the first call was
def sampling_matrix(cells: int, positions: int, device: torch.device) -> Tensor:
    """Return the matrix `(positions, cells)` that samples the cells of an axis by a bicubic filter.

    Args:
        cells: number of cells along the axis.
        positions: number of positions; position i is the centre of the i-th of as many equal parts of the axis.
    """
    basis = torch.eye(cells, dtype=torch.float32, device=device)[None, :, :, None]  # resizing is linear
    return F.interpolate(basis, (positions, 1), mode="bicubic")[0, :, :, 0].T
