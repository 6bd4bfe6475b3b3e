"""Generated videos in the layouts of the benchmarks, and as mp4 files for training.

Each writer is called as `write_davis(root, count, **arguments)`: `layout` says which arguments it has.
"""

import json
import pickle
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jhmdb_files import JOINTS
from ..vip_files import NUM_PARTS
from .scene import Scenes
from .writers import boxes_of, layout, lines_of, numbered, write_frames, write_masks, write_mp4, write_text

SEPARATORS = (",", "\t", " ")
ACTIONS = ("walk", "wave")
CATEGORIES = 8
PARTS_OF_SPRITES = np.array([0, 21, 41, 27, 47], np.uint8)
"""Number of a sprite → person · 20 + class of VIP: two persons with the same two parts."""
VIP_STEP = 3
"""Rendered frames between written frames of VIP."""


@layout()
def write_videos(folder: Path, scenes: Scenes, count: int) -> None:
    """Write `count` H.264 videos `root/00000.mp4`, …; the same arguments and encoder version give the same bytes."""
    for i, (video, _) in enumerate(scenes.rendered(count)):
        write_mp4(folder / f"{i:05d}.mp4", video)


@layout()
def write_davis(folder: Path, scenes: Scenes, count: int) -> None:
    """Write `count` sequences in DAVIS-2017's layout: JPEG frames, indexed PNG masks, ImageSets/2017/val.txt.

    The folders are called 480p for every size.
    """
    names = numbered("synthetic-{:03d}", range(count))
    for name, (video, masks) in zip(names, scenes.rendered(count), strict=True):
        write_frames(folder / "JPEGImages" / "480p" / name, video)
        write_masks(folder / "Annotations" / "480p" / name, dict(enumerate(masks)))
    write_text(folder / "ImageSets/2017/val.txt", names)


@layout(frames=41)
def write_youtube_vos(folder: Path, scenes: Scenes, count: int, valid: int = 2) -> None:
    """Write `count` training and `valid` validation videos in YouTube-VOS's layout.

    Sprites enter in the first half of a video and have one of eight categories. Every fifth frame is in
    `<split>/JPEGImages`, all frames are in `<split>_all_frames/JPEGImages`. Training masks hold all objects; validation
    masks hold entering objects only, and the validation's meta.json has no categories.
    """
    fifth = range(0, scenes.frames, 5)
    entries: dict[str, dict[str, Any]] = {"train": {}, "valid": {}}
    for i, (video, masks) in enumerate(scenes.rendered(count + valid)):
        split = "train" if i < count else "valid"
        name = f"{scenes.first + i:010x}"
        draws = np.random.default_rng([scenes.seed, scenes.first + i])
        # `sprites` is (fewest, most); `shown`: masks of the annotated objects, each from the frame in which it enters
        objects, shown = _annotated_objects(masks, scenes.sprites[1], draws, is_train=split == "train")
        entries[split][name] = {"objects": objects}
        annotated = [t for t in fifth if split == "train" or shown[t].any()]
        write_masks(folder / split / "Annotations" / name, {t: shown[t] for t in annotated})
        write_frames(folder / f"{split}_all_frames" / "JPEGImages" / name, video)
        write_frames(folder / split / "JPEGImages" / name, video[::5], numbered("{:05d}.jpg", fifth))
    for split, videos in entries.items():
        write_text(folder / split / "meta.json", [json.dumps({"videos": videos}, indent=1)])


