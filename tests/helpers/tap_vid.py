"""Elements of TAP-Vid sets, pickled as they come."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.references import GOLDEN, golden


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


def official_scores():
    """Return the official scores of the simple predictions: by file, query mode, prediction and measure."""
    return json.loads((GOLDEN / "tap_vid/expected_scores.json").read_text())


def write_golden_tracks(folder: Path, name: str) -> Path:
    """Write a released file of TAP-Vid, such as `robotap/robotap_split0.pkl`: the golden tracks, over random frames."""
    videos: dict[str, dict] = {}
    for key, value in golden("tap_vid/tracks").items():
        if key.startswith(f"{name}/"):
            video, kind = key.removeprefix(f"{name}/").split("/")
            videos.setdefault(video, {})[kind] = value
    content = {}
    for video, tracks in videos.items():
        made = element(frames=tracks["points"].shape[1], size=tracks.pop("size").tolist(), jpeg="kinetics" in name)
        content[video] = made | tracks
    unnamed = "kinetics" in name or "rgb_stacking" in name
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(list(content.values()) if unnamed else content, 4))
    return path
