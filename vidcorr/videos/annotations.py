"""Folders of annotations beside the folders of frames: label maps are no videos, and are not trained on."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from .files import DataError
from .images import open_image
from .masks import MOST_COLOURS, davis_palette

OF_LABELS = re.compile(
    r"annotation|ground.?truth|segmentation|label|instances?|panop?t?i?c?_?(map|mask)|masks?(?![a-z])"
    r"|(?<![a-z])(gts?|segs?|pha|alpha|mattes?|depths?|disp|disparity|flows?|normals?|semantics?)(?![a-z])"
)
"""Names of folders, in small letters, of annotations and of maps that are made for frames."""
OF_FRAMES = re.compile(r"image|frame|img|jpe?g|rgb|colou?r|fgr")
"""Names of folders, in small letters, that hold the frames where another folder has as many pictures."""
FLAT = 0.95
"""Smallest fraction of a mask's pixels that have its 32 commonest values; a mask may have smoothed edges."""
MOST_LABELS = 256
"""More colours are no label map."""
SIBLINGS = 64
"""Number of folders below one whose pictures are read before the others': 240,000 would take minutes."""


class _Look(NamedTuple):
    """The middle picture of a folder.

    Attributes:
        size: (width, height), pixels.
        is_grey: it has one channel without a palette.
        is_davis: it is indexed in DAVIS's palette.
        is_flat: few values have nearly all pixels; or its channel has 16 or more bits, of depths or ids.
        is_label: it looks as a map of labels: flat and of few values or colours in all; or of 16 bits.
    """

    size: tuple[int, int]
    is_grey: bool
    is_davis: bool
    is_flat: bool
    is_label: bool


def annotation_folders(root: Path, pictures: Mapping[Path, Sequence[str]]) -> set[Path]:
    """Return the folders of annotations among folders of pictures.

    Two kinds of folders are. By itself: one named so below the root whose pictures are flat or of 16 bits (`depth`),
    or one of pictures in DAVIS's palette. Beside the frames: one whose path differs from theirs in one part
    (SEGM/480p/dog and RGB/480p/dog), if they have a picture of the same size for each of its stems; and it holds label
    maps, or is named so and is grey or the other folder is named as of frames.

    Of many folders below one, `SIBLINGS` drawn ones are looked at, and the others if one of these is of annotations.
    Frames of few colours alone, such as pixel art, grey films and recordings of screens, are videos.

    Args:
        root: folder that was searched.
        pictures: folder below it → names of its pictures; one without any is not looked at.
    """
    children: dict[Path, list[Path]] = defaultdict(list)
    but_one: dict[tuple[int, tuple[str, ...]], list[Path]] = defaultdict(list)
    for folder, names in pictures.items():
        if names:
            children[folder.parent].append(folder)
            for place in range(len(root.parts), len(folder.parts)):
                but_one[_without(folder, place)].append(folder)
    look = cache(lambda folder: _look(folder, pictures[folder]))
    stems = cache(lambda folder: {PurePath(name).stem for name in pictures[folder]})

    def is_of_annotations(folder: Path) -> bool:
        """Return whether a folder holds annotations, by itself or beside the folder of the frames."""
        seen = look(folder)
        if seen is None:
            return False
        names = list(map(str.lower, folder.parts))
        if seen.is_davis or (seen.is_flat and any(map(OF_LABELS.search, names[len(root.parts) :]))):
            return True
        for place in range(len(root.parts), len(folder.parts)):
            is_named = bool(OF_LABELS.search(names[place]))
            is_last = place == len(names) - 1
            if not is_named and (is_last or not seen.is_label):
                continue  # folders that differ in this part are several videos, not kinds of one video
            for other in but_one[_without(folder, place)]:
                frames = look(other) if other != folder else None
                if frames is None or frames.is_label or frames.size != seen.size or not stems(folder) <= stems(other):
                    continue
                name = other.parts[place].lower()
                if seen.is_label or (not OF_LABELS.search(name) and (seen.is_grey or OF_FRAMES.search(name))):
                    return True
        return False

    found: set[Path] = set()
    for folders in children.values():
        drawn = random.Random(0).sample(folders, min(SIBLINGS, len(folders)))
        if any(map(is_of_annotations, drawn)):
            found.update(filter(is_of_annotations, folders))
    return found


def _without(folder: Path, place: int) -> tuple[int, tuple[str, ...]]:
    """Return the parts of a path but one, and its place."""
    return place, folder.parts[:place] + folder.parts[place + 1 :]


def _look(folder: Path, names: Sequence[str]) -> _Look | None:
    """Return what the middle picture of a folder is; None if it cannot be read."""
    try:
        with open_image(folder / names[len(names) // 2]) as image:
            colours = davis_palette()[:3].ravel().tolist()
            is_davis = image.mode == "P" and (image.getpalette() or [])[:9] == colours
            pixels = np.asarray(image)
            is_grey, size = image.mode not in ("P", "RGB", "RGBA"), image.size
    except DataError:
        return None
    packed = np.zeros(pixels.shape[:2], np.int64)
    for channel in np.atleast_3d(pixels).transpose(2, 0, 1):
        packed = packed * 256 + channel
    counts = np.sort(np.unique(packed, return_counts=True)[1])
    is_deep = pixels.dtype.itemsize > 1
    is_flat = bool(counts[-MOST_COLOURS:].sum() >= FLAT * counts.sum())
    has_few = len(counts) <= (MOST_COLOURS if is_grey else MOST_LABELS)
    return _Look(size, is_grey, is_davis, is_flat or is_deep, is_deep or (is_flat and has_few))
