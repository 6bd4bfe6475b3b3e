"""Synthetic videos in the layouts of YouTube-VOS, JHMDB, VIP and BADJA."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..badja import BADJA_JOINTS
from ..jhmdb import JOINTS
from ..vip import NUM_PARTS
from .scene import video_tracks
from .writers import Scenes, generate, write_frames, write_masks, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIONS = ("walk", "wave")
CATEGORIES = 8
PARTS_OF_SPRITES = np.array([0, 21, 41, 27, 47], np.uint8)
"""Number of a sprite → person · 20 + class of VIP: two persons with the same two parts."""


def write_youtube_vos(root: str | Path, count: int, valid: int = 2, frames: int = 41, **scenes: Any) -> Path:
    """Write `count` training and `valid` validation videos in YouTube-VOS's layout.

    Sprites enter in the first half of a video and have one of eight categories. Every fifth frame is in
    `<split>/JPEGImages`, all frames are in `<split>_all_frames/JPEGImages`. Training masks hold all objects; validation
    masks hold entering objects only, and the validation's meta.json has no categories.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(frames=frames, **scenes)
    names = [f"{of.first + i:010x}" for i in range(count + valid)]
    splits = {"train": names[:count], "valid": names[count:]}
    entries: dict[str, Any] = {}

    def write(folder: Path, i: int) -> None:
        split, name = "train" if i < count else "valid", names[i]
        video, masks = of.render(i)
        categories = _enter(masks, np.random.default_rng([of.seed, of.first + i]), of.sprites[1])
        fifth = range(0, frames, 5)
        seen = {number: [t for t in fifth if (masks[t] == number).any()] for number in categories}
        seen = {number: at for number, at in seen.items() if at}
        entries[name] = {
            "objects": {
                str(number): ({"category": f"kind {categories[number]}"} if split == "train" else {})
                | {"frames": [f"{t:05d}" for t in at]}
                for number, at in seen.items()
            }
        }
        shown = {t: list(seen) for t in fifth}
        if split == "valid":
            starts = [at[0] for at in seen.values()]
            shown = {t: [number for number, at in seen.items() if at[0] == t] for t in sorted(set(starts))}
        known = {t: np.where(np.isin(masks[t], numbers), masks[t], 0) for t, numbers in shown.items()}
        write_masks(folder / split / "Annotations" / name, known)
        write_frames(folder / f"{split}_all_frames" / "JPEGImages" / name, video)
        write_frames(folder / split / "JPEGImages" / name, video[::5], (f"{t:05d}.jpg" for t in fifth))

    def finish(folder: Path) -> None:
        for split, members in splits.items():
            content = {"videos": {name: entries[name] for name in members}}
            write_text(folder / split / "meta.json", [json.dumps(content, indent=1)])

    return generate(root, "youtube_vos", of, count + valid, write, finish, count=count, valid=valid)


def _enter(masks: NDArray[np.uint8], draws: np.random.Generator, most: int) -> dict[int, int]:
    """Remove all sprites but the first from the masks before a random frame; return number of sprite → category."""
    categories = {}
    for number in range(1, most + 1):
        begin, categories[number] = draws.integers(0, len(masks) // 2 + 1), int(draws.integers(CATEGORIES))
        if number > 1:
            masks[:begin][masks[:begin] == number] = 0
    return categories


def write_jhmdb(root: str | Path, count: int, frames: int = 40, **scenes: Any) -> Path:
    """Write `count` clips in JHMDB's layout, all in the test part of split 1; the joints are points of a single sprite.

    Arguments and errors as in `write_videos`.
    """
    from scipy.io import savemat

    of = Scenes(frames=frames, **{"size": (240, 320), "sprites": (1, 1)} | scenes)
    actions = [ACTIONS[i % len(ACTIONS)] for i in range(count)]
    clips = [f"synthetic_{action}_{i}" for i, action in enumerate(actions)]

    def write(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        names = (f"{t + 1:05d}.png" for t in range(frames))
        write_frames(folder / "Rename_Images" / actions[i] / clips[i], video, names)
        joints, _ = sprite_points(of, i, masks, len(JOINTS))
        path = folder / "joint_positions" / actions[i] / clips[i] / "joint_positions.mat"
        path.parent.mkdir(parents=True)
        savemat(path, {"pos_img": joints.transpose(2, 1, 0) + 1})
        path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])  # without scipy's date

    lists: dict[str, list[str]] = defaultdict(list)
    for action, clip in zip(actions, clips, strict=True):
        lists[f"splits/{action}_test_split1.txt"].append(f"{clip}.avi 2")
    return generate(root, "jhmdb", of, count, write, lists=lists)


