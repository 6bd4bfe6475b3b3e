"""Pairs of views of generated scenes in SPair-71k's layout, with exact correspondences."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .scene import video_tracks
from .writers import Scenes, generate, write_frames, write_text

POINT_IDS = 30
"""Key points of a class in SPair-71k's files."""


def write_spair(root: str | Path, count: int, views: int = 4, points: int = 20, **scenes: Any) -> Path:
    """Write `count` scenes as classes of SPair-71k: `views` pictures each, and a pair of every two of them.

    Key points lie in turn on the background and on the sprites, at whole pixels. The viewpoint difference of a pair is
    0 for neighbouring views, 1 for the next, then 2; the box is that of all sprites.

    Args:
        root: folder to make, see `write_videos`.
        count: number of scenes.
        views: pictures of a scene, evenly over its frames.
        points: key points of a scene, at most 30.
        scenes: arguments of `Scenes`.

    Other errors as in `write_videos`.
    """
    of = Scenes(**{"size": (240, 320)} | scenes)
    frames = np.linspace(0, of.frames - 1, views).round().astype(int).tolist()
    sides = np.array(of.size[::-1])

    def write(folder: Path, i: int) -> None:
        category, (video, masks) = f"scene{i:03d}", of.render(i)
        stems = [f"{category}_{t:03d}" for t in frames]
        write_frames(folder / "JPEGImages" / category, video[frames], (f"{stem}.jpg" for stem in stems))
        tracks, hidden = video_tracks(of.seed, of.first + i, masks, of.sprites, min(points, POINT_IDS))
        at = np.floor(tracks[:, frames] * sides).astype(int)
        inside = ((at >= 0) & (at < sides)).all(-1)
        visible = ~hidden[:, frames] & inside
        boxes = [_box(masks[t]) for t in frames]
        for view, stem in enumerate(stems):
            content: dict[str, Any] = {"filename": f"{stem}.jpg", "category": category, "bndbox": boxes[view]}
            places = {n: at[n, view].tolist() for n in np.flatnonzero(visible[:, view]).tolist()}
            content["kps"] = {str(n): places.get(n) for n in range(POINT_IDS)}
            write_text(folder / "ImageAnnotation" / category / f"{stem}.json", [json.dumps(content)])
        for index, (one, other) in enumerate(combinations(range(views), 2)):
            name = f"{i * views * views + index:06d}-{stems[one]}-{stems[other]}:{category}"
            content = {"filename": name, "category": category, "mirror": 0, "scale_variation": 0}
            content["viewpoint_variation"] = min(other - one - 1, 2)
            both = np.flatnonzero(visible[:, one] & visible[:, other])
            content["kps_ids"] = [str(n) for n in both]
            for side, view in (("src", one), ("trg", other)):
                content |= {f"{side}_imname": f"{stems[view]}.jpg", f"{side}_imsize": [*sides.tolist(), 3]}
                content |= {f"{side}_bndbox": boxes[view], f"{side}_kps": at[both, view].tolist()}
            for key, gone in (("truncation", ~inside), ("occlusion", inside & ~visible)):
                content[key] = int(gone[:, one].any()) + 2 * int(gone[:, other].any())
            write_text(folder / "PairAnnotation" / "test" / f"{name}.json", [json.dumps(content)])

    def finish(folder: Path) -> None:
        files = sorted((folder / "PairAnnotation" / "test").iterdir())
        write_text(folder / "Layout" / "large" / "test.txt", [file.stem for file in files])

    return generate(root, "spair", of, count, write, finish, views=views, points=points)


def _box(mask: np.ndarray[Any, Any]) -> list[int]:
    """Return x0, y0, x1, y1 of all sprites, or of the picture without any."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    return [x, y, x + width, y + height] if width else [0, 0, mask.shape[1], mask.shape[0]]
