"""Boxes of tracked targets: text files, the two conventions, and the square crops that SiamFC sees."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError
from .guards import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALLEST_SIDE = 2.0
"""Pixels of the frame that a crop holds at least."""


def read_boxes(path: Path) -> NDArray[np.float64]:
    """Read one box per line: (T, 4) float64 as in the file: x, y, width, height, one-based in OTB and GOT-10k.

    Raises:
        DataError: as `read_numbers`.
    """
    return read_numbers(path, ("x", "y", "width", "height"))


def read_numbers(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read a table of numbers: UTF-8, one row per line, separated by commas, tabs or spaces; empty lines are skipped.

    Args:
        path: the file.
        columns: what the numbers of a line are.

    Returns:
        (rows, columns) float64.

    Raises:
        DataError: naming the file that cannot be read or is not in UTF-8, and the line that does not hold a number for
            each column.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        text = line.strip()
        try:
            row = [float(word) for word in text.replace(",", " ").split()]
        except ValueError:
            row = []
        if text and len(row) != len(columns):
            raise DataError(f"{path}: line {number} is {text[:80]!r}; expected {', '.join(columns)}")
        if text:
            rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, len(columns))


def centred(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert one-based x, y, width, height (…, 4) to zero-based centre y, x and height, width (…, 4), pixels.

    Example:
        >>> centred(np.array([1.0, 1.0, 5.0, 3.0])).tolist()
        [1.0, 2.0, 3.0, 5.0]
    """
    x, y, width, height = np.moveaxis(np.asarray(boxes, dtype=np.float64), -1, 0)
    return np.stack([y - 1 + (height - 1) / 2, x - 1 + (width - 1) / 2, height, width], axis=-1)


def one_based(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert `centred`: zero-based centre y, x and height, width (…, 4) to one-based x, y, width, height."""
    y, x, height, width = np.moveaxis(np.asarray(targets, dtype=np.float64), -1, 0)
    return np.stack([x + 1 - (width - 1) / 2, y + 1 - (height - 1) / 2, width, height], axis=-1)


def context_side(height: float, width: float, context: float = 0.5) -> float:
    """Return the side of the square that shows a target with its surroundings, pixels (SiamFC, Eq. 15).

    Its area is (h + c)(w + c), where the margin c is `context` · (h + w).

    Example:
        >>> context_side(1.0, 1.0)
        2.0
    """
    margin = context * (height + width)
    return math.sqrt((height + margin) * (width + margin))


def square_crop(
    image: NDArray[np.uint8],
    centre: tuple[float, float],
    side: float,
    size: int,
    interpolation: int = 1,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Cut a square out of a frame and resize it; what lies outside the frame gets the frame's mean colour.

    As in the tracker of VFS: the corners centre ± side / 2 are rounded, the visible part alone is resized, and the rest
    is padded. Where nothing is visible the crop is all mean colour (black in that code).

    Args:
        image: (H, W, 3) uint8.
        centre: (y, x), pixels, zero-based; it may lie outside.
        side: side of the square in the frame, pixels; below 2 it is 2.
        size: side of the crop, pixels.
        interpolation: OpenCV's; 1 is bilinear.
        out: (size, size, 3) uint8, contiguous, where to put the crop.

    Returns:
        (size, size, 3) uint8.
    """
    import cv2

    crop = np.empty((size, size, 3), np.uint8) if out is None else out
    side = max(side, SMALLEST_SIDE)
    (top, bottom, above, height), (left, right, before, width) = (
        _visible(middle, side, length, size) for middle, length in zip(centre, image.shape[:2], strict=True)
    )
    region = image[top:bottom, left:right]
    if region.size and (height, width) == (size, size):
        cv2.resize(region, (size, size), dst=crop, interpolation=interpolation)
        return crop
    crop[:] = np.rint(np.divide(cv2.sumElems(image)[:3], image.shape[0] * image.shape[1]))
    if region.size:
        resized = cv2.resize(region, (width, height), interpolation=interpolation)
        crop[above : above + height, before : before + width] = resized
    return crop


def _visible(middle: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return along one axis where the visible part begins and ends in the frame, begins in the crop, and its length."""
    low, high = round(middle - side / 2), round(middle + side / 2)
    first, last = min(max(low, 0), length), min(max(high, 0), length)
    pixels = max(1, round(size * (last - first) / (high - low)))
    return first, last, max(0, -low * size // (high - low)), pixels
