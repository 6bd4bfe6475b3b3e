"""Videos of textured sprites over a moving background, with exact masks: a pure function of (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .shapes import MARGIN, draw_shape
from .textures import FAMILIES, draw_texture, palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Generator = np.random.Generator

OVERSAMPLING = 1.3
"""Patch pixels per frame pixel at scale 1, so that a growing sprite stays sharp."""
RIM = 0.12
"""Sprites' centres turn back at this share of the frame from its edges."""


@dataclass(frozen=True)
class Wave:
    """A smooth oscillation of the frame number: amplitude · sin(2π t / period + phase)."""

    amplitude: float
    period: float
    phase: float

    def __call__(self, t: float) -> float:
        return self.amplitude * float(np.sin(2 * np.pi * t / self.period + self.phase))

    @classmethod
    def draw(cls, rng: Generator, amplitude: float, shortest: float = 25, longest: float = 60) -> Wave:
        """A wave of up to `amplitude`, at least half of it; periods in frames."""
        return cls(amplitude * rng.uniform(0.5, 1), rng.uniform(shortest, longest), rng.uniform(0, 2 * np.pi))


@dataclass(frozen=True)
class Motion:
    """Where a sprite is: it drifts, bounces off the walls of a box, sways, turns, grows and shrinks.

    Args:
        start: (x, y) at frame 0 before swaying, pixels.
        velocity: (x, y) pixels per frame.
        box: (left, top, right, bottom) that the drift stays in.
        sway: waves along x and y, pixels.
        turn: wave of the angle, radians.
        growth: wave of the logarithm of the scale.
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    box: tuple[float, float, float, float]
    sway: tuple[Wave, Wave]
    turn: Wave
    growth: Wave

    def centre(self, t: float) -> tuple[float, float]:
        x = _bounce(self.start[0] + self.velocity[0] * t, self.box[0], self.box[2])
        y = _bounce(self.start[1] + self.velocity[1] * t, self.box[1], self.box[3])
        return x + self.sway[0](t), y + self.sway[1](t)

    def matrix(self, t: float) -> NDArray[np.float64]:
        """(2, 3): offset from a sprite's centre → frame pixel."""
        scale = np.exp(self.growth(t))
        cosine, sine = scale * np.cos(self.turn(t)), scale * np.sin(self.turn(t))
        x, y = self.centre(t)
        return np.array([[cosine, -sine, x], [sine, cosine, y]])


@dataclass(frozen=True)
class Sprite:
    """A textured shape: patch (S, S, 4) float32 RGB and opacity 0..255; waves that bend it, in shares of its size."""

    patch: NDArray[np.float32]
    motion: Motion
    bends: tuple[Wave, Wave]

    def paste(self, image: NDArray[np.float32], ids: NDArray[np.uint8], number: int, t: float) -> None:
        """Draw the sprite of frame t over image (H, W, 3) and its number into ids (H, W)."""
        paste(image, ids, number, self.patch, self.motion.matrix(t), (self.bends[0](t), self.bends[1](t)))


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
        bend: sideways displacement of a sine along y and along x, in shares of the patch's size.
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


