"""Small videos with points in TAP-Vid's DAVIS layout, made in a moment: patches of noise that slide over noise."""

import pickle
from collections.abc import Collection
from pathlib import Path

import numpy as np


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
