"""A mask of object ids: the one reader, its form, and the ids in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import DataError, unfinished
from .images import open_image, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageFile

VOID = 255
"""Pixel value of void; scored as background, as by DAVIS's official code in the semi-supervised task."""
MOST_GREY_IDS = 16
"""More values in a grey mask, of which fewer than half are in use, are smoothed edges or a picture."""


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Decode a mask: (H, W) uint8 ids, the indices of an indexed PNG or the values of an 8-bit grey PNG.

    The one reader of masks, of annotations, predictions and prompts alike. 0 is the background, black in a palette.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it is no indexed or 8-bit grey PNG, has transparency, or many grey values and no palette.
    """
    content = read_whole(path)
    with open_image(path, content) as image:
        require_form(path, image)
        ids: NDArray[np.uint8] = np.array(image)
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    has_colours = np.ptp(palette, axis=1).any()
    values = object_ids(ids)
    is_shade = len(values) > MOST_GREY_IDS and values[-1] > 2 * len(values)
    if is_shade and not has_colours:
        raise DataError(
            f"{path}: {len(values)} grey values are no ids but smoothed edges; resize masks by nearest pixel"
        )
    return ids


def require_form(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse an image, not decoded yet, in any form but the two of masks."""
    is_form = image.format == "PNG" and "transparency" not in image.info
    if image.mode == "P":
        is_form &= (image.getpalette() or [])[:3] == [0, 0, 0]
    else:
        is_form &= image.mode == "L" and image.tile[0][3] == "L"  # grey of fewer bits would be scaled
    if not is_form:
        raise DataError(f"{path}: not an indexed or 8-bit grey mask (a PNG of ids, 0 black, nothing transparent)")


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically.

    Args:
        path: the file; its folder exists.
        ids: palette index per pixel.
        palette: `(256, 3)` RGB.
    """
    from PIL import Image

    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    with unfinished(path) as temporary:
        image.save(temporary, "PNG", compress_level=1)


def davis_palette() -> NDArray[np.uint8]:
    """Return the palette of PASCAL VOC, whose first colours are those of DAVIS: (256, 3) uint8 RGB.

    Bits 0, 1 and 2 of an index go to red, green and blue from the highest bit down, then bits 3, 4 and 5, and so on.

    Example:
        >>> davis_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    palette = np.zeros((256, 3), np.uint8)
    for level in range(3):
        bits = (index >> (3 * level + channel)) & 1
        palette += (bits << (7 - level)).astype(np.uint8)
    return palette


def pixel_counts(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of pixels of each value, (256,); a tenth of the time of `np.unique`."""
    import cv2

    return np.asarray(cv2.calcHist([ids], [0], None, [256], [0, 256])).ravel().astype(np.int64)


def object_ids(ids: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the object ids that occur in a mask, ascending, without background and void.

    Example:
        >>> object_ids(np.array([[0, 2], [255, 1]], np.uint8))
        (1, 2)
    """
    values = np.flatnonzero(pixel_counts(ids)).tolist()
    return tuple(value for value in values if 0 < value < VOID)


def refuse_large_void(source: object, ids: NDArray[np.uint8]) -> None:
    """Refuse a mask that introduces objects if 255 has more pixels than all ids: it is an object then, not void.

    Args:
        source: the mask, for the message.
        ids: (H, W) uint8.
    """
    counts = pixel_counts(ids)
    of_objects = int(counts[1:VOID].sum())
    if 0 < of_objects < counts[VOID]:
        raise DataError(
            f"{source}: value 255 means void (not scored), but has {counts[VOID]} pixels, more than the {of_objects} "
            "of all objects; if 255 is an object, give it an id of 1 to 254"
        )
