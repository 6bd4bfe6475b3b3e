"""Generated videos in the layouts of GOT-10k and SOCO, which only tests need."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vidcorr.datasets import generated
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.datasets.generated.writers import (
    boxes_of,
    layout,
    lines_of,
    numbered,
    write_frames,
    write_text,
)


def writer_of(name: str) -> Callable[..., Path]:
    """Return the writer of a layout, here or in the library: `davis` → `write_davis`."""
    here: Callable[..., Path] | None = globals().get(f"write_{name}")
    return here or getattr(generated, f"write_{name}")


@layout()
def write_got10k(folder: Path, of: Scenes, count: int, valid: int = 0) -> None:
    """Write `count` training and `valid` validation videos in GOT-10k's layout; the target is the frontmost sprite.

    Args:
        valid: number of validation videos.
    """
    videos = of.rendered(count + valid)
    for split, last in (("train", count), ("val", valid)):
        members = numbered(f"GOT-10k_{split.title()}_{{:06d}}", range(1, last + 1))
        for name, (video, masks) in zip(members, videos, strict=False):
            write_frames(folder / split / name, video, numbered("{:08d}.jpg", range(1, of.frames + 1)))
            front = masks[0].max()
            cover = 8 * (masks == front).any((1, 2)).astype(int)
            write_text(folder / split / name / "groundtruth.txt", lines_of(boxes_of(masks, front), ",", "{:.4f}"))
            write_text(folder / split / name / "cover.label", numbered("{}", cover.tolist()))
        if members:
            write_text(folder / split / "list.txt", members)


@layout(size=(240, 320))
def write_soco(folder: Path, of: Scenes, count: int, views: int = 3, points: int = 12) -> None:
    """Write `count` scenes as categories of SOCO: `views` pictures each, and pairs within and across the categories.

    Key points lie in turn on the background and on the sprites; those of one layer are a concept. A pair within a
    category has two of its pictures, one across two pictures of the same view.

    Args:
        views: pictures of a scene, evenly over its frames.
        points: key points of a scene.
    """
    frames = np.linspace(0, of.frames - 1, views).round().astype(int).tolist()
    shown: list[list[dict[str, Any]]] = []
    for i, (video, masks) in enumerate(of.rendered(count)):
        category = f"scene{i:03d}"
        names = numbered(category + "_{:06d}.JPEG", frames)
        write_frames(folder / "Images" / category, video[frames], names)
        tracks, hidden = of.tracks(i, masks, points)
        layers = len(np.unique(masks))
        boxes = boxes_of(masks > 0, 1)[frames].astype(int) - (1, 1, 0, 0)
        of_scene: list[dict[str, Any]] = []
        for view, frame in enumerate(frames):
            left, top, width, height = boxes[view].tolist()
            places = []
            for number in np.flatnonzero(~hidden[:, frame]).tolist():
                about = {"name": f"point_{number}", "concept_name": f"layer_{number % layers}"}
                places.append(about | {"pos": tracks[number, frame].round(2).clip(0).tolist()})
            box = [left, top, left + width, top + height]
            entry = {"category": category, "image": names[view], "bndbox": box, "keypoints": places}
            of_scene.append(entry | {"imsize": [*of.size[::-1], 3]})
        shown.append(of_scene)
    for i, of_scene in enumerate(shown):
        category = f"scene{i:03d}"
        within = list(combinations(of_scene, 2))
        across = list(zip(of_scene, shown[(i + 1) % count], strict=True))
        for kind, pairs in (("intra", within), ("cross", across)):
            for number, (source, target) in enumerate(pairs):
                content = _soco_pair(source, target)
                name = f"{number:05d}-{Path(source['image']).stem}-{Path(target['image']).stem}.json"
                write_text(folder / "PairAnnotations" / kind / category / name, [json.dumps(content)])


def _soco_pair(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """Return the annotation of a pair of pictures: their points, those of the same name, and their concepts."""
    content: dict[str, Any] = {}
    concepts: list[dict[str, list[str]]] = []
    for side, picture in (("src", source), ("trg", target)):
        content |= {f"{side}_{key}": value for key, value in picture.items()}
        names: dict[str, list[str]] = defaultdict(list)
        for point in picture["keypoints"]:
            names[point["concept_name"]].append(point["name"])
        concepts.append(names)
    of_source, of_target = concepts
    groups = []
    for concept in sorted(of_source.keys() & of_target.keys()):
        keypoints = {"src_keypoints": of_source[concept], "trg_keypoints": of_target[concept]}
        groups.append({"concept_name": concept} | keypoints)
    named = [{point["name"] for point in picture["keypoints"]} for picture in (source, target)]
    content["semantic_overlap"] = sorted(named[0] & named[1])
    return content | {"concept_matches": groups}
