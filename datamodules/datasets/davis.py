"""DAVIS-2016 and DAVIS-2017 in their layout as distributed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..reading.errors import DataError, require_one_of
from ..reading.guards import plain_name
from ..reading.images import picture_header
from ..reading.mask_files import VOID, check_masks, read_mask
from .layout_files import list_frames, match_masks, read_list, require_all_masks, require_folder, require_sequences
from .records import MaskSequence, Reader
from .vos import first_appearances

Annotations = Literal["dense", "first", "entering"]


class Davis(Reader[MaskSequence]):
    """The sequences of a DAVIS split, checked by their headers before any work.

    Reads `JPEGImages/<resolution>/<sequence>/*.jpg`, `Annotations/<resolution>/<sequence>/*.png` and
    `ImageSets/<year>/<split>.txt` (for 2016 also the original `ImageSets/480p/<split>.txt` with two paths a line).
    Masks are indexed or 8-bit grey PNGs. A first mask with no other values than 0 and 255 is of the 2016 kind: its
    object is number 1. Objects are the ids that occur: where a first mask holds 1 and 3 only, there are two. The
    official tool counts up to the highest id and gives the absent id 2 a J and F of 1.0 in every frame; no mask of
    DAVIS has such a gap, and the scores are equal to the official ones wherever the ids have none.
    Paper: Pont-Tuset et al., The 2017 DAVIS Challenge (arXiv:1704.00675), section 2.

    Args:
        root: the folder that holds JPEGImages and Annotations.
        year: 2017, or 2016 for one object per sequence (all ids are merged into object 1).
        split: name of a list under ImageSets, path of a list file, or None for every folder of JPEGImages.
        resolution: folder under JPEGImages and Annotations.
        annotations: "dense": each frame has its ground truth; "first": the first frame's mask only, nothing to
            score; "entering": masks on some frames, each introducing the objects not seen before, nothing to score.
            None: "first" for the test splits, else "dense".
        size_tolerance: pixels by which a mask may differ from its frame in height and width; such a mask is brought
            to the frame's size by nearest pixel.

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
        self.root = Path(root).expanduser()
        self.year, self.split, self.resolution = year, split, resolution
        require_one_of((2016, 2017), year=year)
        require_one_of((None, *get_args(Annotations)), annotations=annotations)
        if annotations is None:
            annotations = "first" if str(split).startswith("test") else "dense"
        self.annotations: Annotations = annotations
        self.size_tolerance = size_tolerance
        self._sequences = tuple(self._sequence(name) for name in self._names())

    def _names(self) -> tuple[str, ...]:
        require_folder(self.root, "give the folder that holds JPEGImages and Annotations")
        frames = require_folder(self.root / "JPEGImages" / self.resolution, "check root and resolution")
        if self.split is None:
            names = tuple(sorted(path.name for path in frames.iterdir() if path.is_dir()))
            if not names:
                raise DataError(f"{frames}: no sequences; unpack DAVIS here")
            return names
        path = self._list_file(self.split)
        lists = sorted(str(found.relative_to(self.root)) for found in self.root.glob("ImageSets/*/*.txt"))
        have = f"here are {', '.join(lists)}" if lists else "split=None reads every folder of JPEGImages"
        lines = read_list(path, f"{have}; a path of a list file is taken too")
        names = tuple(dict.fromkeys(_sequence_name(line, path) for line in lines))
        require_sequences(frames, names, path)
        return names

    def _list_file(self, split: str | Path) -> Path:
        if isinstance(split, Path) or split.endswith(".txt"):
            return Path(split)
        path = self.root / "ImageSets" / str(self.year) / f"{split}.txt"
        original = self.root / "ImageSets" / self.resolution / f"{split}.txt"
        return original if self.year == 2016 and not path.is_file() and original.is_file() else path

    def _sequence(self, name: str) -> MaskSequence:
        frames = list_frames(self.root / "JPEGImages" / self.resolution / name)
        masks = self._masks(frames, self.root / "Annotations" / self.resolution / name)
        check_masks(masks, frames, self.size_tolerance, "check the resolution, or accept it with size_tolerance")
        first = np.unique(read_mask(masks[0])).tolist()
        later = {t: np.unique(read_mask(masks[t])).tolist() for t in masks if t and self.annotations == "entering"}
        only_white = VOID in first and set(first) <= {0, VOID}
        starts = {1: 0} if only_white else first_appearances({0: first} | later)
        if 0 not in starts.values():
            raise DataError(f"{masks[0]}: no object in the first frame's mask; there is nothing to follow")
        values = {VOID: 1} if only_white else dict.fromkeys(range(1, VOID), 1) if self.year == 2016 else {}
        return MaskSequence(
            name=name,
            frames=frames,
            size=picture_header(frames[0])[0],
            masks=masks,
            objects=(1,) if values else tuple(sorted(starts)),
            starts={1: 0} if values else starts,
            ground_truth=self.annotations == "dense",
            values=values,
        )

    def _masks(self, frames: tuple[Path, ...], folder: Path) -> dict[int, Path]:
        masks = match_masks(folder, frames)
        if 0 not in masks:
            raise DataError(f"{folder / frames[0].stem}.png: the first frame has no mask; there is nothing to follow")
        if self.annotations == "first":
            return {0: masks[0]}
        if self.annotations == "dense":
            remedy = 'complete them, or say annotations="first" or "entering" to propagate without a score'
            require_all_masks(folder, masks, frames, remedy)
        return masks


def _sequence_name(line: str, listed_in: Path) -> str:
    """Read a line of a list: `bear`, or as in the original 2016 lists two paths.

    These are `/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png`.
    """
    paths = re.fullmatch(r"/?JPEGImages/[^/]+/([^/]+)/[^/]+(?:\s+/?Annotations/[^/]+/\1/[^/]+)?", line)
    return plain_name(paths[1] if paths else line, listed_in)
