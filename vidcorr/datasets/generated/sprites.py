"""Textured shapes that move and bend, and how they are drawn over an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]
    Generator = np.random.Generator

SHAPES = ("blob", "ellipse", "polygon", "ring", "star")
MARGIN = 1.3
"""Side of the square around an outline, in diameters: room for the edge."""

OVERSAMPLING = 1.3
"""Patch pixels per frame pixel at scale 1, so that a growing sprite stays sharp."""
RIM = 0.12
"""Sprites' centres turn back at this fraction of the frame from its edges."""
PALETTE_SIZE = 3


@dataclass(frozen=True)
class Wave:
    """A smooth oscillation over the frames: amplitude · sin(2π t / period + phase)."""

    amplitude: float
    period: float
    phase: float

    def __call__(self, t: float) -> float:
        return self.amplitude * float(np.sin(2 * np.pi * t / self.period + self.phase))

    @classmethod
    def draw(cls, rng: np.random.Generator, amplitude: float, shortest: float = 25, longest: float = 60) -> Wave:
        """Draw a wave of up to `amplitude`, at least half of it; periods in frames."""
        return cls(amplitude * rng.uniform(0.5, 1), rng.uniform(shortest, longest), rng.uniform(0, 2 * np.pi))


def _bounce(value: float, low: float, high: float) -> float:
    """Reflect a value at both ends of an interval until it lies inside."""
    span = high - low
    return low + span - abs((value - low) % (2 * span) - span)


@dataclass(frozen=True)
class Sprite:
    """A textured shape that drifts, bounces off the walls of a box, sways, turns, grows, shrinks and bends.

    Args:
        patch: (S, S, 4) float32, RGB and opacity, 0..255.
        start: (x, y) at frame 0 before swaying, pixels.
        velocity: (x, y) pixels per frame.
        box: (left, top, right, bottom) that the drift stays in.
        sway: waves along x and y, pixels.
        turn: wave of the angle, radians.
        growth: wave of the logarithm of the scale.
        bends: waves that bend it, as fractions of its size.
    """

    patch: NDArray[np.float32]
    start: tuple[float, float]
    velocity: tuple[float, float]
    box: tuple[float, float, float, float]
    sway: tuple[Wave, Wave]
    turn: Wave
    growth: Wave
    bends: tuple[Wave, Wave]

    def matrix(self, t: float) -> NDArray[np.float64]:
        """Return the map (2, 3) from an offset from the sprite's centre to a pixel of frame t."""
        scale = np.exp(self.growth(t))
        cosine, sine = scale * np.cos(self.turn(t)), scale * np.sin(self.turn(t))
        x = _bounce(self.start[0] + self.velocity[0] * t, self.box[0], self.box[2]) + self.sway[0](t)
        y = _bounce(self.start[1] + self.velocity[1] * t, self.box[1], self.box[3]) + self.sway[1](t)
        return np.array([[cosine, -sine, x], [sine, cosine, y]])

    def bend(self, t: float) -> tuple[float, float, float, float]:
        """Return the amplitudes of the bend along x and y, and the sides of the patch, pixels at scale 1."""
        side_y, side_x = (side / OVERSAMPLING for side in self.patch.shape[:2])
        return self.bends[0](t) * side_x, self.bends[1](t) * side_y, side_x, side_y

    def mixed(self, colour: NDArray[np.float32], fraction: float) -> Sprite:
        """Return this sprite with its texture blended into a plain colour (3,) RGB; 1 keeps the texture."""
        patch = self.patch.copy()
        patch[..., :3] = fraction * patch[..., :3] + (1 - fraction) * colour
        return replace(self, patch=patch)

    def paste(
        self, image: NDArray[np.float32], ids: NDArray[np.uint8], number: int, t: float, shift: NDArray[np.float64]
    ) -> None:
        """Draw frame t over an image, and the sprite's number where it covers at least half of a pixel.

        Args:
            image: (H, W, 3) float32, changed in place.
            ids: (H, W) uint8, changed in place.
            number: id of the sprite.
            t: index of the frame.
            shift: (2,) pixels by which the frame is moved.
        """
        patch, matrix = self.patch, self.matrix(t)
        matrix[:, 2] += shift
        bend_x, bend_y, side_x, side_y = self.bend(t)
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
        u, v = u + np.float32(bend_x) * np.sin(5 * v / side_y), v + np.float32(bend_y) * np.sin(5 * u / side_x)
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
    """Draw a sprite per texture family; in frame 0 they do not overlap, if 64 draws find room."""
    height, width = size
    count, unit = len(families), min(size) / 256
    diameters = rng.uniform(42, 96, count) * unit
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
    sprites = []
    for family, diameter, (x, y) in zip(families, diameters.tolist(), centres.tolist(), strict=True):
        side = int(MARGIN * diameter * OVERSAMPLING)
        texture = draw_texture(rng, family, side, rng.uniform(8, 15) * OVERSAMPLING, colours)
        patch = np.dstack([texture, draw_shape(rng, side).astype(np.float32)])
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(2, 5) * unit
        sway = (Wave.draw(rng, 10 * unit), Wave.draw(rng, 10 * unit))
        sprite = Sprite(
            patch=patch,
            start=(x - sway[0](0), y - sway[1](0)),
            velocity=(speed * float(np.cos(heading)), speed * float(np.sin(heading))),
            box=(RIM * width, RIM * height, (1 - RIM) * width, (1 - RIM) * height),
            sway=sway,
            turn=Wave.draw(rng, 0.8),
            growth=Wave.draw(rng, 0.3),
            bends=(Wave.draw(rng, 0.06, 12, 30), Wave.draw(rng, 0.06, 12, 30)),
        )
        sprites.append(sprite)
    return sprites


