"""Videos of walking, waving stick figures whose joints, parts and persons are known: a function of (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datamodules.datasets.jhmdb import JOINTS
from datamodules.datasets.records import NUM_PARTS
from datamodules.datasets.vip import PARTS
from datamodules.synthetic.scene import Scene
from datamodules.synthetic.sprites import OVERSAMPLING, TEXTURE_FAMILIES, Motion, Wave, draw_texture, palette, paste

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Generator = np.random.Generator


class Limb(NamedTuple):
    """A capsule between two joints: its width in body heights, the VIP class, which of the textures it has."""

    start: str
    end: str
    width: float
    part: str
    texture: int


FIGURE_LIMBS = (
    Limb("left shoulder", "left elbow", 0.075, "left-arm", 0),
    Limb("left elbow", "left wrist", 0.065, "left-arm", 0),
    Limb("left hip", "left knee", 0.1, "left-leg", 1),
    Limb("left knee", "left ankle", 0.08, "left-leg", 1),
    Limb("right hip", "right knee", 0.1, "right-leg", 2),
    Limb("right knee", "right ankle", 0.08, "right-leg", 2),
    Limb("belly", "neck", 0.17, "upper-clothes", 3),
    Limb("neck", "face", 0.13, "face", 4),
    Limb("right shoulder", "right elbow", 0.075, "right-arm", 5),
    Limb("right elbow", "right wrist", 0.065, "right-arm", 5),
)
"""Back to front; a person's right is the picture's left, as they face the camera."""

# Joint, the joint it hangs on, distance in body heights, angle at rest in radians (0: down, positive: to the left).
SKELETON = (
    ("neck", "belly", 0.27, np.pi),
    ("face", "neck", 0.12, np.pi),
    ("right shoulder", "neck", 0.1, 0.5 * np.pi),
    ("left shoulder", "neck", 0.1, -0.5 * np.pi),
    ("right hip", "belly", 0.09, 0.3 * np.pi),
    ("left hip", "belly", 0.09, -0.3 * np.pi),
    ("right elbow", "right shoulder", 0.16, 0.4),
    ("left elbow", "left shoulder", 0.16, -0.4),
    ("right knee", "right hip", 0.22, 0.1),
    ("left knee", "left hip", 0.22, -0.1),
    ("right wrist", "right elbow", 0.15, 0.6),
    ("left wrist", "left elbow", 0.15, -0.6),
    ("right ankle", "right knee", 0.21, 0.0),
    ("left ankle", "left knee", 0.21, 0.0),
)
SWINGS = {"elbow": 0.9, "wrist": 0.8, "knee": 0.5, "ankle": 0.35, "face": 0.25}


@dataclass(frozen=True)
class Figure:
    """A person: height in pixels, where the belly is, how each joint swings, one patch for each limb."""

    height: float
    motion: Motion
    swings: dict[str, Wave]
    patches: tuple[NDArray[np.float32], ...]

    def joints(self, t: float, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (15, 2) x, y of frame t in JHMDB's order, pixels, zero-based."""
        scale = self.height * np.exp(self.motion.growth(t))
        lean = self.motion.turn(t)
        positions = {"belly": np.array(self.motion.centre(t)) + shift}
        for name, parent, length, rest in SKELETON:
            angle = rest + lean + (self.swings[name](t) if name in self.swings else 0.0)
            positions[name] = positions[parent] + length * scale * np.array([-np.sin(angle), np.cos(angle)])
        return np.array([positions[name] for name in JOINTS])

    def paste(
        self, image: NDArray[np.float32], ids: NDArray[np.uint8], person: int, t: float, joints: NDArray[np.float64]
    ) -> None:
        """Draw the limbs of frame t; ids become person · 20 + class."""
        growth = np.exp(self.motion.growth(t))
        for limb, patch in zip(FIGURE_LIMBS, self.patches, strict=True):
            start, end = joints[JOINTS.index(limb.start)], joints[JOINTS.index(limb.end)]
            along = growth * (end - start) / np.linalg.norm(end - start)
            matrix = np.column_stack([along, [-along[1], along[0]], (start + end) / 2])
            paste(image, ids, person * NUM_PARTS + PARTS.index(limb.part), patch, matrix)


