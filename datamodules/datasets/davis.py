"""DAVIS-2016 and DAVIS-2017 in their layout as distributed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from ..reading.errors import require_one_of
from .vos import Annotations, Vos

PATHS = re.compile(r"/?JPEGImages/[^/]+/([^/]+)/[^/]+(?:\s+/?Annotations/[^/]+/\1/[^/]+)?")
"""A line of the original 2016 lists: `/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png`."""


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
        self.lists = (f"ImageSets/{year}", *([f"ImageSets/{resolution}"] if year == 2016 else []))
        annotations = annotations or ("first" if str(split).startswith("test") else "dense")
        folders = f"JPEGImages/{resolution}", f"Annotations/{resolution}"
        super().__init__(root, split, *folders, year == 2016, size_tolerance, annotations)

    def _name_in(self, line: str) -> str:
        paths = PATHS.fullmatch(line)
        return paths[1] if paths else line