def draw_shape(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw the opacity of a random shape: (side, side) uint8, 255 inside, with an anti-aliased edge.

    The outline fits a disk of diameter `side / MARGIN` around the centre.
    """
    shape = str(rng.choice(SHAPES))
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.ones_like(angle)
    if shape == "star":
        points = int(rng.integers(4, 7))
        radius = 1 - rng.uniform(0.3, 0.5) * (np.abs((angle * points / np.pi) % 2 - 1))
    elif shape == "polygon":
        corners = int(rng.integers(3, 6))
        wedge = np.pi / corners
        radius = np.cos(wedge) / np.cos(angle % (2 * wedge) - wedge)
    elif shape == "blob":
        for k in range(2, 6):
            radius += rng.uniform(-0.3, 0.3) / (k - 1) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.25) / radius.max()
    flat = rng.uniform(0.55, 0.9) if shape in ("ellipse", "blob") else 1.0
    outline = np.stack([radius * np.cos(angle), flat * radius * np.sin(angle)], 1)
    scale = 4 * side / (2 * MARGIN)
    big = np.zeros((4 * side, 4 * side), np.uint8)
    cv2.fillPoly(big, [np.round(outline * scale + 2 * side).astype(np.int32)], 255)
    if shape == "ring":
        cv2.circle(big, (2 * side, 2 * side), int(scale * rng.uniform(0.3, 0.5)), 0, -1)
    return np.asarray(cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def palette(rng: Generator) -> Field:
    """Draw three colours of a scene, dark to light: (3, 3) float32 in 0..255, RGB."""
    hue = rng.uniform(0, 1) + np.array([0, rng.uniform(0.15, 0.45), rng.uniform(0.5, 0.8)])
    saturation = rng.uniform(0.35, 0.85, 3)
    value = np.array([rng.uniform(0.2, 0.35), rng.uniform(0.45, 0.65), rng.uniform(0.8, 0.95)])
    wheel = np.clip(np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (255 * value[:, None] * (1 - saturation[:, None] * (1 - wheel))).astype(np.float32)


def draw_texture(rng: Generator, family: str, side: int, period: float, colours: Field) -> Field:
    """Draw a square of a texture.

    The field of the family is cut into three levels of equal area, coloured by the palette, so that all textures of a
    palette have the same mean colour and differ only in structure.

    Args:
        rng: the source of every draw.
        family: a key of `TEXTURE_FAMILIES`.
        side: height and width, pixels.
        period: size of the texture's elements, pixels.
        colours: (3, 3) RGB, 0..255.

    Returns:
        (side, side, 3) float32 RGB in 0..255.
    """
    field = TEXTURE_FAMILIES[family](rng, side, period)
    order = np.argsort(field, axis=None, kind="stable")
    level = np.empty(field.size, np.int64)
    level[order] = np.arange(field.size) * PALETTE_SIZE // field.size
    image = cv2.GaussianBlur(colours[rng.permutation(PALETTE_SIZE)][level.reshape(field.shape)], (0, 0), 0.6)
    grain = cv2.GaussianBlur(rng.normal(0, 22, (side, side)).astype(np.float32), (0, 0), 0.8)
    return np.clip(image + grain[..., None], 0, 255)


def smooth_noise(rng: Generator, side: int, period: float, stretch: float = 1.0) -> Field:
    """Draw Gaussian noise low-passed to elements of about `period` pixels (`stretch` times as long along x)."""
    white = rng.normal(0, 1, (side, side)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(white, (0, 0), sigmaX=period * stretch / 4, sigmaY=period / 4), np.float32)
    return smooth / (smooth.std() + np.float32(1e-6))


def _grid(rng: Generator, side: int, bend: float) -> tuple[Field, Field]:
    """Return the coordinates of a square, turned by a random angle, bent by smooth noise of amplitude `bend` pixels."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    return u + bend * smooth_noise(rng, side, side / 2), v + bend * smooth_noise(rng, side, side / 2)


def _grain(rng: Generator, side: int, period: float) -> Field:
    noise = smooth_noise(rng, 2 * side, period * 0.6, stretch=5)
    turn = cv2.getRotationMatrix2D((side, side), rng.uniform(0, 180), 1)
    turned = cv2.warpAffine(noise, turn, (2 * side, 2 * side))
    return np.asarray(turned[side // 2 : side // 2 + side, side // 2 : side // 2 + side], np.float32)


def _stripes(rng: Generator, side: int, period: float) -> Field:
    u, _ = _grid(rng, side, period * 0.8)
    return np.sin(2 * np.pi * u / period)


def _checks(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.4)
    return np.sin(np.pi * u / period) * np.sin(np.pi * v / period)


def _dots(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.4)
    du, dv = _from_centre(u / period, v / period)
    return np.hypot(du, dv).astype(np.float32)


def _bricks(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.3)
    du, dv = _from_centre(u / (2 * period), v / period)
    return np.maximum(2 * np.abs(du), np.abs(dv)).astype(np.float32)


def _from_centre(u: Field, v: Field) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return offsets from the centres of unit cells; every other row of cells is shifted by half a cell."""
    row = np.floor(v)
    return (u + 0.5 * (row % 2)) % 1 - 0.5, v % 1 - 0.5


def _seeds(rng: Generator, side: int, count: int) -> NDArray[np.uint8]:
    """Draw `count` places in a square: 0 there, 255 elsewhere."""
    seeds = np.full((side, side), 255, np.uint8)
    seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    return seeds


def _cells(rng: Generator, side: int, period: float) -> Field:
    seeds = _seeds(rng, side, max(4, int((side / (1.3 * period)) ** 2)))
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return rng.uniform(0, 3, label.max() + 1).astype(np.float32)[label] + distance / period


def _rings(rng: Generator, side: int, period: float) -> Field:
    seeds = _seeds(rng, side, max(3, int((side / (4 * period)) ** 2)))
    return np.sin(2 * np.pi * cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / period)


TEXTURE_FAMILIES: dict[str, Callable[[Generator, int, float], Field]] = {
    "blobs": smooth_noise,
    "bricks": _bricks,
    "cells": _cells,
    "checks": _checks,
    "dots": _dots,
    "grain": _grain,
    "rings": _rings,
    "stripes": _stripes,
}
