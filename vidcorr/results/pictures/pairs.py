"""Two pictures with lines between their matched points."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from .overlays import FOUND, LIGHT, Colour, Picture, as_picture, evenly_spaced

RIGHT: Colour = (60, 200, 90)
"""Colour of correct matches."""
WRONG = FOUND
SHOWN = 40  # most matches in a picture, evenly spaced in their order


def draw_matches(
    first: Tensor,
    second: Tensor,
    points: Any,
    others: Any,
    colours: Sequence[Colour],
    side: int = 320,
    is_tight: bool = False,
) -> Picture:
    """Draw the first picture above the second, with lines between the points of at most 40 matches.

    The drawn matches are evenly spaced in the order of the matches. A NaN coordinate is drawn at 0 of the sheet.

    Args:
        first: uint8 RGB `(3, H, W)`.
        second: uint8 RGB `(3, H', W')`.
        points: x, y `(N, 2)` in pixels of the first picture.
        others: x, y `(N, 2)` in pixels of the second; row n is the match of point n.
        colours: a colour per match.
        side: longer side of the drawn pictures, pixels.
        is_tight: True: leave no space below the pictures; False: each picture has a square.

    Returns:
        uint8 `(2 · side, side, 3)`; with `is_tight` as high as the two pictures.

    Example:
        >>> import torch
        >>> pictures = [torch.zeros(3, 40, 80, dtype=torch.uint8), torch.zeros(3, 80, 40, dtype=torch.uint8)]
        >>> [draw_matches(*pictures, [[1, 2]], [[3, 4]], [RIGHT], is_tight=tight).shape for tight in (False, True)]
        [(640, 320, 3), (480, 320, 3)]
    """
    sheet = np.full((2 * side, side, 3), 255, np.uint8)
    ends: list[Any] = []
    unit = max(1, side // 320)  # width of a line
    top = 0
    for frame, places in ((first, points), (second, others)):
        picture = as_picture(frame)
        scale = side / max(picture.shape)
        width, height = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
        sheet[top : top + height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        if top:
            sheet[top - unit : top + unit] = 255  # a line between the pictures
        drawn = np.asarray(places, np.float64).reshape(-1, 2) * scale + (0, top)
        ends.append(np.nan_to_num(drawn).round().astype(int).clip(0, 2 * side).tolist())
        top += height if is_tight else side
    for index in evenly_spaced(len(ends[0]), SHOWN):
        cv2.line(sheet, ends[0][index], ends[1][index], colours[index], unit, cv2.LINE_AA)
        for of_picture in ends:
            cv2.circle(sheet, of_picture[index], 2 * unit + 1, LIGHT, -1, cv2.LINE_AA)
            cv2.circle(sheet, of_picture[index], 2 * unit, colours[index], -1, cv2.LINE_AA)
    return sheet[:top]
