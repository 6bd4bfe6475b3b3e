"""Frames with tracks of points drawn over them."""

import colorsys

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .overlays import Picture, as_picture

TAIL = 12
"""Frames of a track that are drawn behind its point."""

JUMP = 0.15
"""Step from frame to frame, as a fraction of the picture's longer side, beyond which no tail is drawn: a lost point."""

TRUTH = (255, 255, 255)


def rainbow(positions: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """Return a colour for each point, RGB, by its height in the picture: neighbours keep similar colours.

    Args:
        positions: x, y `(N, 2)`, where the points begin.
    """
    order = np.argsort(np.argsort(positions[:, 1], kind="stable"), kind="stable") / max(len(positions), 1)
    return [
        (round(255 * red), round(255 * green), round(255 * blue))
        for red, green, blue in (colorsys.hsv_to_rgb(0.85 * float(hue), 0.9, 1.0) for hue in order)
    ]


def overlay_tracks(
    frame: Tensor,
    points: NDArray[np.float64],
    occluded: NDArray[np.bool_],
    t: int,
    colours: list[tuple[int, int, int]],
    truth: NDArray[np.float64] | None = None,
    truth_occluded: NDArray[np.bool_] | None = None,
) -> Picture:
    """Draw the points of a frame with the last part of their tracks: a dot where visible, a cross where hidden.

    Tails have gaps where a point is hidden or jumps.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        points: x, y `(N, T, 2)` in raster pixels of the frame.
        occluded: `(N, T)`.
        t: number of the frame.
        colours: RGB of each point.
        truth: `(N, T, 2)`; a white ring where it is visible, and a line from it to the point.
        truth_occluded: `(N, T)`.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    mean = picture.reshape(-1, 3).mean(0)
    unit = max(1, round(min(picture.shape[:2]) / 120))
    limit = 4 * max(picture.shape)
    positions = np.clip(np.nan_to_num(points - 0.5, nan=-limit), -limit, limit).round().astype(int)
    for number, colour in enumerate(colours):
        for before in range(max(1, t - TAIL + 1), t + 1):
            step = np.abs(positions[number, before] - positions[number, before - 1]).max()
            if step <= JUMP * max(picture.shape) and not occluded[number, before - 1 : before + 1].any():
                ends = positions[number, before - 1].tolist(), positions[number, before].tolist()
                cv2.line(picture, *ends, _faded(colour, mean, (t - before) / TAIL), unit, cv2.LINE_AA)
    for number, colour in enumerate(colours):
        position = positions[number, t].tolist()
        if truth is not None and truth_occluded is not None and not truth_occluded[number, t]:
            true = np.clip(truth[number, t] - 0.5, -limit, limit).round().astype(int).tolist()
            cv2.line(picture, position, true, TRUTH, 1, cv2.LINE_AA)
            cv2.circle(picture, true, 2 * unit + 1, TRUTH, 1, cv2.LINE_AA)
        if occluded[number, t]:
            size = 4 * unit + 1
            cv2.drawMarker(picture, position, colour, cv2.MARKER_TILTED_CROSS, size, unit, cv2.LINE_AA)
        else:
            cv2.circle(picture, position, unit + 1, colour, -1, cv2.LINE_AA)
    return picture


def _faded(colour: tuple[int, int, int], mean: NDArray[np.float64], age: float) -> tuple[int, int, int]:
    """Mix a colour with the frame's mean: the end of a tail is faint."""
    red, green, blue = (1 - 0.8 * age) * np.array(colour) + 0.8 * age * mean
    return round(red), round(green), round(blue)
