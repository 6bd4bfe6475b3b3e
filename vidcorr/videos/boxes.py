"""Boxes: their two conventions, and SiamFC's square crops."""

import math

import numpy as np
from numpy.typing import NDArray

SMALLEST_SIDE = 2.0
"""Smallest side of a crop in the frame, pixels: the rounded corners of a smaller one may coincide."""


def centred(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert one-based x, y, width, height (…, 4) to zero-based centre y, x and height, width (…, 4), pixels."""
    x, y, width, height = np.moveaxis(np.asarray(boxes, dtype=np.float64), -1, 0)
    # - 1: counted from 0; (height - 1) / 2: from the centre of the first pixel to the centre of the box
    centre_y = y - 1 + (height - 1) / 2
    centre_x = x - 1 + (width - 1) / 2
    return np.stack([centre_y, centre_x, height, width], axis=-1)


def one_based(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert `centred`: zero-based centre y, x and height, width (…, 4) to one-based x, y, width, height.

    Example:
        >>> one_based(np.array([1.0, 2.0, 3.0, 5.0])).tolist()
        [1.0, 1.0, 5.0, 3.0]
    """
    y, x, height, width = np.moveaxis(np.asarray(targets, dtype=np.float64), -1, 0)
    left = x + 1 - (width - 1) / 2  # + 1: counted from 1
    top = y + 1 - (height - 1) / 2
    return np.stack([left, top, width, height], axis=-1)


def context_side(height: float, width: float, context: float = 0.5) -> float:
    """Return the side of the square around a target with its surroundings, pixels (SiamFC, Eq. 15).

    The square's area is (h + c)(w + c), with the margin c = `context` · (h + w).
    """
    margin = context * (height + width)
    return math.sqrt((height + margin) * (width + margin))


def square_crop(
    image: NDArray[np.uint8], centre: tuple[float, float], side: float, size: int, interpolation: int = 1
) -> NDArray[np.uint8]:
    """Cut a square out of a frame and resize it; the part outside the frame gets the frame's mean colour.

    As in the tracker of VFS, the corners centre ± side / 2 are rounded, only the visible part is resized, and the rest
    of the crop is filled. A crop that lies wholly outside has the mean colour (black in VFS).

    Args:
        image: (H, W, 3) uint8.
        centre: (y, x), pixels, zero-based; may lie outside.
        side: side of the square in the frame, pixels; at least `SMALLEST_SIDE` is cut out.
        size: side of the crop, pixels.
        interpolation: OpenCV's constant; 1 is bilinear.

    Returns:
        (size, size, 3) uint8.
    """
    import cv2

    crop = np.empty((size, size, 3), np.uint8)
    side = max(side, SMALLEST_SIDE)
    # start and end in the frame, then start and length in the crop
    top, bottom, above, height = _visible_part(centre[0], side, image.shape[0], size)
    left, right, before, width = _visible_part(centre[1], side, image.shape[1], size)
    region = image[top:bottom, left:right]
    is_filled = region.size and (height, width) == (size, size)
    if not is_filled:
        sums = cv2.sumElems(image)[:3]  # of each channel; OpenCV always returns four sums
        pixels = image.shape[0] * image.shape[1]
        crop[:] = np.rint(np.divide(sums, pixels))
    if region.size:
        resized = cv2.resize(region, (width, height), interpolation=interpolation)
        crop[above : above + height, before : before + width] = resized
    return crop


def _visible_part(middle: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return the visible part of a square along an axis: start and end in the frame, start and length in the crop.

    Args:
        middle: centre of the square in the frame.
        side: side of the square in the frame.
        length: pixels of the frame along the axis.
        size: pixels of the crop along the axis.
    """
    low = round(middle - side / 2)
    high = round(middle + side / 2)
    start = min(max(low, 0), length)
    end = min(max(high, 0), length)
    start_in_crop = max(0, -low * size // (high - low))  # the crop's share before the frame begins
    length_in_crop = max(1, round(size * (end - start) / (high - low)))  # 1 also for the narrowest visible strip
    return start, end, start_in_crop, length_in_crop
