"""YouTube-VOS as distributed: objects enter at any frame, some frames are annotated."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..videos.files import WRONG_JSON, DataError, errors_at, user_path
from ..videos.folders import list_frames, list_images
from ..videos.mask_folder import MaskFolder
from ..videos.source import hashed_rank
from .layout import not_expected
from .lists import plain_name, read_json
from .sequences import MaskSequence

Objects = Mapping[int, tuple[str, int]]
"""Object id → its category ("" if the split hides it) and the number of its first frame."""

HOLDOUT = 0.05
"""Fraction of the videos without unseen categories that the hold-out split takes by default."""
UNSEEN_CATEGORIES = 5
"""Number of unseen categories of the hold-out split by default."""


def YoutubeVos(
    root: str | Path,
    split: Literal["valid", "train", "test", "holdout"] = "valid",
    all_frames: bool = False,
    holdout: float = HOLDOUT,
    unseen: int = UNSEEN_CATEGORIES,
) -> list[MaskSequence]:
    """Read the videos of a YouTube-VOS split.

    Layout: `<split>/meta.json` (`videos → <video> → objects → <id> → category, frames`), `<split>/JPEGImages/<video>`
    and `<split>/Annotations/<video>`. The set has every fifth frame of a video, named by its number (00000, 00005, …).
    The masks of "valid" and "test" only introduce objects, and a server scores them; "holdout" is a part of "train",
    scored here. Frames before a video's first object are left out.
    Paper: Xu et al., YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark (arXiv:1809.03327).

    The hold-out split takes `unseen` categories, with all videos that show them, and the fraction `holdout` of the
    other videos; the names alone decide. A model trained on the rest has not seen these categories; `VideoDataModule`
    leaves the held-out videos out by default.

    Args:
        root: the folder that holds train and valid.
        split: "valid", "train", "test" or "holdout".
        all_frames: follow objects through every frame of the video (`<split>_all_frames/JPEGImages`, also searched for
            under `all_frames`); predictions are still reported on every fifth frame, those of `<split>/JPEGImages`.
        holdout: fraction of the training videos without unseen categories that is held out.
        unseen: number of held-out categories.

    Raises:
        DataError: one line naming the file: a missing folder, meta.json or video, a video of a single frame, an object
            without a mask in its first frame, an annotation without its frame, masks of another size, of 16
            bits or many colours.
    """
    root = user_path(root)
    folder = "train" if split == "holdout" else split
    meta = root / folder / "meta.json"
    if not meta.is_file():
        raise DataError(not_expected(root, f"{folder}/meta.json"))
    videos = read_meta(meta)
    names = tuple(sorted(videos))
    if split == "holdout":
        names, _ = hold_out(videos, holdout, unseen)
        if not names:
            raise DataError(f"{meta}: too few videos to hold out {unseen} categories")
    frames = root / folder / "JPEGImages"
    if all_frames:
        places = [root / f"{folder}_all_frames", root / "all_frames" / f"{folder}_all_frames"]
        # of neither, the first, for the error
        frames = next(filter(Path.is_dir, places), places[0]) / "JPEGImages"
    is_scored = split in ("train", "holdout")
    return [_sequence(meta, name, videos[name], frames / name, is_scored) for name in names]


def _sequence(meta: Path, name: str, objects: Objects, folder: Path, is_scored: bool) -> MaskSequence:
    """Return a video whose objects start at the frames that meta.json names."""
    frames = list_frames(folder)
    masks = MaskFolder(meta.parent / "Annotations" / name, frames)
    # raises DataError if the first mask with ids has more pixels of void, 255, than of ids
    _ = masks.void
    index_of = {number: t for t, number in enumerate(_numbers(folder, frames))}
    starts: dict[int, int] = {}
    categories: dict[int, str] = {}
    for object_id, (category, start) in sorted(objects.items()):
        if start not in index_of or index_of[start] not in masks:
            file = masks.folder / f"{start:05d}.png"
            raise DataError(f"{file}: no such mask, but object {object_id} starts here by meta.json")
        starts[object_id] = index_of[start]
        if category:
            categories[object_id] = category
    if not starts:
        raise DataError(f"{meta}: names no object of {name}: take the video out, or name its objects")
    return MaskSequence(
        frames=frames,
        masks=masks,
        starts=starts,
        size=masks.size,
        name=name,
        sources=(meta,),
        ground_truth=is_scored,
        categories=categories,
        reported=_reported_frames(meta.parent / "JPEGImages" / name, index_of, min(starts.values())),
    )


def _numbers(folder: Path, frames: Sequence[Path]) -> list[int]:
    with errors_at(f"{folder}: is not a folder of numbered frames"):
        return [int(frame.stem) for frame in frames]


def _reported_frames(folder: Path, index_of: Mapping[int, int], begin: int) -> tuple[int, ...]:
    """Return the indices of the frames with predictions: frames of the set's folder, from the first object on."""
    reported: list[int] = []
    for number in _numbers(folder, list_images(folder)):
        if index_of.get(number, -1) >= begin:
            reported.append(index_of[number])
    if not reported:
        raise DataError(f"{folder}: has none of the frames, every fifth, that predictions are reported for")
    return tuple(reported)