@dataclass(frozen=True)
class Scene:
    """A background, a camera and a light, common to all that is drawn over the background."""

    size: tuple[int, int]
    background: NDArray[np.float32]
    pan: tuple[Wave, Wave]
    turn: Wave
    zoom: Wave
    shake: tuple[Wave, Wave]
    light: tuple[Wave, Wave, Wave]
    shade: NDArray[np.float32]
    shade_path: tuple[Wave, Wave]

    def shift(self, t: float) -> NDArray[np.float64]:
        """(2,) pixels by which the shaking camera moves everything in frame t."""
        return np.array([self.shake[0](t), self.shake[1](t)])

    def canvas(self, t: float) -> NDArray[np.float32]:
        """The background of frame t: (H, W, 3) float32."""
        import cv2

        height, width = self.size
        side = self.background.shape[0]
        scale = np.exp(self.zoom(t))
        cosine, sine = np.cos(self.turn(t)) / scale, np.sin(self.turn(t)) / scale
        to_background = np.array([[cosine, -sine], [sine, cosine]])
        shift = self.shift(t)
        centre = np.array([side / 2 + self.pan[0](t), side / 2 + self.pan[1](t)])
        offset = centre - to_background @ (np.array([width / 2, height / 2]) + shift)
        matrix = np.column_stack([to_background, offset])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(self.background, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(drawn, np.float32)

    def expose(self, image: NDArray[np.float32], t: float) -> NDArray[np.uint8]:
        """Light a drawn frame: a cast that changes with time, a wandering shade; (H, W, 3) uint8."""
        height, width = self.size
        room = self.shade.shape[0] - height, self.shade.shape[1] - width
        top = int(room[0] * (0.5 + 0.5 * self.shade_path[0](t)))
        left = int(room[1] * (0.5 + 0.5 * self.shade_path[1](t)))
        gain = np.exp(np.array([self.light[0](t), self.light[1](t), self.light[2](t)], np.float32))
        lit = image * gain * self.shade[top : top + height, left : left + width, None]
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)

    @classmethod
    def draw(cls, rng: Generator, family: str, size: tuple[int, int], colours: NDArray[np.float32]) -> Scene:
        """A scene whose background has a texture of the given family and colours."""
        import cv2

        side = int(1.6 * max(size))
        coarse = rng.uniform(-1, 1, (5, 5)).astype(np.float32)
        shade = cv2.resize(coarse, (int(1.5 * size[1]), int(1.5 * size[0])), interpolation=cv2.INTER_CUBIC)
        tint = Wave.draw(rng, 0.12, 30, 80)
        return cls(
            size=size,
            background=draw_texture(rng, family, side, rng.uniform(9, 16), colours),
            pan=(Wave.draw(rng, 0.18 * size[1], 50, 100), Wave.draw(rng, 0.18 * size[0], 50, 100)),
            turn=Wave.draw(rng, 0.2, 40, 90),
            zoom=Wave.draw(rng, 0.12, 40, 90),
            shake=(Wave.draw(rng, 2, 4, 9), Wave.draw(rng, 2, 4, 9)),
            light=(tint, Wave.draw(rng, 0.12, 30, 80), Wave.draw(rng, 0.12, 30, 80)),
            shade=np.exp(0.35 * np.clip(shade, -1, 1)),
            shade_path=(Wave(1, rng.uniform(50, 90), rng.uniform(0, 6)), Wave(1, rng.uniform(50, 90), 0)),
        )


def render_video(
    seed: int,
    index: int,
    frames: int = 48,
    size: tuple[int, int] = (256, 256),
    sprites: tuple[int, int] = (2, 4),
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One video and its masks; the same arguments give the same arrays, and fewer frames give a prefix.

    All textures of a video share three colours in equal shares, so its sprites and its background agree in mean
    colour; they differ in structure, which stays the same while everything moves, turns, bends, changes its size and
    light, and covers one another.

    Args:
        seed: of the whole set.
        index: of the video in it.
        frames: number of frames T.
        size: (height, width), pixels.
        sprites: fewest and most sprites.

    Returns:
        frames (T, H, W, 3) uint8 RGB and masks (T, H, W) uint8, 0 = background, 1, 2, … = sprites, back to front.
    """
    rng = np.random.default_rng([seed, index])
    colours = palette(rng)
    families = [str(family) for family in rng.permutation(sorted(FAMILIES))]
    scene = Scene.draw(rng, families.pop(), size, colours)
    cast = _draw_sprites(rng, families[: int(rng.integers(sprites[0], sprites[1] + 1))], size, colours)
    video = np.empty((frames, *size, 3), np.uint8)
    masks = np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        image = scene.canvas(t)
        for number, sprite in enumerate(cast, start=1):
            sprite.paste(image, masks[t], number, t)
        video[t] = scene.expose(image, t)
    return video, masks


def _draw_sprites(
    rng: Generator, families: list[str], size: tuple[int, int], colours: NDArray[np.float32]
) -> list[Sprite]:
    """One sprite of each texture family, apart from one another in frame 0 as far as the frame has room."""
    height, width = size
    count = len(families)
    diameters = rng.uniform(42, 96, count) * min(size) / 256
    touching = (diameters[:, None] + diameters[None]) / 2
    places, gap = np.empty((count, 2)), -np.inf
    for _ in range(64):
        draw = rng.uniform(0.18, 0.82, (count, 2)) * (width, height)
        apart = np.linalg.norm(draw[:, None] - draw[None], axis=-1) - touching
        smallest = float(apart[~np.eye(count, dtype=bool)].min(initial=np.inf))
        if smallest > gap:
            places, gap = draw, smallest
        if gap > 0:
            break
    return [
        _draw_sprite(rng, family, diameter, (x, y), size, colours)
        for family, diameter, (x, y) in zip(families, diameters.tolist(), places.tolist(), strict=True)
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
    return Sprite(patch, motion, (Wave.draw(rng, 0.06, 12, 30), Wave.draw(rng, 0.06, 12, 30)))


def _bounce(value: float, low: float, high: float) -> float:
    """Reflect a value at both ends of an interval until it lies inside."""
    span = high - low
    return low + span - abs((value - low) % (2 * span) - span)
