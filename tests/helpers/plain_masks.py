"""J and F of one mask the plain way, over the whole picture, from the definition of davis2017-evaluation."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray


def plain_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that differ from the one to the right, below or below right; the last row and column look one way only."""
    right, below, diagonal = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1], below[:-1], diagonal[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    boundary = mask ^ right | mask ^ below | mask ^ diagonal
    boundary[-1] = mask[-1] ^ right[-1]
    boundary[:, -1] = mask[:, -1] ^ below[:, -1]
    boundary[-1, -1] = False
    return boundary


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
