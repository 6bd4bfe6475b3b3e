"""Generated surfaces with exact depth and cameras, in the layouts of NAVI and ScanNet-1500."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidcorr.datasets.generated.scene import Scenes
from vidcorr.datasets.generated.writers import layout, numbered, write_frames, write_text
from vidcorr.datasets.navi import rotations_of

ROOM = 480, 640
"""Height and width of ScanNet's depth, pixels."""
WAVES = 6
"""Waves of a surface's colour."""


def render_ellipsoid(
    rng: np.random.Generator,
    axes: NDArray[np.float64],
    poses: NDArray[np.float64],
    camera: NDArray[np.float64],
    size: tuple[int, int],
    inside: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Render an ellipsoid about the origin, with colours that are waves of the position on it.

    Args:
        rng: draws the waves.
        axes: its three half axes.
        poses: from the ellipsoid to the cameras, `(N, 4, 4)`, in the unit of the axes.
        camera: `(3, 3)`, pixels; the first pixel's centre is at 0.5.
        size: (height, width) in pixels.
        inside: see it from inside, as a room.

    Returns:
        Pictures `(N, H, W, 3)` uint8 RGB and depths `(N, H, W)` in the unit of the axes, 0 beside the ellipsoid.
    """
    waves = rng.normal(0, 4, (WAVES, 3)) / axes
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    shares = rng.normal(0, 1, (WAVES, 3))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera).T
    pictures = np.empty((len(poses), *size, 3), np.uint8)
    depths = np.zeros((len(poses), *size))
    for index, pose in enumerate(poses):
        start = -pose[:3, :3].T @ pose[:3, 3] / axes
        along = rays @ pose[:3, :3] / axes
        squared = np.square(along).sum(-1)
        half = along @ start
        root = half**2 - squared * (start @ start - 1)
        distance = (-half + (1 if inside else -1) * np.sqrt(root.clip(min=0))) / squared
        shown = root > 0
        places = (start + distance[..., None] * along) * axes
        lit = 128 + 40 * np.sin(places @ waves.T + phases) @ shares
        pictures[index] = np.where(shown[..., None], lit, 90).clip(0, 255)
        depths[index] = np.where(shown, distance, 0)
    return pictures, depths


def quaternions(rng: np.random.Generator, count: int, most: float) -> NDArray[np.float64]:
    """Draw rotations by up to `most` radians: w, x, y, z `(count, 4)` of unit length."""
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    half = rng.uniform(0, most / 2, (count, 1))
    return np.hstack([np.cos(half), np.sin(half) * axes])


def poses_of(rotations: NDArray[np.float64], translations: Any) -> NDArray[np.float64]:
    """Return the poses `(N, 4, 4)` of quaternions `(N, 4)` and translations `(N, 3)`."""
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))
    poses[:, :3, :3] = rotations_of(torch.from_numpy(rotations)).numpy()
    poses[:, :3, 3] = translations
    return poses


def write_depths(folder: Path, values: NDArray[Any], names: list[str]) -> None:
    """Write `(N, H, W)` as 16-bit PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, values, strict=True):
        _, content = cv2.imencode(".png", image.round().astype(np.uint16))
        (folder / name).write_bytes(content.tobytes())


@layout(frames=8, size=(150, 200))
def write_navi(folder: Path, of: Scenes, count: int) -> None:
    """Write `count` objects in NAVI's layout, each with `frames` pictures in its wild set, downsampled ones too.

    An object is an ellipsoid of some 10 cm at a distance of 40 cm; all of its points are in at least one picture.
    """
    height, width = of.size
    focal = 1.2 * max(of.size)
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    names = numbered("{:03d}", range(of.frames))
    for i in range(count):
        rng = np.random.default_rng([of.seed, of.first + i])
        turns = quaternions(rng, of.frames, 1.2)
        shifts = rng.uniform(-12, 12, (of.frames, 3)) + np.array([0, 0, 400])
        axes = rng.uniform(40, 60, 3)
        pictures, depths = render_ellipsoid(rng, axes, poses_of(turns, shifts), camera, of.size, inside=False)
        disparities = np.divide(655_350, depths, out=np.zeros_like(depths), where=depths > 0)
        wild = folder / f"object_{i:03d}" / "wild_set"
        for prefix in ("", "downsampled_"):
            write_frames(wild / "images", pictures, numbered(prefix + "{:03d}.jpg", range(of.frames)))
            write_depths(wild / "depth", disparities, numbered(prefix + "{:03d}.png", range(of.frames)))
        entries = []
        for name, turn, shift in zip(names, turns.tolist(), shifts.tolist(), strict=True):
            about = {"filename": f"{name}.jpg", "image_size": [height, width], "scene_name": "wild_set"}
            entries.append(about | {"camera": {"focal_length": focal, "q": turn, "t": shift}})
        write_text(wild / "annotations.json", [json.dumps(entries)])
        write_text(wild.parent / "multiview_00" / "annotations.json", ["[]"])


@layout(frames=3)
def write_scannet(folder: Path, of: Scenes, count: int) -> None:
    """Write `count` rooms in the layout of ScanNet-1500: `frames` pictures each, and a pair of every two neighbours.

    Pictures and depths have 480 x 640 pixels, whatever the `size`; the room is an ellipsoid seen from inside.
    """
    height, width = ROOM
    camera = np.array([[577.0, 0, width / 2], [0, 577.0, height / 2], [0, 0, 1]])
    listed: list[list[int]] = []
    for i in range(count):
        rng = np.random.default_rng([of.seed, of.first + i])
        turns = quaternions(rng, of.frames, 0.8)
        poses = poses_of(turns, rng.uniform(-0.3, 0.3, (of.frames, 3)))
        pictures, depths = render_ellipsoid(rng, np.array([2.5, 2.0, 3.0]), poses, camera, ROOM, inside=True)
        scene = folder / f"scene{i:04d}_00"
        frames = range(0, 15 * of.frames, 15)
        write_frames(scene / "color", pictures, numbered("{}.jpg", frames))
        write_depths(scene / "depth", 1000 * depths, numbered("{}.png", frames))
        for frame, pose in zip(frames, poses, strict=True):
            lines = [" ".join(map(str, row)) for row in np.linalg.inv(pose).tolist()]
            write_text(scene / "pose" / f"{frame}.txt", lines)
        listed += [[i, 0, frame, frame + 15] for frame in frames[:-1]]
    np.savez(folder / "test.npz", name=np.array(listed, np.uint16))
    np.savez(folder / "intrinsics.npz", **{f"scene{i:04d}_00": camera for i in range(count)})  # type: ignore[arg-type]
