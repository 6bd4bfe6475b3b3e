"""Any labelled video: a folder of frames and a folder of indexed masks for each (MOSE, LVOS, VOST, a user's own)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..reading.errors import DataError
from ..reading.files import usable_cores
from ..reading.guards import plain_name
from ..reading.images import picture_header
from ..reading.mask_files import VOID, check_masks, object_ids, read_mask
from ..reading.source import natural_order
from .layout_files import list_frames, match_masks, read_names, require_folder, require_sequences
from .records import MaskSequence, Reader


class Vos(Reader[MaskSequence]):
    """Videos with masks of one or many objects, on any of their frames, from one layout that needs no list.

    Reads `<root>/<frames>/<video>/*.jpg` (or .png) and `<root>/<masks>/<video>/*.png`. A mask is called as its frame.
    Masks are indexed or 8-bit grey PNGs: 0 is background, 255 together with other ids is void (scored as background, as
    by DAVIS's official code), ids need not be consecutive. Where a video's masks hold no other values than 0 and 255,
    its one object is number 1. An object starts with the first mask that holds it; frames before a video's first object
    are left out, as there is nothing to follow.

    A video is scored where it has a mask that could be scored: one that shows an object introduced by an earlier mask,
    or that comes after all are introduced. Where masks only introduce objects, as in the validation splits whose
    masks are with a server, `ground_truth` is False.

    That is the layout of MOSE (`Vos("MOSE/train")`), LVOS, VOST and of DAVIS-2016 (`Vos("DAVIS", frames=
    "JPEGImages/480p", masks="Annotations/480p", split="ImageSets/2016/val.txt", one_object=True)`).

    Args:
        root: the folder that holds both.
        split: path of a list with a name on each line, relative to root or absolute; its name without `.txt` where it
            is in root or `root/ImageSets`; None: every folder of masks.
        frames: folder of the videos' folders of frames, relative to root or absolute.
        masks: folder of the videos' folders of masks.
        one_object: merge all objects of a video into number 1.
        size_tolerance: pixels by which a mask may differ from its frame in height and width; such a mask is brought
            to the frame's size by nearest pixel.

    Raises:
        DataError: one line naming the file: a missing folder, list or video, a video of fewer than two frames, no mask
            or no object, a mask without its frame, of another size, in RGB or 16 bit, or damaged.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path | None = None,
        frames: str | Path = "JPEGImages",
        masks: str | Path = "Annotations",
        one_object: bool = False,
        size_tolerance: int = 0,
    ) -> None:
        self.root = require_folder(Path(root).expanduser(), "give the folder that holds frames and masks")
        self.split, self.one_object, self.size_tolerance = split, one_object, size_tolerance
        remedy = "name the folders of frames and masks"
        self.frames = require_folder(self.root / frames, remedy)
        self.masks = require_folder(self.root / masks, remedy)
        names = self._names()
        with ThreadPoolExecutor(min(8, usable_cores())) as pool:
            self._sequences = tuple(pool.map(self._sequence, names))

    def _names(self) -> tuple[str, ...]:
        if self.split is None:
            names = labelled_names(self.masks)
            require_sequences(self.frames, names, self.masks)
            return names
        path = self._list_file(str(self.split))
        names = read_names(path, "name a list, or leave split out to take every folder of masks")
        require_sequences(self.frames, names, path)
        require_sequences(self.masks, names, path)
        return names

    def _list_file(self, split: str) -> Path:
        if split.endswith(".txt"):
            return self.root / split
        lists = [self.root / f"{split}.txt", self.root / "ImageSets" / f"{split}.txt"]
        return next((path for path in lists if path.is_file()), lists[0])

    def _sequence(self, name: str) -> MaskSequence:
        frames = list_frames(self.frames / name)
        masks = match_masks(self.masks / name, frames)
        if not masks:
            raise DataError(f"{self.masks / name}: holds no masks; expected indexed png files named after their frames")
        check_masks(masks, frames, self.size_tolerance, "take both at one size, or accept it with size_tolerance")
        values = {t: object_values(mask) for t, mask in sorted(masks.items())}
        starts = first_appearances(values)
        only_white = not starts and any(VOID in seen for seen in values.values())
        if only_white:
            values = {t: {1} & {1 if value == VOID else 0 for value in seen} for t, seen in values.items()}
            starts = first_appearances(values)
        if not starts:
            raise DataError(f"{self.masks / name}: no mask holds an object; there is nothing to follow")
        begin = min(starts.values())
        if len(frames) - begin < 2:
            raise DataError(
                f"{self.frames / name}: {len(frames) - begin} frames from the first object on; needs at least 2"
            )
        introduced = frozenset(starts.values())
        merged = only_white or self.one_object
        translation = {VOID: 1} if only_white else dict.fromkeys(range(1, VOID), 1) if self.one_object else {}
        return MaskSequence(
            name=name,
            frames=frames[begin:],
            size=picture_header(frames[0])[0],
            masks={t - begin: mask for t, mask in masks.items() if t >= begin},
            objects=(1,) if merged else tuple(sorted(starts)),
            starts={1: 0} if merged else {i: t - begin for i, t in starts.items()},
            ground_truth=any(t > begin and is_scored(t, values, starts, introduced) for t in masks),
            values=translation,
        )


def labelled_names(masks: Path) -> tuple[str, ...]:
    """Return the names of the folders of masks, in natural order, hidden ones left out.

    Raises:
        DataError: if there is none, or a name is not a plain one.
    """
    found = [path.name for path in masks.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not found:
        raise DataError(f"{masks}: no folders of masks; expected one for each video, {masks}/<video>/<frame>.png")
    return tuple(plain_name(name, masks) for name in sorted(found, key=natural_order))


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


def is_scored(
    t: int, values: Mapping[int, Iterable[int]], starts: Mapping[int, int], introduced: frozenset[int]
) -> bool:
    """Return whether the mask of frame t can be scored: it shows an object that entered earlier, or introduces none."""
    return t not in introduced or any(starts.get(value, t) < t for value in values[t])
