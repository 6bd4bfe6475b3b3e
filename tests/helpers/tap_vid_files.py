"""Elements of TAP-Vid sets, pickled as they come."""

import io
import pickle

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
