"""Outlines of sprites, drawn as opacity maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = ("blob", "ellipse", "polygon", "ring", "star")
MARGIN = 1.3
"""Side of the square around an outline, in diameters: room for the edge."""


def draw_shape(rng: np.random.Generator, side: int, shape: str | None = None) -> NDArray[np.uint8]:
    """Draw the opacity of one outline: (side, side) uint8, 255 inside, with an anti-aliased edge.

    The outline fits a disk of diameter `side / MARGIN` around the centre.
    """
    import cv2

    shape = shape if shape is not None else str(rng.choice(SHAPES))
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    if shape == "star":
        points = int(rng.integers(4, 7))
        radius = 1 - rng.uniform(0.3, 0.5) * (np.abs((angle * points / np.pi) % 2 - 1))
    elif shape == "polygon":
        corners = int(rng.integers(3, 6))
        wedge = np.pi / corners
        radius = np.cos(wedge) / np.cos(angle % (2 * wedge) - wedge)
    elif shape == "blob":
        radius = np.ones_like(angle)
        for k in range(2, 6):
            radius += rng.uniform(-0.3, 0.3) / (k - 1) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    else:
        radius = np.ones_like(angle)
    radius = np.maximum(radius, 0.25) / radius.max()
    flat = rng.uniform(0.55, 0.9) if shape in ("ellipse", "blob") else 1.0
    outline = np.stack([radius * np.cos(angle), flat * radius * np.sin(angle)], 1)
    scale = 4 * side / (2 * MARGIN)
    big = np.zeros((4 * side, 4 * side), np.uint8)
    cv2.fillPoly(big, [np.round(outline * scale + 2 * side).astype(np.int32)], 255)
    if shape == "ring":
        cv2.circle(big, (2 * side, 2 * side), int(scale * rng.uniform(0.3, 0.5)), 0, -1)
    return np.asarray(cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
