"""Elements of TAP-Vid sets, pickled as they come, and a set in BADJA's layout."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image


def element(frames=5, tracks=2, size=(12, 16), jpeg=False):
    """One video in TAP-Vid's form, random but the same each time."""
    generator = np.random.default_rng(0)
    video = generator.integers(0, 255, (frames, *size, 3)).astype(np.uint8)
    occluded = generator.random((tracks, frames)) < 0.3
    points = generator.random((tracks, frames, 2)).astype(np.float32)
    return {"video": np.array([encoded(frame) for frame in video]) if jpeg else video, "points": points,
            "occluded": occluded}  # fmt: skip


def encoded(frame):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95)
    return file.getvalue()


def written(tmp_path, content, name="tapvid_davis.pkl"):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(content, 4))
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
