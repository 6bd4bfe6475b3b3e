"""Synthetic sets in the layouts of the other benchmarks: YouTube-VOS, JHMDB and VIP."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.io import savemat

from datamodules.datasets.records import NUM_PARTS
from datamodules.synthetic.scene import video_tracks
from datamodules.synthetic.writers import Scenes, write_frames, write_masks, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIONS = ("walk", "wave")
PARTS_OF_SPRITES = np.array([0, 21, 41, 27, 47], np.uint8)
"""Number of a sprite → person · 20 + class of VIP: two persons of the same two parts."""


def write_youtube_vos(root: str | Path, count: int, valid: int = 2, frames: int = 41, **scenes: Any) -> Path:
    """Write `count` training and `valid` validation videos in YouTube-VOS's layout.

    Sprites are annotated from a frame in the first half of a video on, and have one of eight categories. Every fifth
    frame is in `<split>/JPEGImages`, all are in `<split>_all_frames/JPEGImages`. The training masks hold all objects,
    the validation masks only those that start there, and the validation's meta.json has no categories.
    Other arguments as in `write_videos`.
    """
    root, of = Path(root), Scenes(frames=frames, **scenes)
    meta: dict[str, dict[str, Any]] = {"train": {}, "valid": {}}

    for i in range(count + valid):
        split = "train" if i < count else "valid"
        name = f"{of.first + i:010x}"
        video, masks = of.render(i)
        draws = np.random.default_rng([of.seed, of.first + i])
        objects = {}
        for number in range(1, of.sprites[1] + 1):
            begin, kind = draws.integers(0, frames // 2 + 1), draws.integers(8)
            if number > 1:
                masks[:begin][masks[:begin] == number] = 0
            seen = [t for t in range(0, frames, 5) if (masks[t] == number).any()]
            if seen:
                category = {"category": f"kind {kind}"} if split == "train" else {}
                objects[number] = category | {"frames": [f"{t:05d}" for t in seen]}
        meta[split][name] = {"objects": {str(number): thing for number, thing in objects.items()}}
        starts = {number: int(thing["frames"][0]) for number, thing in objects.items()}
        known = {t: np.where(np.isin(masks[t], list(starts)), masks[t], 0) for t in range(0, frames, 5)}
        if split == "valid":
            begins = {t: [n for n, start in starts.items() if start == t] for t in set(starts.values())}
            known = {t: np.where(np.isin(known[t], numbers), known[t], 0) for t, numbers in begins.items()}
        write_masks(root / split / "Annotations" / name, known)
        write_frames(root / f"{split}_all_frames" / "JPEGImages" / name, video)
        fifth = [f"{t:05d}.jpg" for t in range(0, frames, 5)]
        write_frames(root / split / "JPEGImages" / name, video[::5], fifth)

    for split, videos in meta.items():
        write_text(root / split / "meta.json", [json.dumps({"videos": videos}, indent=1)])
    return root


def write_jhmdb(root: str | Path, count: int, **scenes: Any) -> Path:
    """Write `count` clips in JHMDB's layout, all in the test part of split 1; the joints are points of the one sprite.

    Other arguments as in `write_videos`.
    """
    root, of = Path(root), Scenes(**{"frames": 40, "size": (240, 320), "sprites": (1, 1)} | scenes)
    clips = defaultdict(list)
    for i in range(count):
        action = ACTIONS[i % len(ACTIONS)]
        clip = f"synthetic_{action}_{i}"
        clips[action].append(f"{clip}.avi 2")
        names = (f"{t + 1:05d}.png" for t in range(of.frames))
        write_frames(root / "Rename_Images" / action / clip, of.render(i)[0], names)
        positions = root / "joint_positions" / action / clip / "joint_positions.mat"
        positions.parent.mkdir(parents=True)
        savemat(positions, {"pos_img": sprite_joints(of, i).transpose(2, 1, 0) + 1})
    for action, lines in clips.items():
        write_text(root / "splits" / f"{action}_test_split1.txt", lines)
    return root


def sprite_joints(of: Scenes, number: int) -> NDArray[np.float64]:
    """Return 15 points of the sprite in video `number`, which has no other: (T, 15, 2) x, y, zero-based pixels."""
    points, _ = video_tracks(of.seed, of.first + number, of.render(number)[1], of.sprites, 30)
    return points[1::2].transpose(1, 0, 2) * np.array(of.size[::-1], float) - 0.5


def write_vip(root: str | Path, count: int, frames: int = 10, step: int = 3, **scenes: Any) -> Path:
    """Write `count` videos in VIP_Fine's layout, all of them in the list val; the sprites are parts of two persons.

    Frames are called 000000000001, 000000000026, … as in VIP, whose frames are 25 apart.

    Args:
        root: folder to make; VIP_Fine is made in it.
        step: rendered frames from one written frame to the next.

    Other arguments as in `write_videos`.
    """
    of = Scenes(frames=(frames - 1) * step + 1, **{"size": (240, 320), "sprites": (4, 4)} | scenes)
    base, names = Path(root) / "VIP_Fine", [f"videos{i + 1}" for i in range(count)]
    stems = [f"{1 + 25 * t:012d}" for t in range(frames)]
    for i, name in enumerate(names):
        video, sprites = of.render(i)
        write_frames(base / "Images" / name, video[::step], (f"{stem}.jpg" for stem in stems))
        ids = PARTS_OF_SPRITES[sprites[::step]]
        masks = {"Category_ids": ids % NUM_PARTS, "Human_ids": ids // NUM_PARTS}
        for kind, frames_of_kind in masks.items():
            write_masks(base / "Annotations" / kind / name, dict(zip(stems, frames_of_kind, strict=True)))
    write_text(base / "lists" / "val_videos.txt", names)
    return Path(root)
