"""Small videos with points in TAP-Vid's DAVIS layout, made in a moment: patches of noise that slide over noise."""

import json
import pickle
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image


def write_points(path: Path, videos: int = 2, frames: int = 7, tracks: int = 3, hidden: Collection[str] = ()) -> Path:
    """Write a pickle of made videos `film-000`, …; the points of those in `hidden` are never visible."""
    content = {}
    for number in range(videos):
        generator, name = np.random.default_rng(number), f"film-{number:03d}"
        size = np.array([48, 64])
        background = generator.integers(0, 256, (*(size // 4), 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        colours = generator.integers(0, 256, (tracks, 3))
        starts, steps = generator.uniform(12, 36, (tracks, 2)), generator.uniform(-2, 2, (tracks, 2))
        places = starts[:, None] + steps[:, None] * np.arange(frames)[:, None]
        video = np.repeat(background[None], frames, 0)
        for t in range(frames):
            for track, (y, x) in enumerate(places[:, t].astype(int)):
                video[t, y - 4 : y + 4, x - 4 : x + 4] = colours[track]
        occluded = generator.random((tracks, frames)) < 0.25
        occluded[:, 0] = False
        if name in hidden:
            occluded[:] = True
        points = (places[..., ::-1] / size[::-1]).astype(np.float32)
        content[name] = {"video": video, "points": points, "occluded": occluded}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def write_badja(root: Path, frames: int = 4) -> Path:
    """Write two clips in BADJA's layout: squares of side 10 + t with three joints on them, of which one is hidden."""
    for clip, folder in (("bear", "DAVIS/JPEGImages/Full-Resolution/bear"), ("dog", "extra_videos/dog/rgb")):
        generator, entries = np.random.default_rng(len(clip)), []
        background = generator.integers(0, 120, (40, 60, 3)).astype(np.uint8)
        segmentations = folder.replace("JPEGImages", "Annotations").replace("rgb", "segmentations")
        for path in (folder, segmentations):
            (root / path).mkdir(parents=True)
        for t in range(frames):
            picture, mask = background.copy(), np.zeros((40, 60), np.uint8)
            mask[5 + t : 15 + 2 * t, 8 + 2 * t : 18 + 3 * t] = 255
            picture[mask > 0] = generator.integers(120, 255, ((mask > 0).sum(), 3))
            names = {"image_path": f"{folder}/{t:05d}.png", "segmentation_path": f"{segmentations}/{t:05d}.png"}
            Image.fromarray(picture).save(root / names["image_path"])
            if clip == "dog":  # colours, and half the size
                mask = np.zeros((20, 30, 3), np.uint8)
                mask[:10, :10] = 255
            Image.fromarray(mask).save(root / names["segmentation_path"])
            joints, visibility = [[0, 0]] * 37, [False] * 37
            for number, place in ((8, (6, 9)), (15, (9, 12)), (33, (12, 15))):
                joints[number], visibility[number] = [place[0] + t, place[1] + 2 * t], number != 33 or t != 1
            entries.append({**names, "joints": joints, "visibility": visibility})
        (root / "joint_annotations").mkdir(exist_ok=True)
        (root / "joint_annotations" / f"{clip}.json").write_text(json.dumps(entries))
    return root
