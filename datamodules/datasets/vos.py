"""Any labelled video: a folder of frames and one of indexed masks (DAVIS, MOSE, LVOS, VOST, SA-V, a user's)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

from ..reading.guards import (
    PAGES,
    DataError,
    find_list,
    plain_name,
    read_names,
    require_folder,
    require_one_of,
    require_sequences,
)
from ..reading.mask_files import VOID, check_masks, list_frames, match_masks, object_ids, read_mask
from ..reading.source import natural_order
from .records import MaskSequence, Reader

Annotations = Literal["dense", "first", "entering"]

PATHS = r"/?JPEGImages/[^/]+/([^/]+)/[^/]+(?:\s+/?Annotations/[^/]+/\1/[^/]+)?"
"""A line of the original 2016 lists: `/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png`."""


class Vos(Reader[MaskSequence]):
    """Videos with masks of one or many objects, on any of their frames, from one layout that needs no list.

    Reads `<root>/<frames>/<video>/*.jpg` (or .png) and `<root>/<masks>/<video>/*.png`. A mask is called as its frame.
    Masks are indexed or 8-bit grey PNGs: 0 is background, 255 together with other ids is void (scored as background, as
    by DAVIS's official code), ids need not be consecutive. Where a video's masks hold no other values than 0 and 255,
    its one object is number 1. An object starts with the first mask that holds it; frames before a video's first object
    are left out, as there is nothing to follow.

    Where `<masks>/<video>` holds folders, each is an object with its own binary masks, which may overlap those of the
    others (SA-V). Each is then a sequence of its own, followed independently of the others as object 1.

    A video is scored where it has a mask that could be scored: one that shows an object introduced by an earlier mask,
    or that comes after all are introduced. Where masks only introduce objects, as in the validation splits whose
    masks are with a server, `ground_truth` is False.

    That is the layout of MOSE (`Vos("MOSE/train")`), LVOS, VOST, SA-V (`Vos("sav_val", "sav_val.txt",
    "JPEGImages_24fps", "Annotations_6fps")`) and, in other folders, of DAVIS.

    Args:
        root: the folder that holds both.
        split: path of a list with a name on each line, relative to root or absolute; its name without `.txt` where it
            is in root or `root/ImageSets`; None: every folder of masks.
        frames: folder of the videos' folders of frames, relative to root or absolute.
        masks: folder of the videos' folders of masks.
        one_object: merge all objects of a video into number 1.
        size_tolerance: pixels by which a mask may differ from its frame in height and width; such a mask is brought
            to the frame's size by nearest pixel.
        annotations: "dense": each frame has its ground truth, and the objects are those of the first frame; "first":
            the first frame's mask only, nothing to score; "entering": masks on some frames, each introducing the
            objects not seen before, nothing to score; None: as the masks show.

    Raises:
        ValueError: for other annotations.
        DataError: one line naming the file: a missing folder, list or video, a video of fewer than two frames, no mask
            or no object, a mask without its frame, of another size, in RGB or 16 bit, or damaged.
    """

    lists: tuple[str, ...] = ("{}.txt", "ImageSets/{}.txt")
    """Places, below the root, of the list of a name."""

    def __init__(
        self,
        root: str | Path,
        split: str | Path | None = None,
        frames: str | Path = "JPEGImages",
        masks: str | Path = "Annotations",
        one_object: bool = False,
        size_tolerance: int = 0,
        annotations: Annotations | None = None,
    ) -> None:
        require_one_of((None, *get_args(Annotations)), annotations=annotations)
        self.root = require_folder(Path(root).expanduser(), f"give the folder that holds frames and masks; {PAGES}")
        self.split, self.one_object, self.size_tolerance = split, one_object, size_tolerance
        self.annotations = annotations
        remedy = "name the folders of frames and masks as they are called here"
        self.frames = require_folder(self.root / frames, remedy)
        self.masks = require_folder(self.root / masks, remedy)
        listed_in = self.masks if split is None else find_list(self.root, split, self.lists)
        names = labelled_names(self.masks) if split is None else self._listed(listed_in)
        require_sequences(self.frames, names, listed_in)
        require_sequences(self.masks, names, listed_in)
        units = [(name, folder) for name in names for folder in _folders(self.masks / name) or [""]]
        with ThreadPoolExecutor(8) as pool:
            self._sequences = tuple(pool.map(self._sequence, *zip(*units, strict=True)))

    def _listed(self, path: Path) -> tuple[str, ...]:
        lists = sorted(str(found.relative_to(self.root)) for found in self.root.glob("ImageSets/**/*.txt"))
        have = f"here are {', '.join(lists)}" if lists else "leave split out to take every folder of masks"
        return read_names(path, f"{have}; a path of a list file is taken too", PATHS)

    def _sequence(self, name: str, folder: str) -> MaskSequence:
        frames, path = list_frames(self.frames / name), self.masks / name / folder
        remedy = 'complete them, or say annotations="first" or "entering" to propagate without a score'
        masks = match_masks(path, frames, remedy if self.annotations == "dense" else None)
        if not masks:
            raise DataError(f"{path}: holds no masks; expected indexed png files named after their frames")
        if self.annotations is not None and 0 not in masks:
            raise DataError(f"{path / frames[0].stem}.png: the first frame has no mask; there is nothing to follow")
        masks = {0: masks[0]} if self.annotations == "first" else masks
        check_masks(masks, frames, self.size_tolerance, "take both at one size, or accept it with size_tolerance")
        introducing = masks if self.annotations in (None, "entering") else [0]
        values = {t: object_values(masks[t]) for t in sorted(introducing)}
        is_white = set[int]().union(*values.values()) == {VOID}
        if folder and any(len(seen) > 1 for seen in values.values()):
            raise DataError(f"{path}: holds more than one object; with a folder per object each mask holds one")
        if folder or is_white:
            values = {t: {1} if seen else set() for t, seen in values.items()}
        starts = first_appearances(values)
        if not starts or (self.annotations is not None and 0 not in starts.values()):
            first = None if self.annotations is None else f"{masks[0]}: no object in the first frame's mask"
            raise DataError(f"{first or f'{path}: no mask holds an object'}; there is nothing to follow")
        scored = self.annotations == "dense" or any(is_scored(t, values, starts) for t in values)
        merged = {1: min(starts.values())} if self.one_object else starts
        return MaskSequence.from_first_object(
            frames,
            masks,
            merged,
            name=f"{name}_{folder}" if folder else name,
            folder=folder,
            ground_truth=scored and self.annotations in (None, "dense"),
            values=self._translation(folder, is_white),
        )

    def _translation(self, folder: str, is_white: bool) -> dict[int, int]:
        if is_white:
            return {VOID: 1}
        last = VOID + 1 if folder else VOID
        return dict.fromkeys(range(1, last), 1) if folder or self.one_object else {}


class Davis(Vos):
    """The sequences of a DAVIS split, checked by their headers before any work.

    Reads `JPEGImages/<resolution>/<sequence>/*.jpg`, `Annotations/<resolution>/<sequence>/*.png` and
    `ImageSets/<year>/<split>.txt` (for 2016 also the original `ImageSets/480p/<split>.txt` with two paths a line).
    A first mask with no other values than 0 and 255 is of the 2016 kind: its object is number 1. Objects are the ids
    that occur in the first mask.
    Paper: Pont-Tuset et al., The 2017 DAVIS Challenge (arXiv:1704.00675), section 2.

    Args:
        root: the folder that holds JPEGImages and Annotations.
        year: 2017, or 2016 for one object per sequence (all ids are merged into object 1).
        split: name of a list under ImageSets, path of a list file, or None for every folder of masks.
        resolution: folder under JPEGImages and Annotations.
        annotations: see `Vos`; None: "first" for the test splits, else "dense".
        size_tolerance: see `Vos`.

    Raises:
        ValueError: for other years or annotations.
        DataError: one line naming the file: a missing folder, list or sequence, a sequence of one frame, masks whose
            count, names or size differ from the frames', a first frame without mask or object, RGB or 16-bit masks.
    """

    def __init__(
        self,
        root: str | Path,
        year: Literal[2016, 2017] = 2017,
        split: str | Path | None = "val",
        resolution: str = "480p",
        annotations: Annotations | None = None,
        size_tolerance: int = 0,
    ) -> None:
        require_one_of((2016, 2017), year=year)
        folders_of_lists = [str(year), resolution] if year == 2016 else [str(year)]
        self.lists = tuple(f"ImageSets/{folder}/{{}}.txt" for folder in folders_of_lists)
        annotations = annotations or ("first" if str(split).startswith("test") else "dense")
        folders = f"JPEGImages/{resolution}", f"Annotations/{resolution}"
        super().__init__(root, split, *folders, year == 2016, size_tolerance, annotations)


def _folders(path: Path) -> list[str]:
    """Return the names of the objects' folders of a video, in natural order; none where a mask holds all objects."""
    found = [each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return sorted(found, key=natural_order)


def labelled_names(masks: Path) -> tuple[str, ...]:
    """Return the names of the folders of masks, in natural order, hidden ones left out.

    Raises:
        DataError: if there is none, or a name is not a plain one.
    """
    found = _folders(masks)
    if not found:
        raise DataError(f"{masks}: no folders of masks; expected one for each video, {masks}/<video>/<frame>.png")
    return tuple(plain_name(name, masks) for name in found)


def object_values(mask: Path) -> set[int]:
    """Return the ids of a mask, and 255 where it is there, without background."""
    ids = read_mask(mask)
    return set(object_ids(ids)) | ({VOID} if (ids == VOID).any() else set())


def first_appearances(values: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """Return object id → number of the first frame whose mask holds it.

    Example:
        >>> first_appearances({0: {1, 255}, 5: {1, 3}})
        {1: 0, 3: 5}
    """
    starts: dict[int, int] = {}
    for t in sorted(values):
        for value in sorted(values[t]):
            if 0 < value < VOID:
                starts.setdefault(value, t)
    return starts


def is_scored(t: int, values: Mapping[int, Iterable[int]], starts: Mapping[int, int]) -> bool:
    """Return whether the mask of frame t can be scored: it shows an object that entered earlier, or introduces none."""
    is_later = t > min(starts.values())
    return is_later and (t not in starts.values() or any(starts.get(value, t) < t for value in values[t]))