def render_figures(
    seed: int, index: int, frames: int = 40, size: tuple[int, int] = (240, 320), people: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Render one video of people; the same arguments give the same arrays.

    Args:
        seed: seed of the set.
        index: index of the video in it.
        frames: number of frames T.
        size: (height, width), pixels.
        people: number of persons P, at most 11.

    Returns:
        frames (T, H, W, 3) uint8 RGB; ids (T, H, W) uint8, person · 20 + class of VIP, persons counted from 1, 0 =
        background; joints (P, T, 15, 2) float64 x, y in pixels, zero-based, hidden ones included.
    """
    rng = np.random.default_rng([seed, index, people])
    scene = Scene.draw(rng, str(rng.choice(sorted(TEXTURE_FAMILIES))), size, palette(rng))
    cast = [_draw_figure(rng, size, palette(rng), (p + 0.5) / people) for p in range(people)]
    video = np.empty((frames, *size, 3), np.uint8)
    ids = np.zeros((frames, *size), np.uint8)
    joints = np.empty((people, frames, len(JOINTS), 2))
    for t in range(frames):
        image = scene.canvas(t)
        for p, figure in enumerate(cast):
            joints[p, t] = figure.joints(t, scene.shift(t))
            figure.paste(image, ids[t], p + 1, t, joints[p, t])
        video[t] = scene.expose(image, t)
    return video, ids, joints


def _draw_figure(rng: Generator, size: tuple[int, int], colours: NDArray[np.float32], across: float) -> Figure:
    height, width = size
    tall = rng.uniform(0.55, 0.7) * height
    families = rng.permutation(sorted(TEXTURE_FAMILIES)).tolist()
    skeleton = {name: length for name, _, length, _ in SKELETON}
    patches = []
    for limb in FIGURE_LIMBS:
        length = skeleton["neck" if limb.end == "neck" else limb.end] * tall
        patches.append(_capsule(rng, families[limb.texture], length, limb.width * tall, colours))
    still = Wave(0.0, 1.0, 0.0)
    motion = Motion(
        start=(across * width, 0.48 * height),
        velocity=(rng.uniform(-1.5, 1.5), 0.0),
        box=(0.2 * width, 0.4 * height, 0.8 * width, 0.6 * height),
        sway=(Wave.draw(rng, 0.06 * width), Wave.draw(rng, 0.03 * height)),
        turn=Wave.draw(rng, 0.25),
        growth=Wave.draw(rng, 0.12),
    )
    swings = {
        name: Wave.draw(rng, SWINGS.get(name.split()[-1], 0.0), 18, 40) if name.split()[-1] in SWINGS else still
        for name, *_ in SKELETON
    }
    return Figure(tall, motion, swings, tuple(patches))


def _capsule(
    rng: Generator, family: str, length: float, width: float, colours: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Draw the patch of a rounded bar: (h, w, 4), its axis along x in the middle, its ends' centres `length` apart."""
    import cv2

    pad = 2
    half = width * OVERSAMPLING / 2
    reach = length * OVERSAMPLING / 2
    h, w = 2 * int(np.ceil(half)) + 2 * pad + 1, 2 * int(np.ceil(reach + half)) + 2 * pad + 1
    y, x = np.mgrid[:h, :w].astype(np.float32)
    distance = np.hypot(np.maximum(np.abs(x - (w - 1) / 2) - reach, 0), y - (h - 1) / 2)
    opacity = np.clip(half - distance + 0.5, 0, 1) * 255
    texture = draw_texture(rng, family, max(h, w), rng.uniform(6, 9) * OVERSAMPLING, colours)[:h, :w]
    return np.dstack([cv2.GaussianBlur(texture, (0, 0), 0.5), opacity]).astype(np.float32)
