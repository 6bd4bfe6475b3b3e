"""Folders of annotations beside the folders of frames: masks are no videos, and are not trained on."""

import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from .files import DataError
from .images import open_image
from .masks import MOST_COLOURS, davis_palette

NAMED_SO = re.compile(r"annotation|ground.?truth|segmentation|masks?(?![a-z])|(?<![a-z])(labels?|gts?|segs?)(?![a-z])")
"""Names of folders, in small letters, that hold annotations if their pictures look so."""
FLAT = 0.95
"""Smallest fraction of a mask's pixels that have its 32 commonest values; a mask may have smoothed edges."""
SAMPLED = 8
"""Number of folders below one that is called Annotations whose pictures are read."""

SIBLINGS = 64
"""Number of folders below one whose pictures are read before the others': 240,000 would take minutes."""


def annotation_folders(root: Path, pictures: Mapping[Path, Sequence[str]]) -> set[Path]:
    """Return the folders of annotations among folders of pictures, by three signs.

    - `Annotations`, `masks` and the like below the root, if the pictures are flat as masks are;
    - PNGs of a few values and one channel beside frames: the other folder differs in one part of its path
      (SEGM/480p/dog and RGB/480p/dog), and has a frame of the same stem and size for each of them;
    - indexed PNGs in DAVIS's palette, wherever they are.

    Of many folders below one, `SIBLINGS` drawn ones are looked at, and the others if one of these is of masks.

    Frames of few colours alone, such as pixel art, grey films and recordings of screens, are videos.

    Args:
        root: folder that was searched.
        pictures: folder below it → names of its pictures; one without any is not looked at.
    """
    pictures = {folder: names for folder, names in pictures.items() if names}
    named = _folders_named_as_annotations(root, pictures)
    others = [folder for folder in pictures if folder not in named]
    return named | _folders_of_masks(others, pictures)


def _folders_named_as_annotations(root: Path, pictures: Mapping[Path, Sequence[str]]) -> set[Path]:
    """Return the folders below one that is named as annotations are, if its pictures are flat."""
    trees: dict[Path, list[Path]] = defaultdict(list)
    for folder in pictures:
        named = _named_part(root, folder)
        if named is not None:
            trees[named].append(folder)
    found: set[Path] = set()
    for folders in trees.values():
        step = -(-len(folders) // SAMPLED)
        flat = [_is_flat(folder, pictures[folder]) for folder in folders[::step]]
        if False not in flat and True in flat:
            found.update(folders)
    return found


def _folders_of_masks(folders: Iterable[Path], pictures: Mapping[Path, Sequence[str]]) -> set[Path]:
    """Return those of some folders whose pictures are masks, by palette or by the frames in a folder of their name."""
    namesakes: dict[str, list[Path]] = defaultdict(list)
    siblings: dict[Path, list[Path]] = defaultdict(list)
    for folder in folders:
        namesakes[folder.name].append(folder)
        siblings[folder.parent].append(folder)

    def is_of_masks(folder: Path) -> bool:
        """Return whether a folder is one of masks, beside all folders of its name."""
        return _is_of_masks(folder, pictures, namesakes[folder.name])

    found: set[Path] = set()
    for children in siblings.values():
        drawn = random.Random(0).sample(children, min(SIBLINGS, len(children)))
        if any(map(is_of_masks, drawn)):
            found.update(filter(is_of_masks, children))
    return found


def _named_part(root: Path, folder: Path) -> Path | None:
    """Return the highest folder below the root, down to a folder, that is named as annotations are."""
    below_root = folder.parts[len(root.parts) :]
    for number, name in enumerate(below_root, start=1):
        if NAMED_SO.search(name.lower()):
            return root.joinpath(*below_root[:number])
    return None


def _is_flat(folder: Path, names: Sequence[str]) -> bool | None:
    """Return whether few values have nearly all pixels of a folder's middle picture; None if it cannot be read."""
    try:
        with open_image(folder / names[len(names) // 2]) as image:
            counts = _counts(image)
    except DataError:
        return None
    commonest = np.sort(counts)[-MOST_COLOURS:]
    return bool(commonest.sum() >= FLAT * counts.sum())


def _counts(image: Image.Image) -> np.ndarray:
    """Return the number of pixels of each value or colour that occurs in an image."""
    pixels = np.asarray(image)
    packed = np.zeros(pixels.shape[:2], np.int64)
    for channel in np.atleast_3d(pixels).transpose(2, 0, 1):
        packed = packed * 256 + channel
    return np.unique(packed, return_counts=True)[1]


def _is_of_masks(folder: Path, pictures: Mapping[Path, Sequence[str]], namesakes: Collection[Path]) -> bool:
    """Return whether a folder holds indexed PNGs in DAVIS's palette, or PNGs of few values beside their frames."""
    names = pictures[folder]
    if not all(name.lower().endswith(".png") for name in names):
        return False
    try:
        with open_image(folder / names[len(names) // 2]) as image:
            colours = davis_palette()[:3].ravel().tolist()
            if image.mode == "P" and (image.getpalette() or [])[:9] == colours:
                return True
            beside = [other for other in namesakes if _differs_in_one_part(other, folder)]
            if not beside or image.mode not in ("1", "L", "P") or len(_counts(image)) > MOST_COLOURS:
                return False
            size = image.size
    except DataError:
        return False
    stems = _stems(names)
    return any(stems <= _stems(pictures[other]) and _shows(other, pictures[other], size) for other in beside)


def _differs_in_one_part(path: Path, other: Path) -> bool:
    if len(path.parts) != len(other.parts):
        return False
    return sum(part != counterpart for part, counterpart in zip(path.parts, other.parts, strict=True)) == 1


def _stems(names: Sequence[str]) -> set[str]:
    return {PurePath(name).stem for name in names}


def _shows(folder: Path, names: Sequence[str], size: tuple[int, int]) -> bool:
    """Return whether the middle picture of a folder is a frame of a size, (width, height): it has many values."""
    try:
        with open_image(folder / names[len(names) // 2]) as image:
            return image.size == size and len(_counts(image)) > MOST_COLOURS
    except DataError:
        return False
