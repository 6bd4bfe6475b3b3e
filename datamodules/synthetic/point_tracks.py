"""Exact tracks of points through synthetic videos, with occlusion, in TAP-Vid's layout."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .scene import Scene, draw_video
from .sprites import OVERSAMPLING, Sprite
from .writers import Scenes, generate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Position = NDArray[np.float64]


def write_tap_vid(root: str | Path, count: int, frames: int = 24, tracks: int = 24, **scenes: Any) -> Path:
    """Write `count` videos with exact tracks as `root/tapvid_davis.pkl`, in the layout of TAP-Vid-DAVIS.

    A pixel of a random frame is the start of a track, as many on the background as on each sprite; it is followed
    through motion, turning, bending and change of size. A point is hidden where a sprite in front covers its pixel, or
    outside the image, where it may lie anywhere.

    Args:
        tracks: tracks of each video.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(frames=frames, **scenes)
    content: dict[str, dict[str, NDArray[np.generic]]] = {f"synthetic-{i:03d}": {} for i in range(count)}

    def one(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        points, occluded = video_tracks(of.seed, of.first + i, masks, of.sprites, tracks)
        content[f"synthetic-{i:03d}"].update(video=video, points=points, occluded=occluded)

    def finish(folder: Path) -> None:
        (folder / "tapvid_davis.pkl").write_bytes(pickle.dumps(content, 4))

    return generate(root, "tap_vid", {"count": count, "tracks": tracks, **asdict(of)}, count, one, finish)


def video_tracks(
    seed: int, index: int, masks: NDArray[np.uint8], sprites: tuple[int, int], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return exact tracks through the video that `render_video` draws with these arguments.

    Args:
        seed: seed of the set.
        index: index of the video.
        masks: (T, H, W), of the video.
        sprites: fewest and most sprites.
        count: number of tracks.

    Returns:
        (N, T, 2) float32 x, y as fractions of the image, in raster coordinates, and (N, T) bool: hidden. Fewer tracks
        than asked for only where a sprite is never seen.
    """
    length, height, width = masks.shape
    scene, cast = draw_video(seed, index, (height, width), sprites)
    rng = np.random.default_rng([seed, index, 16])  # another stream than the scene's
    points, hidden = [], []
    for number in range(count):
        layer = number % (len(cast) + 1)
        seen = np.flatnonzero((masks == layer).any((1, 2)))
        if not len(seen):
            continue
        start = int(rng.choice(seen))
        pixels = np.argwhere(masks[start] == layer)
        position = rng.choice(pixels)[::-1].astype(np.float64)
        sprite = cast[layer - 1] if layer else None
        track = np.array([_moved(scene, sprite, position, start, t) for t in range(length)])
        points.append((track + 0.5) / (width, height))
        hidden.append([not _shows(masks[t], track[t], layer) for t in range(length)])
    return np.array(points, np.float32).reshape(-1, length, 2), np.array(hidden, bool).reshape(-1, length)


def _moved(scene: Scene, sprite: Sprite | None, position: Position, start: int, t: int) -> Position:
    """Return where the point at `position` of frame `start` is in frame `t`; pixels, centres at integers."""
    if sprite is None:
        there = scene.to_background(t)
        material = scene.to_background(start) @ [*position, 1]
        return np.asarray(np.linalg.solve(there[:, :2], material - there[:, 2]))
    return _position_of(scene, sprite, _material_of(scene, sprite, position, start), t)


def _material_of(scene: Scene, sprite: Sprite, position: Position, t: int) -> Position:
    """Return the point of a sprite that is drawn at a position in frame t, as offset from its centre before bending."""
    matrix = sprite.motion.matrix(t)
    u, v = np.linalg.solve(matrix[:, :2], position - matrix[:, 2] - scene.shift(t))
    bend_u, bend_v, side_x, side_y = _bends(sprite, t)
    return np.array([u + bend_u * np.sin(5 * v / side_y), v + bend_v * np.sin(5 * u / side_x)])


def _position_of(scene: Scene, sprite: Sprite, material: Position, t: int) -> Position:
    """Invert `_material_of`: by iteration, since the bend has no closed inverse; it gains a digit in two rounds."""
    bend_u, bend_v, side_x, side_y = _bends(sprite, t)
    u, v = material
    for _ in range(60):
        u, v = material[0] - bend_u * np.sin(5 * v / side_y), material[1] - bend_v * np.sin(5 * u / side_x)
    return np.asarray(sprite.motion.matrix(t) @ [u, v, 1] + scene.shift(t))


def _bends(sprite: Sprite, t: int) -> tuple[float, float, float, float]:
    """Return the amplitudes of the bend along x and y, and the sides of the sprite's patch, pixels at scale 1."""
    side_y, side_x = (side / OVERSAMPLING for side in sprite.patch.shape[:2])
    return sprite.bends[0](t) * side_x, sprite.bends[1](t) * side_y, side_x, side_y


def _shows(mask: NDArray[np.uint8], position: Position, layer: int) -> bool:
    """Return whether a layer is visible at the pixel of a position."""
    x, y = np.floor(position + 0.5).astype(int)
    return 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and mask[y, x] == layer
