"""Resizing of images, ids and maps, pixel for pixel as OpenCV, Pillow and torch do."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...protocols.label_protocols import Filter, Nearest
from ..device import to_device

Size = tuple[int, int]


def resize_images(images: Tensor, size: Size, method: str) -> Tensor:
    """Resize images `(N, 3, H, W)` by OpenCV or Pillow, on the CPU; results of uint8 are rounded to uint8.

    Args:
        method: "pillow-nearest", "pillow-bilinear", "pillow-bicubic", "pillow-lanczos"; "opencv-linear" for uint8, or
            "opencv-linear-float" for float.
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
    """Resize (H, W, 3) by Pillow, one side after the other, so that all releases of Pillow give equal pixels.

    The image between the two passes is rounded to 8 bits, so the order of the passes counts. Pillow 11 always begins
    with the width. Pillow 13, as this function, begins with the height if the height loses more than twice as many
    pixels as the width.
    """
    from PIL import Image

    height, width = image.shape[:2]
    shrinks_most_in_height = size[0] < height and height - size[0] > 2 * (width - size[1])
    between = (width, size[0]) if shrinks_most_in_height else (size[1], height)  # (width, height) after the first pass
    resampling = Image.Resampling[method.upper()]
    return np.asarray(Image.fromarray(image).resize(between, resampling).resize(size[::-1], resampling))


def truncated_resize(frame: Tensor, size: Size) -> Tensor:
    """Resize a frame `(3, H, W)` bilinearly on floats, and truncate it to 8 bits (OmniProbe's first resize)."""
    return F.interpolate(frame[None].float(), size, mode="bilinear")[0].byte()


def reduced_frame(frame: Tensor, size: Size) -> Tensor:
    """Reduce a frame `(3, H, W)` uint8 on the CPU by averaging over areas (OpenCV's INTER_AREA).

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
# autograd takes no tensors of inference mode, in which the first call may be
@torch.inference_mode(False)
def nearest_index(source: int, target: int, rule: Nearest = "pillow") -> Tensor:
    """Return the index of the nearest source pixel for each target pixel of an axis, by a library's rounding.

    Args:
        rule: "pillow"; "opencv" (INTER_NEAREST); "opencv-exact" (INTER_NEAREST_EXACT); or "torch-exact"
            ("nearest-exact").
    """
    if rule == "torch-exact":
        pixels = torch.arange(source, dtype=torch.float64)[None, None]
        return F.interpolate(pixels, target, mode="nearest-exact")[0, 0].long()
    # both add up steps in double precision; OpenCV's exact rule does since 5.0
    if rule in ("pillow", "opencv-exact"):
        step = source / target
        # from the middle of the first target pixel on
        steps = [step * 0.5] + [step] * (target - 1)
        positions = np.add.accumulate(np.array(steps))
        return torch.from_numpy(positions.astype(np.int64).clip(max=source - 1))
    import cv2

    index = cv2.resize(np.arange(source, dtype=np.float64)[None], (target, 1), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(index[0].astype(np.int64))


def resize_ids(ids: Tensor, size: tuple[int, int], rule: Nearest = "pillow") -> Tensor:
    """Resize integer ids (H, W) by the nearest pixel; ids of this size are returned themselves."""
    if tuple(ids.shape) == tuple(size):
        return ids
    rows = to_device(nearest_index(ids.shape[0], size[0], rule), ids.device)
    columns = to_device(nearest_index(ids.shape[1], size[1], rule), ids.device)
    return ids[rows[:, None], columns]


def resize_maps(maps: Tensor, size: tuple[int, int], method: Filter = "bilinear") -> Tensor:
    """Resize maps (L, h, w) to (L, H, W) without smoothing.

    Args:
        method: "bilinear": pixel centres are aligned (torch's align_corners=False, OpenCV's INTER_LINEAR);
            "bilinear-aligned": the corner pixels are aligned (align_corners=True); "nearest": as torch's.
    """
    if maps.shape[-2:] == tuple(size):
        return maps
    if method == "nearest":
        return F.interpolate(maps[None], size, mode="nearest")[0]
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=method == "bilinear-aligned")[0]


@lru_cache(16)
# so that autograd takes the kept matrix, wherever the first call was
@torch.inference_mode(False)
def sampling_matrix(cells: int, positions: int, device: torch.device) -> Tensor:
    """Return the matrix `(positions, cells)` that samples an axis of cells at equal steps by a bicubic filter."""
    basis = torch.eye(cells, dtype=torch.float32, device=device)[None, :, :, None]
    return F.interpolate(basis, (positions, 1), mode="bicubic")[0, :, :, 0].T
