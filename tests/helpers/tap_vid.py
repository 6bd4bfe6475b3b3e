"""Elements of TAP-Vid sets, pickled as they come."""

import io
import json
import os
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


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


def bad_files():
    """Name → content of a file that a reader must refuse in one line; the two calls would do no harm."""
    good, jpegs = element(), element(jpeg=True)
    whole = pickle.dumps({"goat": good}, 4)
    changed = {
        "calls_eval": [Call(eval, "1+1")],
        "calls_os": {"goat": Call(os.getpid)},
        "empty": {},
        "jpeg_cut_off": [jpegs | {"video": [bytes(jpeg)[:200] for jpeg in jpegs["video"]]}],
        "no_occluded": {"goat": {key: good[key] for key in ("video", "points")}},
        "object_array": {"goat": good | {"points": good["points"].astype(object)}},
        "occluded_uint8": {"goat": good | {"occluded": good["occluded"].astype(np.uint8)}},
        "points_in_pixels": {"goat": good | {"points": good["points"] * np.float32(256)}},
        "points_one_frame_short": {"goat": good | {"points": good["points"][:, 1:]}},
    }
    return {name: pickle.dumps(content, 4) for name, content in changed.items()} | {"cut_off": whole[: len(whole) // 2]}