def read_meta(path: Path) -> dict[str, Objects]:
    """Read the videos of a meta.json; objects without frames are left out."""
    with errors_at(f"{path}: is not a meta.json of YouTube-VOS", *WRONG_JSON):
        videos = read_json(path)["videos"].items()
        return {plain_name(name, path): _objects_of(video) for name, video in videos}


def _objects_of(video: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    objects: dict[int, tuple[str, int]] = {}
    for number, thing in video["objects"].items():
        if thing["frames"]:
            category = str(thing.get("category", ""))
            objects[int(number)] = category, min(map(int, thing["frames"]))
    return objects


def _categories(objects: Objects) -> set[str]:
    return {category for category, _ in objects.values()}


def held_out_among(folders: Iterable[str]) -> frozenset[str]:
    """Return the frame folders that belong to the default hold-out split of a YouTube-VOS.

    A folder belongs to YouTube-VOS if it is `<root>/train/JPEGImages/<video>` or
    `<root>/train_all_frames/JPEGImages/<video>` and `<root>/train/meta.json` exists; so do folders one level deeper,
    such as those under `<root>/all_frames`. Sets that are too small have no hold-out split.

    Raises:
        DataError: if a meta.json cannot be read.
    """
    videos_of: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        videos_of[os.path.dirname(folder)].append(folder)
    held_out: set[str] = set()
    for parent, videos in videos_of.items():
        images = Path(parent)
        split = images.absolute().parent
        if images.name != "JPEGImages" or split.name not in ("train", "train_all_frames"):
            continue
        metas = [root / "train" / "meta.json" for root in split.parents[:2]]
        meta = next(filter(Path.is_file, metas), None)
        if meta is not None:
            chosen, _ = hold_out(read_meta(meta), HOLDOUT, UNSEEN_CATEGORIES)
            held_out.update(video for video in videos if Path(video).name in chosen)
    return frozenset(held_out)


def hold_out(videos: Mapping[str, Objects], fraction: float, unseen: int) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the held-out videos and the unseen categories; both empty if there are too few categories."""
    # name → key of an order that looks random and never changes
    rank = partial(hashed_rank, 0)
    categories = set().union(*map(_categories, videos.values()))
    ranked = sorted(categories, key=rank)
    if not 0 <= unseen < len(ranked):
        return (), frozenset()
    hidden = frozenset(ranked[:unseen])
    with_hidden = {name for name, objects in videos.items() if hidden & _categories(objects)}
    others = sorted(videos.keys() - with_hidden, key=rank)
    num_held_out = round(fraction * len(others))
    return tuple(sorted(with_hidden.union(others[:num_held_out]))), hidden