def sprite_points(
    of: Scenes, index: int, masks: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return exact points on the only sprite of video `index`.

    Returns:
        (T, count, 2) float64 x, y, zero-based pixels, and (T, count) bool: hidden.
    """
    points, hidden = video_tracks(of.seed, of.first + index, masks, of.sprites, 2 * count)  # every other on background
    return points[1::2].transpose(1, 0, 2) * np.array(of.size[::-1], float) - 0.5, hidden[1::2].T


def write_vip(root: str | Path, count: int, frames: int = 10, step: int = 3, **scenes: Any) -> Path:
    """Write `count` videos in VIP_Fine's layout, all in the list val; the sprites are parts of two persons.

    Frames are called 000000000001, 000000000026, … as in VIP, with a distance of 25.

    Args:
        root: folder to make, with VIP_Fine in it.
        step: rendered frames between written frames.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(frames=(frames - 1) * step + 1, **{"size": (240, 320), "sprites": (4, 4)} | scenes)
    names = [f"videos{i + 1}" for i in range(count)]
    stems = [f"{1 + 25 * t:012d}" for t in range(frames)]

    def write(folder: Path, i: int) -> None:
        base, (video, sprites) = folder / "VIP_Fine", of.render(i)
        write_frames(base / "Images" / names[i], video[::step], (f"{stem}.jpg" for stem in stems))
        ids = PARTS_OF_SPRITES[sprites[::step]]
        for kind, masks in {"Category_ids": ids % NUM_PARTS, "Human_ids": ids // NUM_PARTS}.items():
            write_masks(base / "Annotations" / kind / names[i], dict(zip(stems, masks, strict=True)))

    return generate(root, "vip", of, count, write, lists={"VIP_Fine/lists/val_videos.txt": names}, step=step)


def write_badja(root: str | Path, count: int, frames: int = 24, **scenes: Any) -> Path:
    """Write `count` clips in BADJA's layout; the animal is a single sprite, its joints are exact tracks on it.

    Even clips lie in `DAVIS`, odd clips in `extra_videos`. Arguments and errors as in `write_videos`.
    """
    of = Scenes(frames=frames, **{"sprites": (1, 1)} | scenes)
    numbers = list(BADJA_JOINTS)

    def write(folder: Path, i: int) -> None:
        name = f"synthetic-{i:03d}"
        images, segmentations = (
            (f"extra_videos/{name}/rgb", f"extra_videos/{name}/segmentations")
            if i % 2
            else tuple(f"DAVIS/{kind}/Full-Resolution/{name}" for kind in ("JPEGImages", "Annotations"))
        )
        video, masks = of.render(i)
        write_frames(folder / images, video)
        (folder / segmentations).mkdir(parents=True)
        points, hidden = sprite_points(of, i, masks, len(numbers))
        entries = []
        for t, mask in enumerate(masks):
            cv2.imwrite(str(folder / segmentations / f"{t:05d}.png"), mask * 255)
            joints, visibility = np.zeros((max(numbers) + 1, 2), int), np.zeros(max(numbers) + 1, bool)
            joints[numbers], visibility[numbers] = np.floor(points[t, :, ::-1] + 0.5), ~hidden[t]
            paths = {"image_path": f"{images}/{t:05d}.jpg", "segmentation_path": f"{segmentations}/{t:05d}.png"}
            entries.append({**paths, "joints": joints.tolist(), "visibility": visibility.tolist()})
        write_text(folder / "joint_annotations" / f"{name}.json", [json.dumps(entries)])

    return generate(root, "badja", of, count, write)
