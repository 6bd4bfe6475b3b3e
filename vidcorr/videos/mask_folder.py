"""The masks of a video: their files by frame, their size, and the meaning of their values, which all masks decide."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import DataError
from .folders import list_images
from .image_files import image_size, in_px, open_image, require_size
from .masks import VOID, clear_indices, ids_of_palette, number_colours, pixel_counts, refuse_large_void, stored_mask

KEPT_MASKS = 64
"""Number of decoded masks that stay in memory, since starts, rules and scores read the same ones."""


class MaskFolder(dict[int, Path]):
    """The masks of a video: index of a frame → its file. All masks together decide what their values mean.

    The rule for truth and predictions alike: where all masks hold only 0 and 255, 255 is the object, with id 1. Beside
    other ids 255 is void; a mask of 255 alone then needs another mask that holds void beside ids. In RGB, masks
    share the ids of their colours (`number_colours`); those of predictions are the truth's.

    Args:
        folder: folder of the masks, named after their frames; one that does not exist holds none.
        frames: all frames of the video in time order; None: masks are numbered from 0 in their order.
        complete: every frame needs a mask.
        only_first: take the mask of the first frame alone.
        tolerance: largest difference of a mask and its frame in height and width, pixels.
        has_void: 255 is void beside ids; False: an ordinary id, by the rules of some data sets.
        only_values: ids are the values of the files, such as classes; a mask in RGB, which has none, is refused.
        truth: the annotations of the same video, if these masks are predictions.

    Attributes:
        size: (height, width) of the frames, pixels; (0, 0) without frames.
        index_of_colour: colour, 0xRRGGBB → its index in the palettes of the masks that were read so far.

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
        has_void: bool = True,
        only_values: bool = False,
        truth: "MaskFolder | None" = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.has_void = has_void  # 255 beside ids is void; False: an ordinary id
        self.only_values = only_values  # a mask in RGB is refused
        self.truth = truth  # the annotations, if these masks are predictions
        self.size = (0, 0)  # (height, width); stays so without `frames`
        self._values: dict[int, tuple[int, ...]] = {}  # index of a frame → values of its mask except 0
        self.index_of_colour: dict[int, int] = {}  # of the palettes of the masks read so far, 0xRRGGBB → index
        masks = list_images(folder)
        # this dict: index of a frame → path of its mask
        if frames is None:
            self.update(enumerate(masks))
            return
        numbers = {frame.stem: t for t, frame in enumerate(frames)}  # name of a frame → its index
        for mask in masks:
            if mask.stem not in numbers:
                raise DataError(f"{mask}: mask without its frame in {frames[0].parent}")
            if not only_first or numbers[mask.stem] == 0:
                self[numbers[mask.stem]] = mask
        missing = [frame.name for t, frame in enumerate(frames) if t not in self]
        if complete and missing:
            counts = f"{len(self)} masks for {len(frames)} frames"
            raise DataError(f"{folder}: {counts}, the first without one is {missing[0]}")
        self.size = self._checked_size(frames, tolerance)

    __hash__ = object.__hash__  # type: ignore[assignment]

    @cached_property
    def frame_of(self) -> dict[str, int]:
        """Name of a mask, without suffix → index of its frame."""
        return {mask.stem: t for t, mask in self.items()}

    @cached_property
    def colours(self) -> dict[int, int]:
        """Colour, 0xRRGGBB → id, for masks in RGB; all masks are read. Empty if all masks hold ids.

        Predictions have the colours of their truth: of the truth's masks in RGB, or of the palette of its first mask.

        Raises:
            DataError: if a mask is damaged, or is a picture of many colours, or no mask has a black pixel.
        """
        if self.truth is not None:
            return self.truth.colours or ids_of_palette(self.truth[min(self.truth)])
        stored = (stored_mask(self[t]) for t in sorted(self))
        return number_colours(mask for mask in stored if not mask.has_ids)

    @cached_property
    def all_is_object_1(self) -> bool:
        """True if every value but 0 is object 1: the masks hold 0 and 255 alone.

        At least one mask must hold 255. Masks are read up to the first one with another value.

        Raises:
            DataError: if a file is damaged or no mask, or if the first mask with a value besides 0 and 255 has more
                pixels of 255 than of ids.
        """
        has_white = False
        for t in self:
            values = self._values_of(t)  # without 0
            if values not in ((), (VOID,)):  # a mask with ids: then 255 is not object 1
                if self.has_void:  # beside ids 255 is void, and must not be the larger part
                    refuse_large_void(self[t], _decoded(self, t))
                return False
            has_white = has_white or bool(values)
        return has_white

    @property
    def void(self) -> int | None:
        """Value of void, 255; None if 255 is an object or an ordinary id. Errors are those of `all_is_object_1`."""
        return VOID if self.has_void and not self.all_is_object_1 else None

    def shown(self, t: int) -> tuple[int, ...]:
        """Return the ids of the objects in the mask of frame `t`, ascending; void is none of them.

        Raises:
            DecodingError: if the file is damaged or cannot be decoded.
            DataError: if the mask holds no ids, its 255 may be void or an object, or a mask of a single object holds
                several values.
            KeyError: if frame `t` has no mask.
        """
        values = self._values_of(t)  # without 0
        if self.all_is_object_1:
            return (1,) if values else ()
        if not self.has_void:  # 255 is an ordinary id
            return values
        if values == (VOID,) and not self._shows_void_beside_ids:  # no mask tells what 255 is
            text = "holds only 0 and 255, other masks of the video ids"
            raise DataError(f"{self[t]}: {text}: 255 may be void or an object")
        return tuple(value for value in values if value != VOID)

    @cached_property
    def _shows_void_beside_ids(self) -> bool:
        return any(VOID in self._values_of(t) and len(self._values_of(t)) > 1 for t in self)

    def starts(self) -> dict[int, int]:
        """Return object id → index of the first frame that shows the object, by ascending ids; reads all masks."""
        starts: dict[int, int] = {}
        for t in sorted(self):
            for number in self.shown(t):
                starts.setdefault(number, t)
        return dict(sorted(starts.items()))

    def read(self, t: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Read the ids of a mask, (H, W) uint8: 0 is the background, and the value `self.void`, unless None, is void.

        Args:
            t: index of the frame.
            size: (height, width) of the result, resized by nearest pixel; None: as stored.

        Raises:
            DecodingError: if the file is damaged or cannot be decoded.
            DataError: if the mask holds no ids, its 255 may be void or an object, or a mask of a single object holds
                several values.
            KeyError: if frame `t` has no mask.
        """
        self.shown(t)  # refuses a mask with two readings
        values = self.stored(t, size)
        # with a single object every value but 0 is object 1, also 255: `void` is then None
        return np.minimum(values, 1) if self.all_is_object_1 else values

    def stored(self, t: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Read the values of a mask as they are in its file, (H, W) uint8; colours of RGB are replaced by their ids.

        Args: as `read`.
        """
        from PIL import Image

        values = _decoded(self, t)
        if size is None or size == values.shape:
            return values.copy()  # the decoded mask is kept, and shared by all callers
        image = Image.fromarray(values).resize(size[::-1], Image.Resampling.NEAREST)
        return np.array(image)

    def _values_of(self, t: int) -> tuple[int, ...]:
        """Return the values of a mask except 0, ascending; they are kept, so that each mask is decoded once."""
        if t not in self._values:
            present = np.flatnonzero(pixel_counts(_decoded(self, t)))
            self._values[t] = tuple(present[present > 0].tolist())
        return self._values[t]

    def _checked_size(self, frames: Sequence[Path], tolerance: int) -> tuple[int, int]:
        """Check the headers of the masks and of their frames; return (height, width) of frame 0.

        Only frame 0 and the frames with a mask are opened.

        Raises:
            DataError: if a file is no mask, a frame has another size than frame 0, or the height or width of a mask
                differs from its frame's by more than `tolerance` pixels.
        """
        first = image_size(frames[0])
        for t, mask in self.items():
            with open_image(mask) as image:
                clear_indices(mask, image)  # refuses what is no mask
                size = image.height, image.width
            expected = image_size(frames[t]) if t else first
            require_size(frames[t], expected, first)
            difference = max(abs(size[0] - expected[0]), abs(size[1] - expected[1]))
            if difference > tolerance:
                raise DataError(f"{mask}: mask is {in_px(size)}, its frame {frames[t].name} {in_px(expected)}")
        return first


def claim_indices(index_of_colour: dict[int, int], mask: Any) -> None:
    """Add the colours of a mask's palette to a table of colours, and check that each colour has one index in a video.

    Args:
        index_of_colour: colour, 0xRRGGBB → index, of the video's other masks; it is changed.
        mask: a mask with ids, as `stored_mask` reads it, or a prompt.

    Raises:
        DataError: for a colour with another index.
    """
    for colour, index in mask.colours.items():
        if index_of_colour.setdefault(colour, index) != index:
            told = f"colour #{colour:06x} has index {index}, and {index_of_colour[colour]} in another mask of the video"
            raise DataError(f"{mask.source}: {told}: save all with one palette, or in RGB")


@lru_cache(maxsize=KEPT_MASKS)
def _decoded(masks: MaskFolder, t: int) -> NDArray[np.uint8]:
    """Return the ids of a mask, shared by all callers: copy them before writing.

    Colours of an indexed mask are added to `masks.index_of_colour`.

    Raises:
        DataError: if the file is no mask (`stored_mask`), has a colour without an id or with two indices, or is in RGB
            where the ids must be the values themselves (`only_values`).
    """
    mask = stored_mask(masks[t])
    if masks.only_values and not mask.has_ids:
        raise DataError(f"{masks[t]}: is in RGB; its values must be numbers, not colours")
    if not mask.has_ids:
        return mask.ids(masks.colours)
    claim_indices(masks.index_of_colour, mask)
    return mask.labels
