"""Masks of object ids: reading, writing, palettes, and one check for all layouts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError
from .files import write_atomically
from .images import image_header, opened_image, pixels, require_size

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

VOID = 255
"""Pixel value that is no object; scored as background, as DAVIS's official code does in the semi-supervised task."""


def davis_palette() -> NDArray[np.uint8]:
    """Return the palette of DAVIS and PASCAL VOC: (256, 3) uint8 RGB.

    Bits 0, 1 and 2 of an index go to red, green and blue from the highest bit down, then bits 3, 4 and 5, and so on.

    Example:
        >>> davis_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    bits = [((index >> (3 * level + channel)) & 1) << (7 - level) for level in range(3)]
    return np.asarray(sum(bits), dtype=np.uint8)


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically.

    Args:
        path: the file; its folder exists.
        ids: index of each pixel.
        palette: `(256, 3)` RGB of each index.
    """
    from PIL import Image

    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    write_atomically(path, content.getvalue())


def read_mask(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an indexed or 8-bit grey PNG: (H, W) uint8 of palette indices or grey values.

    Args:
        path: the PNG.
        size: (height, width) to bring it to by nearest pixel where it differs; readers refuse such masks unless
            asked to tolerate them.

    Raises:
        DecodingError: if the file cannot be decoded or exceeds the limits of `guards`.
        DataError: if it holds colours or 16-bit values.
    """
    from PIL import Image

    with opened_image(path) as image:
        check_mask_mode(path, image)
        if size is None or image.size == size[::-1]:
            return np.array(image, dtype=np.uint8)
        return np.array(image.resize(size[::-1], Image.Resampling.NEAREST), dtype=np.uint8)


def check_mask_mode(path: Path, image: Image.Image) -> None:
    """Refuse an image that cannot hold object ids: expected are palette, 8-bit grey and 1-bit PNGs.

    Raises:
        DataError: naming the mode or format and what to do.
    """
    refuse_jpeg(path, image)
    if image.mode in ("P", "L", "1"):
        return
    if image.mode.startswith("I"):
        raise DataError(
            f"{path}: 16-bit mask; ids above 254 cannot be followed (255 is void): split the objects over several "
            "sequences and save 8-bit indexed PNGs"
        )
    raise DataError(
        f"{path}: mask of mode {image.mode}; expected an indexed or 8-bit grey PNG whose values are object ids"
    )


def refuse_jpeg(path: Path, image: Image.Image) -> None:
    """Refuse a JPEG as a mask: its compression changes the values.

    Raises:
        DataError: for a JPEG.
    """
    if image.format == "JPEG":
        raise DataError(f"{path}: a JPEG does not keep the values of a mask; save it as a PNG")


def check_masks(
    masks: Mapping[int, Path],
    frames: tuple[Path, ...],
    tolerance: int = 0,
    remedy: str = "take frames and masks from the same resolution",
) -> None:
    """Check by their headers that masks can hold ids and are as large as their frames, and these of one size.

    Args:
        masks: frame number → mask.
        frames: all frames in time order.
        tolerance: largest difference of height and of width, pixels.
        remedy: what to do about another size.

    Raises:
        DataError: naming the first mask that fails the check, or the frame.
    """
    first, _ = image_header(frames[0])
    for t, mask in masks.items():
        with opened_image(mask) as image:
            check_mask_mode(mask, image)
            size = image.height, image.width
        expected, _ = image_header(frames[t])
        require_size(frames[t], expected, first)
        if max(abs(size[0] - expected[0]), abs(size[1] - expected[1])) > tolerance:
            raise DataError(f"{mask}: mask is {pixels(size)}, its frame {frames[t].name} {pixels(expected)}; {remedy}")


def object_ids(ids: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the object ids that occur in a mask, ascending, without background and void.

    Example:
        >>> object_ids(np.array([[0, 2], [255, 1]], np.uint8))
        (1, 2)
    """
    import cv2

    counts = cv2.calcHist([ids], [0], None, [VOID + 1], [0, VOID + 1])  # a tenth of the time of `np.unique`
    return tuple(int(value) for value in np.flatnonzero(counts) if 0 < value < VOID)


def check_introductions(
    masks: Mapping[int, Path], starts: Mapping[int, int], remedy: str = "correct the mask or leave the object out"
) -> None:
    """Check that every object is in the mask that introduces it; one check for all layouts.

    An object without a pixel there has nothing to follow, and would score 1.0 wherever it stays absent.

    Args:
        masks: frame number → mask.
        starts: object id → number of the frame whose mask introduces it.
        remedy: what to do about an object that is not there.

    Raises:
        DataError: naming the mask, and the ids that it lacks or that cannot be followed.
    """
    if wrong := sorted(i for i in starts if not 0 < i < VOID):
        path = masks[starts[wrong[0]]]
        raise DataError(f"{path}: object {wrong[0]} cannot be followed; ids are 1 to 254, as 255 is void; renumber it")
    for t in sorted(set(starts.values())):
        there = set(object_ids(read_mask(masks[t])))
        if missing := sorted({i for i, start in starts.items() if start == t} - there):
            names = ", ".join(map(str, missing))
            raise DataError(f"{masks[t]}: object {names} starts here, but no pixel of this mask holds it; {remedy}")
