"""Textured shapes that move and bend, and how a patch is drawn over a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .motion import Motion, Wave
from .textures import draw_texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Generator = np.random.Generator

SHAPES = ("blob", "ellipse", "polygon", "ring", "star")
MARGIN = 1.3
"""Side of the square around an outline, in diameters: room for the edge."""

OVERSAMPLING = 1.3
"""Patch pixels per frame pixel at scale 1, so that a growing sprite stays sharp."""
RIM = 0.12
"""Sprites' centres turn back at this fraction of the frame from its edges."""


@dataclass(frozen=True)
class Sprite:
    """A textured shape.

    Args:
        family: family of its texture.
        patch: (S, S, 4) float32, RGB and opacity, 0..255.
        motion: where it is.
        bends: waves that bend it, as fractions of its size.
        begin: the frame in which it appears.
    """

    family: str
    patch: NDArray[np.float32]
    motion: Motion
    bends: tuple[Wave, Wave]
    begin: int = 0

    def mixed(self, colour: NDArray[np.float32], fraction: float) -> Sprite:
        """Return this sprite with a fraction of its texture, the rest a plain colour (3,) RGB."""
        patch = self.patch.copy()
        patch[..., :3] = fraction * patch[..., :3] + (1 - fraction) * colour
        return replace(self, patch=patch)

    def paste(
        self, image: NDArray[np.float32], ids: NDArray[np.uint8], number: int, t: float, shift: NDArray[np.float64]
    ) -> None:
        """Draw frame t, moved by `shift` (2,) pixels, over image (H, W, 3), and the number into ids (H, W)."""
        matrix = self.motion.matrix(t)
        matrix[:, 2] += shift
        paste(image, ids, number, self.patch, matrix, (self.bends[0](t), self.bends[1](t)))


def paste(
    image: NDArray[np.float32],
    ids: NDArray[np.uint8],
    number: int,
    patch: NDArray[np.float32],
    matrix: NDArray[np.float64],
    bend: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draw a patch over a picture, and its number where it covers at least half of a pixel.

    Args:
        image: (H, W, 3) float32, changed in place.
        ids: (H, W) uint8, changed in place.
        number: what to write into ids.
        patch: (h, w, 4) float32, RGB and opacity, 0..255, drawn at OVERSAMPLING patch pixels per unit of `matrix`.
        matrix: (2, 3): offset from the patch's centre → frame pixel.
        bend: sideways displacement of a sine along y and along x, as fractions of the patch's size.
    """
    import cv2

    side_y, side_x = patch.shape[0] / OVERSAMPLING, patch.shape[1] / OVERSAMPLING
    corners = np.array([[-side_x, -side_y], [side_x, -side_y], [side_x, side_y], [-side_x, side_y]]) / 2
    around = corners @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(around.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(around.max(0)).astype(int) + 1, image.shape[1::-1])
    if left >= right or top >= bottom:
        return
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    inverse = np.linalg.inv(matrix[:, :2]).astype(np.float32)
    x, y = x - np.float32(matrix[0, 2]), y - np.float32(matrix[1, 2])
    u, v = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
    if bend != (0.0, 0.0):
        bent = u + np.float32(bend[0] * side_x) * np.sin(5 * v / side_y)
        v = v + np.float32(bend[1] * side_y) * np.sin(5 * u / side_x)
        u = bent
    u = u * np.float32(OVERSAMPLING) + (patch.shape[1] - 1) / 2
    v = v * np.float32(OVERSAMPLING) + (patch.shape[0] - 1) / 2
    drawn = cv2.remap(patch, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    opacity = drawn[..., 3:] / 255
    region = image[top:bottom, left:right]
    region += opacity * (drawn[..., :3] - region)
    ids[top:bottom, left:right][opacity[..., 0] >= 0.5] = number


def draw_sprites(
    rng: Generator, families: list[str], size: tuple[int, int], colours: NDArray[np.float32]
) -> list[Sprite]:
    """Draw one sprite of each texture family, not overlapping in frame 0 as far as the frame has room."""
    height, width = size
    count = len(families)
    diameters = rng.uniform(42, 96, count) * min(size) / 256
    touching = (diameters[:, None] + diameters[None]) / 2
    centres, gap = np.empty((count, 2)), -np.inf
    for _ in range(64):
        draw = rng.uniform(0.18, 0.82, (count, 2)) * (width, height)
        apart = np.linalg.norm(draw[:, None] - draw[None], axis=-1) - touching
        smallest = float(apart[~np.eye(count, dtype=bool)].min(initial=np.inf))
        if smallest > gap:
            centres, gap = draw, smallest
        if gap > 0:
            break
    return [
        _draw_sprite(rng, family, diameter, (x, y), size, colours)
        for family, diameter, (x, y) in zip(families, diameters.tolist(), centres.tolist(), strict=True)
    ]


def _draw_sprite(
    rng: Generator,
    family: str,
    diameter: float,
    start: tuple[float, float],
    size: tuple[int, int],
    colours: NDArray[np.float32],
) -> Sprite:
    height, width = size
    unit = min(size) / 256
    side = int(MARGIN * diameter * OVERSAMPLING)
    texture = draw_texture(rng, family, side, rng.uniform(8, 15) * OVERSAMPLING, colours)
    patch = np.dstack([texture, draw_shape(rng, side).astype(np.float32)])
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(2, 5) * unit
    sway = (Wave.draw(rng, 10 * unit), Wave.draw(rng, 10 * unit))
    motion = Motion(
        start=(start[0] - sway[0](0), start[1] - sway[1](0)),
        velocity=(speed * float(np.cos(heading)), speed * float(np.sin(heading))),
        box=(RIM * width, RIM * height, (1 - RIM) * width, (1 - RIM) * height),
        sway=sway,
        turn=Wave.draw(rng, 0.8),
        growth=Wave.draw(rng, 0.3),
    )
    return Sprite(family, patch, motion, (Wave.draw(rng, 0.06, 12, 30), Wave.draw(rng, 0.06, 12, 30)))


def draw_shape(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw the opacity of one outline: (side, side) uint8, 255 inside, with an anti-aliased edge.

    The outline fits a disk of diameter `side / MARGIN` around the centre.
    """
    import cv2

    shape = str(rng.choice(SHAPES))
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
