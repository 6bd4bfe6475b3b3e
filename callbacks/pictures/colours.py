"""Colours of objects and points that are easy to tell apart."""

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

HUES = 24
SHADES = ((1.0, 1.0), (0.55, 1.0), (1.0, 0.7))
"""Saturation and value of the candidates."""
DARKEST = 45.0
"""Least lightness of a candidate: pure blue, for one, is too dark for a line."""
FIFTH = 5
"""Percentile of a colour's distances to the image's pixels that counts as its distance to the image."""


def distinct_colours(count: int, picture: Picture | None = None) -> list[Colour]:
    """Choose colours one by one, each as far as possible from those before it and from the image.

    Distances are Euclidean in CIE Lab. A colour is as far from the image as the nearest twentieth of its pixels
    allow. There are about 50 candidates; more colours than that repeat.

    Args:
        count: number of colours.
        picture: uint8 RGB `(H, W, 3)`; None: only the colours' own distances count.

    Returns:
        `count` colours; the same for the same image.
    """
    candidates = candidate_colours()
    lab = lab_of(candidates)
    room = np.full(len(lab), np.inf)
    if picture is not None:
        pixels = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX)).reshape(-1, 3)
        room = np.percentile(_distances(lab, lab_of(pixels)), FIFTH, axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(lab))):
        chosen.append(int(room.argmax()))
        room = np.minimum(room, _distances(lab, lab[chosen[-1:]])[:, 0])
    return [_plain(candidates[chosen[number % len(chosen)]]) for number in range(count)]


def candidate_colours() -> NDArray[np.uint8]:
    """Return the colours `(N, 3)` that objects may take."""
    mixed = [colorsys.hsv_to_rgb(number / HUES, *shade) for shade in SHADES for number in range(HUES)]
    colours = (255 * np.array(mixed)).round().astype(np.uint8)
    return colours[lab_of(colours)[:, 0] >= DARKEST]


def lab_of(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE Lab of RGB colours `(N, 3)`."""
    import cv2

    pixels = (colours.reshape(1, -1, 3) / 255).astype(np.float32)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0], np.float64)


def rainbow(positions: NDArray[np.float64]) -> list[Colour]:
    """Return a colour for each point, RGB, by its height in the image: neighbours keep similar colours.

    Args:
        positions: x, y `(N, 2)`, where the points begin.
    """
    order = np.argsort(np.argsort(positions[:, 1], kind="stable"), kind="stable") / max(len(positions), 1)
    return [_plain(255 * np.array(colorsys.hsv_to_rgb(0.85 * hue, 0.9, 1.0))) for hue in order.tolist()]


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2), np.float64)


def _plain(colour: NDArray[np.uint8] | NDArray[np.float64]) -> Colour:
    red, green, blue = colour.round().astype(int).tolist()
    return red, green, blue