def _annotated_objects(
    masks: NDArray[np.uint8], sprites: int, draws: np.random.Generator, is_train: bool
) -> tuple[dict[str, dict[str, Any]], NDArray[np.uint8]]:
    """Return a video's objects for meta.json, and its annotated masks: sprites are absent before a drawn frame."""
    objects: dict[str, dict[str, Any]] = {}
    annotated = np.zeros_like(masks)
    for number in range(1, sprites + 1):
        begin = int(draws.integers(0, len(masks) // 2 + 1))
        # drawn for hidden sprites too, so that the others keep theirs
        category = int(draws.integers(CATEGORIES))
        present = masks == number
        # the first sprite is there from the start
        if number > 1:
            present[:begin] = False
        # as in YouTube-VOS, every fifth frame is annotated: those that show the sprite
        seen = [t for t in range(0, len(masks), 5) if present[t].any()]
        if not seen:
            continue
        if not is_train:
            present[seen[0] + 1 :] = False
        annotated[present] = number
        objects[str(number)] = {"frames": numbered("{:05d}", seen)}
        if is_train:
            objects[str(number)]["category"] = f"kind {category}"
    return objects, annotated


@layout()
def write_otb(folder: Path, scenes: Scenes, count: int) -> None:
    """Write `count` videos in OTB's layout, for `Otb(root, version=None)`; the target is the frontmost sprite.

    As in OTB, commas, tabs or spaces separate the numbers in groundtruth_rect.txt. Every third video has two targets.
    Videos have at least two sprites.
    """
    scenes = replace(scenes, sprites=(max(scenes.sprites[0], 2), max(scenes.sprites[1], 2)))
    for i, (video, masks) in enumerate(scenes.rendered(count)):
        sequence_folder = folder / f"Synthetic{i:03d}"
        write_frames(sequence_folder / "img", video, numbered("{:04d}.jpg", range(1, scenes.frames + 1)))
        # the background is 0, the frontmost sprite has the largest number
        shown = np.unique(masks[0]).tolist()
        targets = {"": shown[-1]}
        # 0: frame 0 shows a single sprite
        if i % 3 == 2 and shown[-2] > 0:
            targets = {".1": shown[-1], ".2": shown[-2]}
        for suffix, number in targets.items():
            boxes = boxes_of(masks, number).astype(int)
            write_text(sequence_folder / f"groundtruth_rect{suffix}.txt", lines_of(boxes, SEPARATORS[i % 3]))


@layout(frames=24)
def write_tap_vid(folder: Path, scenes: Scenes, count: int, tracks: int = 24) -> None:
    """Write `count` videos with exact tracks as `root/tapvid_davis.pkl`, in the layout of TAP-Vid-DAVIS.

    The tracks start in turn on the background and on the sprites.
    """
    content = {}
    for i, (video, masks) in enumerate(scenes.rendered(count)):
        points, occluded = scenes.tracks(i, masks, tracks)
        points = ((points + 0.5) / scenes.size[::-1]).astype(np.float32)
        content[f"synthetic-{i:03d}"] = {"video": video, "points": points, "occluded": occluded}
    (folder / "tapvid_davis.pkl").write_bytes(pickle.dumps(content, 4))


@layout(frames=40, size=(240, 320), sprites=(1, 1))
def write_jhmdb(folder: Path, scenes: Scenes, count: int) -> None:
    """Write `count` clips in JHMDB's layout, all in the test part of split 1; the joints are points of one sprite."""
    from scipy.io import savemat

    lists: dict[str, list[str]] = defaultdict(list)
    for i, (video, masks) in enumerate(scenes.rendered(count)):
        action = ACTIONS[i % len(ACTIONS)]
        clip = f"synthetic_{action}_{i}"
        lists[action].append(f"{clip}.avi 2")
        frame_names = numbered("{:05d}.png", range(1, scenes.frames + 1))
        write_frames(folder / "Rename_Images" / action / clip, video, frame_names)
        joints, _ = scenes.tracks(i, masks, len(JOINTS), layer_numbers=(1,))
        path = folder / "joint_positions" / action / clip / "joint_positions.mat"
        path.parent.mkdir(parents=True)
        savemat(path, {"pos_img": joints.transpose(2, 0, 1) + 1})  # (2, 15, T), one-based
        # scipy's header holds a date
        path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])
    for action, lines in lists.items():
        write_text(folder / f"splits/{action}_test_split1.txt", lines)


@layout(frames=10, size=(240, 320), sprites=(4, 4))
def write_vip(folder: Path, scenes: Scenes, count: int) -> None:
    """Write `count` videos in VIP_Fine's layout, all in the list val; the sprites are parts of two persons.

    The set is the folder VIP_Fine in `folder`. Frames are called 000000000001, 000000000026, … as in VIP, with a
    distance of 25. Of the rendered frames every `VIP_STEP`-th is written, so that stored frames differ more.
    """
    numbers = range(1, 25 * scenes.frames, 25)
    scenes = replace(scenes, frames=(scenes.frames - 1) * VIP_STEP + 1)
    base = folder / "VIP_Fine"
    names = numbered("videos{}", range(1, count + 1))
    for name, (video, sprites) in zip(names, scenes.rendered(count), strict=True):
        write_frames(base / "Images" / name, video[::VIP_STEP], numbered("{:012d}.jpg", numbers))
        ids = PARTS_OF_SPRITES[sprites[::VIP_STEP]]  # (T, H, W): person · NUM_PARTS + class
        for kind, masks in {"Category_ids": ids % NUM_PARTS, "Human_ids": ids // NUM_PARTS}.items():
            write_masks(base / "Annotations" / kind / name, dict(zip(numbered("{:012d}", numbers), masks, strict=True)))
    write_text(base / "lists/val_videos.txt", names)
