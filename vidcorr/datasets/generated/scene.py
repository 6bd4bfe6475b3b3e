"""Videos of textured sprites over a moving background, with exact masks and tracks: functions of (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .sprites import TEXTURE_FAMILIES, Sprite, Wave, draw_sprites, draw_texture, palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Generator = np.random.Generator
    Position = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A background, a camera and a light, common to all sprites of a video."""

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
        """Return the (2,) pixels by which the shaking camera moves everything in frame t."""
        return np.array([self.shake[0](t), self.shake[1](t)])

    def canvas(self, t: float) -> NDArray[np.float32]:
        """Draw the background of frame t: (H, W, 3) float32."""
        flags, map_back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.to_background(t)
        drawn = cv2.warpAffine(self.background, map_back, self.size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(drawn, np.float32)

    def to_background(self, t: float) -> NDArray[np.float64]:
        """Return the map from pixels of frame t to pixels of the background, (2, 3); centres at integers."""
        height, width = self.size
        side = self.background.shape[0]
        scale = np.exp(self.zoom(t))
        cosine, sine = np.cos(self.turn(t)) / scale, np.sin(self.turn(t)) / scale
        to_background = np.array([[cosine, -sine], [sine, cosine]])
        shift = self.shift(t)
        centre = np.array([side / 2 + self.pan[0](t), side / 2 + self.pan[1](t)])
        offset = centre - to_background @ (np.array([width / 2, height / 2]) + shift)
        return np.column_stack([to_background, offset])

    def expose(self, image: NDArray[np.float32], t: float) -> NDArray[np.uint8]:
        """Apply a varying colour cast and a moving shade to a drawn frame; return (H, W, 3) uint8."""
        height, width = self.size
        top = int((self.shade.shape[0] - height) * (0.5 + 0.5 * self.shade_path[0](t)))
        left = int((self.shade.shape[1] - width) * (0.5 + 0.5 * self.shade_path[1](t)))
        gain = np.exp(np.array([wave(t) for wave in self.light], np.float32))
        lit = image * gain * self.shade[top : top + height, left : left + width, None]
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)

    @classmethod
    def draw(cls, rng: Generator, family: str, size: tuple[int, int], colours: NDArray[np.float32]) -> Scene:
        """Draw a scene whose background has a texture of the given family and colours."""
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
    camouflage: float = 1.0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a video and its masks; the same arguments give the same arrays, and fewer frames give a prefix.

    All textures of a video have the same three colours in equal parts, so sprites and background have the same mean
    colour and differ in structure only. Sprites move, turn, bend, grow and occlude each other; the light changes.

    Args:
        seed: seed of the set.
        index: index of the video in it.
        frames: number of frames T.
        size: (height, width), pixels.
        sprites: fewest and most sprites, at most 7.
        camouflage: fraction of texture in a sprite's look; at 0 sprites have plain colours unlike the background's.

    Returns:
        frames (T, H, W, 3) uint8 RGB and masks (T, H, W) uint8, 0 = background, 1, 2, … = sprites, back to front.
    """
    scene, cast = draw_video(seed, index, size, sprites, camouflage)
    video = np.empty((frames, *size, 3), np.uint8)
    masks = np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        image = scene.canvas(t)
        for number, sprite in enumerate(cast, start=1):
            sprite.paste(image, masks[t], number, t, scene.shift(t))
        video[t] = scene.expose(image, t)
    return video, masks


def draw_video(
    seed: int,
    index: int,
    size: tuple[int, int],
    sprites: tuple[int, int],
    camouflage: float = 1.0,
) -> tuple[Scene, list[Sprite]]:
    """Return the scene and the sprites of `render_video` for the same arguments."""
    rng = np.random.default_rng([seed, index])
    colours = palette(rng)
    families = [str(family) for family in rng.permutation(sorted(TEXTURE_FAMILIES))]
    scene = Scene.draw(rng, families.pop(), size, colours)
    cast = draw_sprites(rng, families[: int(rng.integers(sprites[0], sprites[1] + 1))], size, colours)
    if camouflage < 1:
        cast = [sprite.mixed(colour, camouflage) for sprite, colour in zip(cast, _unlike(colours), strict=False)]
    return scene, cast


def _unlike(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return seven plain colours (7, 3), the farthest from the given colours (n, 3) first."""
    plain = 255 * np.array([[n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(7)], np.float32)
    nearest = np.linalg.norm(plain[:, None] - colours[None], axis=-1).min(1)
    return plain[np.argsort(-nearest, kind="stable")]


def video_tracks(
    seed: int, index: int, masks: NDArray[np.uint8], sprites: tuple[int, int], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return exact tracks through the video of `render_video`.

    Args:
        seed: seed of the set.
        index: index of the video.
        masks: (T, H, W), of the video.
        sprites: fewest and most sprites.
        count: number of tracks.

    Returns:
        (N, T, 2) float32 x, y as fractions of the image, in raster coordinates, and (N, T) bool: hidden. N is `count`
        less the tracks of sprites that are never visible.
    """
    length, height, width = masks.shape
    scene, cast = draw_video(seed, index, (height, width), sprites)
    rng = np.random.default_rng([seed, index, 16])  # another stream than the scene's
    points, hidden = [], []
    for i in range(count):
        layer = i % (len(cast) + 1)
        seen = np.flatnonzero((masks == layer).any((1, 2)))
        if not len(seen):
            continue
        start = int(rng.choice(seen))
        pixels = np.argwhere(masks[start] == layer)
        position = rng.choice(pixels)[::-1].astype(np.float64)
        track = _track(scene, cast[layer - 1] if layer else None, position, start, length)
        points.append((track + 0.5) / (width, height))
        hidden.append([not _shows(masks[t], track[t], layer) for t in range(length)])
    return np.array(points, np.float32).reshape(-1, length, 2), np.array(hidden, bool).reshape(-1, length)


def _track(scene: Scene, sprite: Sprite | None, position: Position, start: int, length: int) -> NDArray[np.float64]:
    """Return the track (T, 2) of the point at `position` in frame `start`; pixels, centres at integers."""
    if sprite is None:
        material = scene.to_background(start) @ [*position, 1]
        maps = [scene.to_background(t) for t in range(length)]
        return np.array([np.linalg.solve(matrix[:, :2], material - matrix[:, 2]) for matrix in maps])
    material = _material_of(scene, sprite, position, start)
    return np.array([_position_of(scene, sprite, material, t) for t in range(length)])


def _material_of(scene: Scene, sprite: Sprite, position: Position, t: int) -> Position:
    """Return the sprite's point that is drawn at a position in frame t, as offset from its centre before bending."""
    matrix = sprite.matrix(t)
    u, v = np.linalg.solve(matrix[:, :2], position - matrix[:, 2] - scene.shift(t))
    bend_u, bend_v, side_x, side_y = sprite.bend(t)
    return np.array([u + bend_u * np.sin(5 * v / side_y), v + bend_v * np.sin(5 * u / side_x)])


def _position_of(scene: Scene, sprite: Sprite, material: Position, t: int) -> Position:
    """Invert `_material_of` by fixed-point iteration; two rounds gain a digit."""
    bend_u, bend_v, side_x, side_y = sprite.bend(t)
    u, v = material
    for _ in range(60):
        u, v = material[0] - bend_u * np.sin(5 * v / side_y), material[1] - bend_v * np.sin(5 * u / side_x)
    return np.asarray(sprite.matrix(t) @ [u, v, 1] + scene.shift(t))


def _shows(mask: NDArray[np.uint8], position: Position, layer: int) -> bool:
    """Return whether a layer is visible at the pixel of a position."""
    x, y = np.floor(position + 0.5).astype(int)
    return 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and mask[y, x] == layer
