"""Masks of soft labels the plain way, and J and F over the whole picture as davis2017-evaluation defines them."""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def plain_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that differ from the one to the right, below or below right; the last row and column look one way only."""
    padded = np.pad(mask, (0, 1), mode="edge")
    return mask ^ padded[:-1, 1:] | mask ^ padded[1:, :-1] | mask ^ padded[1:, 1:]


def plain_region(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    union = np.sum(prediction | target)
    return float(np.sum(prediction & target) / union) if union else 1.0


def plain_boundary_score(prediction: NDArray[np.bool_], target: NDArray[np.bool_], radius: int | None = None) -> float:
    if radius is None:
        radius = math.ceil(0.008 * np.linalg.norm(target.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    a, b = plain_boundary(prediction), plain_boundary(target)
    near_a, near_b = cv2.dilate(a.astype(np.uint8), disk), cv2.dilate(b.astype(np.uint8), disk)
    length_a, length_b = np.sum(a), np.sum(b)
    if not length_a or not length_b:
        return float(length_a == length_b)
    precision, recall = np.sum(a * near_b) / length_a, np.sum(b * near_a) / length_b
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def plain_decode(labels: Tensor, size: tuple[int, int], rescale: bool = True) -> Tensor:
    """Soft labels (L, h, w) → mask: bilinear, min-max of each channel whose maximum is above 0, argmax."""
    maps = F.interpolate(labels[None], size=size, mode="bilinear", align_corners=False)[0]
    if rescale:
        low, high = maps.flatten(1).amin(1)[:, None, None], maps.flatten(1).amax(1)[:, None, None]
        maps = torch.where(high > 0, (maps - low) / (high - low + 1e-12), maps)
    return maps.argmax(0).to(torch.uint8)
