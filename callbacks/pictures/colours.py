"""Colours that differ from each other and from the picture they are drawn over."""

import colorsys

import numpy as np
from numpy.typing import NDArray

from .overlays import Picture

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

HUES = 24
SHADES = ((1.0, 1.0), (0.55, 1.0), (1.0, 0.7))
"""Saturation and value of the candidates."""
DARKEST = 45.0
"""Least lightness of a candidate: pure blue, for one, is too dark for a line."""
THUMBNAIL = 32
FIFTH = 5
"""Percentile of a colour's distances to the picture's pixels that counts as its distance to the picture."""


def distinct_colours(count: int, picture: Picture | None = None) -> list[Colour]:
    """Choose colours one by one, each as far as possible from those before it and from the picture.

    Distances are Euclidean in CIE Lab. A colour is as far from the picture as the nearest twentieth of its pixels
    allow. There are about 50 candidates; more colours than that repeat.

    Args:
        count: number of colours.
        picture: uint8 RGB `(H, W, 3)`; None: only the colours' own distances count.

    Returns:
        `count` colours; the same for the same picture.
    """
    candidates = np.array(_candidates(), np.uint8)
    lab = lab_of(candidates)
    room = np.full(len(lab), np.inf)
    if picture is not None:
        room = np.percentile(_distances(lab, lab_of(_thumbnail(picture))), FIFTH, axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(lab))):
        best = int(room.argmax()) if np.isfinite(room).any() else 0
        chosen.append(best)
        room = np.minimum(room, _distances(lab, lab[best : best + 1])[:, 0])
    return [_plain(candidates[chosen[number % len(chosen)]]) for number in range(count)]


def lab_of(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE Lab of RGB colours `(N, 3)`."""
    import cv2

    pixels = (colours.reshape(1, -1, 3) / 255).astype(np.float32)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0], np.float64)


def _candidates() -> list[Colour]:
    mixed = [colorsys.hsv_to_rgb(number / HUES, *shade) for shade in SHADES for number in range(HUES)]
    found = [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in mixed]
    light = lab_of(np.array(found, np.uint8))[:, 0] >= DARKEST
    return [colour for colour, enough in zip(found, light, strict=True) if enough]


def _thumbnail(picture: Picture) -> NDArray[np.uint8]:
    import cv2

    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).reshape(-1, 3)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2), np.float64)


def _plain(colour: NDArray[np.uint8]) -> Colour:
    red, green, blue = colour.tolist()
    return red, green, blue
