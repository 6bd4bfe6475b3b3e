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
from .image_files import open_image
from .masks import MOST_COLOURS, davis_palette

OF_LABELS = re.compile(
    r"annotation|ground.?truth|segmentation|label|instances?|panop?t?i?c?_?(map|mask)|masks?(?![a-z])"
    r"|(?<![a-z])(gts?|segs?|pha|alpha|mattes?|trimaps?|salienc(y|ies)|depths?|disp|disparity|flows?|normals?|semantics?)(?![a-z])"
)
"""Names of folders, in small letters, of annotations and of maps that are made for frames."""
OF_FRAMES = re.compile(r"image|frame|img|jpe?g|rgb|colou?r|fgr")
"""Names of folders, in small letters, of frames; they decide between two folders with pictures of equal names."""
FLAT = 0.95
"""Fraction of a picture's pixels that its 32 commonest values need for a mask; less than 1 for smoothed edges."""
MOST_LABELS = 256
"""Most colours of a map of labels."""
SIBLINGS = 64
"""Number of drawn subfolders of a folder that are examined first: a picture of each of 240,000 would take minutes."""


class Look(NamedTuple):
    """The middle picture of a folder.

    Attributes:
        size: (width, height), pixels.
        is_grey: it has one channel without a palette.
        is_davis: it is indexed in DAVIS's palette.
        is_flat: nearly all pixels have few values; or the channels have 16 or more bits, as of depths or ids.
        is_label: it looks like a map of labels: it is flat and has few values in all; or the channels have 16 bits.
    """

    size: tuple[int, int]
    is_grey: bool
    is_davis: bool
    is_flat: bool
    is_label: bool


def annotation_folders(root: Path, pictures: Mapping[Path, Sequence[str]]) -> set[Path]:
    """Return the folders of annotations among folders of pictures, by the middle picture of each (`look_of`).

    A folder is of annotations by itself if its pictures have DAVIS's palette; or if a part of its path below the root
    has a name of annotations (`depth`) and its pictures are flat or of 16 bits.

    A folder is also of annotations beside a folder of frames. The two paths differ in one part (SEGM/480p/dog and
    RGB/480p/dog). For each picture the folder of frames has a picture of the same stem, and the sizes are equal. Then
    one of two conditions must hold:

    - The folder's pictures are maps of labels, and the pictures of the other folder are not. If the last parts of the
      paths differ, the folder's last part must have a name of annotations too: the folders may be two videos.
    - The folder's part has a name of annotations, and the other part has none. Also, the folder's pictures are grey, or
      the other part has a name of frames.

    Of many subfolders of a folder, `SIBLINGS` random subfolders are examined; the other subfolders are examined only if
    annotations were found. Frames of few colours without a partner, such as pixel art or grey films, are videos.

    Args:
        pictures: folder below it → names of its pictures; a folder without pictures is ignored.
    """
    children: dict[Path, list[Path]] = defaultdict(list)  # folder → its subfolders with pictures
    but_one: dict[tuple[int, tuple[str, ...]], list[Path]] = defaultdict(list)  # path without a part → the folders
    for folder, names in pictures.items():
        if names:
            children[folder.parent].append(folder)
            for place in range(len(root.parts), len(folder.parts)):
                but_one[_without(folder, place)].append(folder)
    # cached, as a folder is compared with many other folders
    look = cache(lambda folder: look_of(folder, pictures[folder]))
    stems = cache(lambda folder: {PurePath(name).stem for name in pictures[folder]})

    def is_of_annotations(folder: Path) -> bool:
        own = look(folder)
        if own is None:  # the picture cannot be read
            return False
        parts = list(map(str.lower, folder.parts))  # of the path
        # by itself: the palette, or flat pictures under a name of annotations below the root
        if own.is_davis or (own.is_flat and any(map(OF_LABELS.search, parts[len(root.parts) :]))):
            return True
        # beside frames: folders whose paths differ in the part at `place` alone
        for place in range(len(root.parts), len(folder.parts)):
            is_named = bool(OF_LABELS.search(parts[place]))  # this part of the path has a name of annotations
            is_last = place == len(parts) - 1
            # without a name, only maps of labels may be annotations; folders that differ at their end may be two videos
            if not is_named and (is_last or not own.is_label):
                continue
            for other in but_one[_without(folder, place)]:
                frames = look(other) if other != folder else None
                # the other folder must hold frames, of the same size, and one for each picture of this folder
                if frames is None or frames.is_label or frames.size != own.size or not stems(folder) <= stems(other):
                    continue
                other_part = other.parts[place].lower()
                # labels beside frames; else, by their names, annotations beside frames
                if own.is_label or (not OF_LABELS.search(other_part) and (own.is_grey or OF_FRAMES.search(other_part))):
                    return True
        return False

    of_annotations: set[Path] = set()
    for folders in children.values():
        drawn = random.Random(0).sample(folders, min(SIBLINGS, len(folders)))  # saves decoding a picture of each
        if any(map(is_of_annotations, drawn)):
            of_annotations.update(filter(is_of_annotations, folders))
    return of_annotations


def _without(folder: Path, place: int) -> tuple[int, tuple[str, ...]]:
    return place, folder.parts[:place] + folder.parts[place + 1 :]


def look_of(folder: Path, names: Sequence[str]) -> Look | None:
    """Return the look of a folder's middle picture, by the order of `names`; None if the picture cannot be read.

    A picture is flat if its `MOST_COLOURS` commonest colours cover the fraction `FLAT` of it. A flat picture is a map
    of labels if it has at most `MOST_LABELS` colours, or `MOST_COLOURS` grey values.
    """
    try:
        with open_image(folder / names[len(names) // 2]) as image:
            colours = davis_palette()[:3].ravel().tolist()  # RGB of three colours, which tell the palette
            is_davis = image.mode == "P" and (image.getpalette() or [])[:9] == colours
            pixels = np.asarray(image)
            is_grey, size = image.mode not in ("P", "RGB", "RGBA"), image.size
    except DataError:
        return None
    packed = np.zeros(pixels.shape[:2], np.int64)  # a number for each colour
    for channel in np.atleast_3d(pixels).transpose(2, 0, 1):
        packed = packed * 256 + channel  # of RGB 0xRRGGBB
    counts = np.sort(np.unique(packed, return_counts=True)[1])  # pixels of each colour, the commonest colour last
    is_deep = pixels.dtype.itemsize > 1  # 16 bits or more, depths, flow or ids: counts as flat and as labels
    is_flat = bool(counts[-MOST_COLOURS:].sum() >= FLAT * counts.sum())
    has_few = len(counts) <= (MOST_COLOURS if is_grey else MOST_LABELS)
    return Look(size, is_grey, is_davis, is_flat=is_flat or is_deep, is_label=is_deep or (is_flat and has_few))
