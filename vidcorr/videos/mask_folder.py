"""The masks of a video: their files by frame, their size, and the meaning of their values, which all masks decide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import DataError
from .folders import list_folders, list_images
from .images import image_size, open_image, pixels, require_size
from .masks import VOID, pixel_counts, read_mask, refuse_large_void, require_form, resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT_MASKS = 64
"""Number of decoded masks that stay in memory, since starts, rules and scores read the same ones."""


class MaskFolder(dict[int, Path]):
    """The masks of a video: index of a frame → its file. All masks together decide what their values mean.

    The rule for truth and predictions alike: where all masks hold only 0 and 255, 255 is the object, with id 1. Beside
    other ids 255 is void; a mask of 255 alone then needs another mask that holds void beside ids.

    Args:
        folder: folder of the masks, named after their frames; one that does not exist holds none.
        frames: all frames of the video in time order; None: masks are numbered from 0 in their order.
        complete: every frame needs a mask.
        only_first: take the mask of the first frame alone.
        tolerance: largest difference of a mask and its frame in height and width, pixels.
        of_object: the folder belongs to a single object: every value but 0 is this object, with id 1.
        has_void: 255 is void beside ids; False: an ordinary id, by the rules of some data sets.

    Attributes:
        size: (height, width) of the frames, pixels; (0, 0) without frames.

    Raises:
        DataError: naming a mask without its frame, of another size or form, or with `complete` a frame without mask.
    """

    def __init__(
        self,
        folder: Path,
        frames: Sequence[Path] | None = None,
        *,
        complete: bool = False,
        only_first: bool = False,
        tolerance: int = 0,
        of_object: bool = False,
        has_void: bool = True,
    ) -> None:
        super().__init__(enumerate(list_images(folder)))
        self.folder = folder
        self.of_object = of_object
        self.has_void = has_void
        self.size = (0, 0)
        self._values: dict[int, tuple[int, ...]] = {}
        if frames is not None:
            self._match(frames, complete)
            if only_first:
                for t in sorted(self.keys() - {0}):
                    del self[t]
            self.size = self._checked_size(frames, tolerance)

    __hash__ = object.__hash__  # type: ignore[assignment]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Name of a mask, without suffix → index of its frame."""
        return {mask.stem: t for t, mask in self.items()}

    @cached_property
    def void(self) -> int | None:
        """Value of void, 255; None where 255 is an object or an ordinary id.

        Masks are read up to the first that holds another id.

        Raises:
            DataError: if a mask is damaged or holds no ids, or the void of this first mask outweighs its ids.
        """
        if self.of_object or not self.has_void or self._is_white:
            return None
        return VOID

    def shown(self, t: int) -> tuple[int, ...]:
        """Return the ids of the objects in the mask of frame `t`, ascending.

        Raises:
            DataError: as `read`.
        """
        values = self._checked_values(t)
        return tuple(sorted({int(self._ids[value]) for value in values if value != self.void}))

    def starts(self) -> dict[int, int]:
        """Return object id → frame of its first mask, ascending; reads all masks."""
        starts: dict[int, int] = {}
        for t in sorted(self):
            for number in self.shown(t):
                starts.setdefault(number, t)
        return dict(sorted(starts.items()))

    def read(self, t: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Read the ids of a mask, (H, W) uint8: 0 = background, `void` = void.

        Args:
            t: index of the frame.
            size: (height, width) of the result, resized by nearest pixel; None: as stored.

        Raises:
            DecodingError: if the file is damaged or cannot be decoded.
            DataError: if the mask holds no ids, its 255 may be void or an object, or a mask of a single object holds
                several values.
            KeyError: if frame `t` has no mask.
        """
        self._checked_values(t)
        return self._ids[self.stored(t, size)]

    def stored(self, t: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Read the values of a mask as they are in its file, (H, W) uint8; `size` as for `read`."""
        return resized(_decoded(self, t).copy(), size)

    @cached_property
    def _is_white(self) -> bool:
        """All masks hold only 0 and 255."""
        has_white = False
        for t in self:
            values = self._values_of(t)
            if values not in ((), (VOID,)):
                if self.has_void:
                    refuse_large_void(self[t], _decoded(self, t))
                return False
            has_white = has_white or bool(values)
        return has_white

    @cached_property
    def _has_void_beside_ids(self) -> bool:
        return any(len(values) > 1 and VOID in values for values in map(self._values_of, self))

    @cached_property
    def _ids(self) -> NDArray[np.uint8]:
        """Value → id, (256,)."""
        ids = np.arange(256, dtype=np.uint8)
        if self.of_object:
            ids[1:] = 1
        elif self._is_white:
            ids[VOID] = 1
        return ids

    def _checked_values(self, t: int) -> tuple[int, ...]:
        """Return the values of a mask but 0; refuse a mask that could be read in two ways."""
        values = self._values_of(t)
        if self.of_object:
            if len(values) > 1:
                raise DataError(f"{self[t]}: holds more than one object, in a folder of one")
        elif values == (VOID,) and not self._is_white and not self._has_void_beside_ids:
            others = "holds only 0 and 255, other masks of the video ids"
            raise DataError(f"{self[t]}: {others}: 255 may be void or an object")
        return values

    def _values_of(self, t: int) -> tuple[int, ...]:
        if t not in self._values:
            present = np.flatnonzero(pixel_counts(_decoded(self, t)))
            self._values[t] = tuple(present[present > 0].tolist())
        return self._values[t]

    def _match(self, frames: Sequence[Path], complete: bool) -> None:
        """Number the masks by their frames."""
        number = {frame.stem: t for t, frame in enumerate(frames)}
        masks = list(self.values())
        self.clear()
        for mask in masks:
            if mask.stem not in number:
                raise DataError(f"{mask}: mask without its frame in {frames[0].parent}")
            self[number[mask.stem]] = mask
        missing = [frame.name for t, frame in enumerate(frames) if t not in self]
        if complete and missing:
            counts = f"{len(self)} masks for {len(frames)} frames"
            raise DataError(f"{self.folder}: {counts}, the first without one is {missing[0]}")

    def _checked_size(self, frames: Sequence[Path], tolerance: int) -> tuple[int, int]:
        """Check by headers that masks have their form and the size of their frames, equal for all; return this size."""
        first = image_size(frames[0])
        for t, mask in self.items():
            with open_image(mask) as image, mask.open("rb") as file:
                require_form(mask, image, file.read(26)[24:])
                size = image.height, image.width
            expected = image_size(frames[t]) if t else first
            require_size(frames[t], expected, first)
            difference = max(abs(size[0] - expected[0]), abs(size[1] - expected[1]))
            if difference > tolerance:
                raise DataError(f"{mask}: mask is {pixels(size)}, its frame {frames[t].name} {pixels(expected)}")
        return first


@lru_cache(maxsize=KEPT_MASKS)
def _decoded(masks: MaskFolder, t: int) -> NDArray[np.uint8]:
    values = read_mask(masks[t])
    values.setflags(write=False)
    return values


def mask_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a video's folder of masks, a folder per object; [""] if it holds the masks.

    Raises:
        DataError: if the folder holds both masks and folders.
    """
    folders = list_folders(folder) if folder.is_dir() else []
    masks = list_images(folder)
    if folders and masks:
        raise DataError(f"{folder}: holds both the mask {masks[0].name} and the folder {folders[0]}")
    return folders or [""]
