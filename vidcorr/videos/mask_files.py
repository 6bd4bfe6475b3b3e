"""Masks of object ids: indexed PNGs, painted images, and the checks for all layouts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import DataError
from .images import image_size, list_images, open_image, pixels, read_whole, require_size

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

VOID = 255
"""Pixel value of void; scored as background, as by DAVIS's official code in the semi-supervised task."""
MOST_COLOURS = 32
"""Largest number of colours of a painted mask without the background; more colours mean smoothed edges."""


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


def read_mask(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an indexed or 8-bit grey PNG: (H, W) uint8 of palette indices or grey values.

    Args:
        path: the PNG.
        size: (height, width) of the result, resized by nearest pixel; readers refuse masks of other sizes by default.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it holds colours or 16-bit values.
    """
    from PIL import Image

    with open_image(path, read_whole(path)) as image:
        check_mask_mode(path, image)
        at_size = image if size is None else image.resize(size[::-1], Image.Resampling.NEAREST)
        return np.array(at_size, dtype=np.uint8)


def check_mask_mode(path: Path, image: Image.Image, modes: Collection[str] = ("P", "L", "1")) -> None:
    """Refuse an image that cannot hold a mask, or a JPEG, since compression changes the values.

    Args:
        path: the file.
        image: the opened file.
        modes: permitted Pillow modes; by default palette, 8-bit grey and 1 bit, which hold object ids.

    Raises:
        DataError: with the mode or format, and the remedy.
    """
    if image.format == "JPEG":
        raise DataError(f"{path}: a JPEG does not keep the values of a mask; save it as a PNG")
    if image.mode not in modes:
        raise DataError(
            f"{path}: mask of mode {image.mode}; expected an indexed or 8-bit grey PNG whose values are object ids"
        )


def list_frames(folder: Path) -> tuple[Path, ...]:
    """Return the images of a sequence, as `list_images`.

    Raises:
        DataError: if there are fewer than two.
    """
    frames = list_images(folder)
    if len(frames) < 2:
        raise DataError(f"{folder}: {len(frames)} frames; a sequence needs at least 2")
    return frames


def match_masks(folder: Path, frames: Sequence[Path], complete: str | None = None) -> dict[int, Path]:
    """Return frame index → mask for a folder of masks named after their frames.

    Args:
        folder: folder of the masks.
        frames: all frames of the video in time order.
        complete: remedy in the message about a frame without a mask; None: frames may lack a mask.

    Raises:
        DataError: if a mask has no frame, or with `complete` a frame has no mask.
    """
    number = {frame.stem: t for t, frame in enumerate(frames)}
    files = list_images(folder)
    if stray := [mask for mask in files if mask.stem not in number]:
        raise DataError(f"{stray[0]}: mask without its frame in {frames[0].parent}; add the frame or remove the mask")
    masks = {number[mask.stem]: mask for mask in files}
    if complete and (missing := [frame.name for t, frame in enumerate(frames) if t not in masks]):
        raise DataError(
            f"{folder}: {len(masks)} masks for {len(frames)} frames, the first without one is {missing[0]}; {complete}"
        )
    return masks


def check_masks(
    masks: Mapping[int, Path],
    frames: tuple[Path, ...],
    tolerance: int = 0,
    remedy: str = "take frames and masks from the same resolution",
) -> tuple[int, int]:
    """Check by headers that masks can hold ids and have the size of their frames, which must be equal for all.

    Args:
        masks: frame index → mask.
        frames: all frames in time order.
        tolerance: largest difference of height and of width, pixels.
        remedy: remedy in the message about a mask's size.

    Returns:
        (height, width) of the frames, pixels.

    Raises:
        DataError: naming the first mask that fails the check, or the frame.
    """
    first = image_size(frames[0])
    for t, mask in masks.items():
        with open_image(mask) as image:
            check_mask_mode(mask, image)
            size = image.height, image.width
        expected = image_size(frames[t]) if t else first
        require_size(frames[t], expected, first)
        if max(abs(size[0] - expected[0]), abs(size[1] - expected[1])) > tolerance:
            raise DataError(f"{mask}: mask is {pixels(size)}, its frame {frames[t].name} {pixels(expected)}; {remedy}")
    return first


def object_ids(ids: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the object ids that occur in a mask, ascending, without background and void.

    Example:
        >>> object_ids(np.array([[0, 2], [255, 1]], np.uint8))
        (1, 2)
    """
    import cv2

    counts = cv2.calcHist([ids], [0], None, [VOID + 1], [0, VOID + 1])  # a tenth of the time of `np.unique`
    return tuple(int(value) for value in np.flatnonzero(counts) if 0 < value < VOID)


def ids_by_value(masks: Iterable[Path]) -> dict[int, int]:
    """Return pixel value → object id of a video's masks; empty if the values are the ids.

    The rule for truth and predictions alike: where all masks of a video hold only 0 and 255, 255 is its object, with id
    1. Beside other ids 255 is void. Masks are read up to the first that holds another id.

    Args:
        masks: all masks of the video.

    Raises:
        DataError: see `read_mask`.
    """
    has_white = False
    for mask in masks:
        ids = read_mask(mask)
        if object_ids(ids):
            return {}
        has_white = has_white or bool((ids == VOID).any())
    return {VOID: 1} if has_white else {}


def renumbered(ids: NDArray[np.uint8], values: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return a mask with other ids.

    Args:
        ids: (H, W).
        values: pixel value → object id, see `ids_by_value`; other values stay.

    Example:
        >>> renumbered(np.array([[0, 255]], np.uint8), {255: 1}).tolist()
        [[0, 1]]
    """
    if not values:
        return ids
    table = np.arange(256, dtype=np.uint8)
    table[list(values)] = list(values.values())
    return table[ids]


def without_void(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the ids of a prompt's mask (H, W): 255 becomes object 1 if it is alone, else background.

    Example:
        >>> without_void(np.array([[0, 255]], np.uint8)).tolist(), without_void(np.array([[2, 255]], np.uint8)).tolist()
        ([[0, 1]], [[2, 0]])
    """
    return renumbered(ids, {VOID: 0 if object_ids(ids) else 1})


def check_introductions(
    masks: Mapping[int, Path], starts: Mapping[int, int], values: Mapping[int, int], remedy: str
) -> None:
    """Check that the mask that introduces an object shows it.

    An object without a pixel cannot be followed, and would score 1.0 while it stays absent.

    Args:
        masks: frame index → mask.
        starts: object id → index of the first frame of the object.
        values: pixel value → object id, see `ids_by_value`.
        remedy: remedy in the message about a missing object.

    Raises:
        DataError: naming the mask and the missing ids.
    """
    for t in sorted(set(starts.values())):
        starting = {i for i, start in starts.items() if start == t}
        if missing := sorted(starting.difference(object_ids(renumbered(read_mask(masks[t]), values)))):
            names = ", ".join(map(str, missing))
            raise DataError(
                f"{masks[t]}: object {names} starts here, but no pixel of this mask holds it (ids are 1 to 254); "
                f"{remedy}"
            )


def read_mask_image(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the ids (H, W) and the palette (256, 3) of an image; see `MaskPrompt.of`."""
    with open_image(path) as image:
        image.verify()
    with open_image(path) as image:
        check_mask_mode(path, image, ("P", "L", "1", "LA", "RGB", "RGBA"))
        image.load()
    if image.mode == "P":
        ids = np.array(image, dtype=np.uint8)
        palette = np.zeros((256, 3), np.uint8)
        colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(colours)] = colours
        if not object_ids(ids):
            palette[1] = palette[VOID]
        ids = without_void(ids)
        used = np.unique(ids)
        if not palette[0].any() or palette[used[used < len(colours)]].any(1).all():
            return ids, palette
    return _ids_of_colours(path, np.array(image.convert("RGBA")))


def _ids_of_colours(path: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Number the colours of a painted mask (H, W, 4) from dark to light; black is background."""
    rgb = np.where(image[..., 3:] < 128, 0, image[..., :3]).astype(np.uint8)
    packed = rgb.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    values, first, numbers = np.unique(packed, return_index=True, return_inverse=True)
    if len(values) > MOST_COLOURS + 1:
        raise DataError(
            f"{path}: {len(values)} colours; a painted mask has flat colours, at most {MOST_COLOURS} besides black: "
            "save it as a PNG without smoothed edges"
        )
    if values[0] != 0:
        raise DataError(f"{path}: no pixel of the mask is black, the background's colour; paint the background black")
    colours = rgb.reshape(-1, 3)[first]
    from_dark = np.argsort(colours.sum(1, dtype=int), kind="stable")
    ids = np.argsort(from_dark).astype(np.uint8)
    palette = davis_palette()
    if np.ptp(colours, axis=1).any():  # greys would tint an overlay poorly
        palette[: len(values)] = colours[from_dark]
    return ids[numbers].reshape(packed.shape), palette
