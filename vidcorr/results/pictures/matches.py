"""Two pictures with lines between their matched points."""

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .overlays import DARK, LIGHT, Picture, as_picture, captioned, resized

SIDE = 800
"""Longer side of a drawn picture, pixels."""


def matches_sheet(
    first: Tensor,
    second: Tensor,
    points: NDArray[np.float64],
    others: NDArray[np.float64],
    similarities: NDArray[np.float64],
) -> Picture:
    """Draw two pictures side by side, with a line per match; its colour says the similarity.

    Args:
        first: uint8 RGB `(3, H, W)`.
        second: uint8 RGB `(3, H', W')`.
        points: x, y `(N, 2)` in pixels of the first picture.
        others: x, y `(N, 2)` in pixels of the second picture.
        similarities: `(N,)`.

    Returns:
        uint8 `(H, 1600, 3)`: the pictures under a caption with the range of the colours.
    """
    sheet = np.full((SIDE, 2 * SIDE, 3), 255, np.uint8)
    ends = []
    heights = []
    for left, frame, places in ((0, first, points), (SIDE, second, others)):
        scale = SIDE / max(frame.shape[1:])
        small = resized(as_picture(frame), round(scale * frame.shape[2]))
        height, width, _ = small.shape
        heights.append(height)
        sheet[:height, left : left + width] = small
        ends.append((places * scale + (left, 0)).round().astype(int).tolist())
    low = float(similarities.min()) if len(similarities) else 0.0
    high = float(similarities.max()) if len(similarities) else 0.0
    levels = ((similarities - low) / max(high - low, 1e-9) * 255).round().astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB).reshape(-1, 3).tolist()
    for begin, end, colour in list(zip(*ends, colours, strict=True))[::-1]:  # the most similar match on top
        cv2.line(sheet, begin, end, DARK, 4, cv2.LINE_AA)
        cv2.line(sheet, begin, end, colour, 2, cv2.LINE_AA)
        for place in (begin, end):
            cv2.circle(sheet, place, 6, LIGHT, -1, cv2.LINE_AA)
            cv2.circle(sheet, place, 4, colour, -1, cv2.LINE_AA)
    text = f"{len(ends[0])} matches; similarity {low:.3f} (purple) to {high:.3f} (yellow)"
    return captioned(sheet[: max(heights)], text, height=32)
