"""Masks of a video: their frames, their sizes, and the meaning of their values, which all of them decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import DataError, twin_of
from .folders import list_folders, list_images
from .images import image_size, open_image, pixels, require_size
from .mask_files import (
    PLAIN_MODES,
    VOID,
    Colour,
    MaskImage,
    check_mask_mode,
    colour_of_ids,
    decode_mask,
    object_ids,
    pixel_counts,
    read_mask,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def list_frames(folder: Path) -> tuple[Path, ...]:
    """Return the JPEG and PNG files of a sequence, in the order of the numbers in their names.

    Raises:
        DataError: if there are fewer than two, or their order is unclear.
    """
    frames = list_images(folder)
    if len(frames) < 2:
        raise DataError(f"{folder}: {len(frames)} frames; a sequence needs at least 2")
    return frames


def mask_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a video's folder of masks, a folder per object; [""] if it holds the masks.

    Raises:
        DataError: if the folder holds both masks and folders.
    """
    folders = list_folders(folder) if folder.is_dir() else []
    masks = list_images(folder)
    if folders and masks:
        raise DataError(
            f"{folder}: holds the mask {masks[0].name} and the folder {folders[0]}; keep masks of the video, or a "
            "folder for each object, and move the others elsewhere"
        )
    return folders or [""]


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
    masks: dict[int, Path] = {}
    for mask in list_images(folder):
        if mask.stem not in number:
            frame = frames[0].with_name(mask.stem + frames[0].suffix)
            remedy = twin_of(frame) or "; add the frame or remove the mask"
            raise DataError(f"{mask}: mask without its frame in {frame.parent}{remedy}")
        masks[number[mask.stem]] = mask
    missing = [frame.name for t, frame in enumerate(frames) if t not in masks]
    if complete and missing:
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

    Masks in colours and of 16 bits are decoded, since their headers do not show whether they hold ids.

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
            must_decode = image.mode not in PLAIN_MODES
        expected = image_size(frames[t]) if t else first
        require_size(frames[t], expected, first)
        if max(abs(size[0] - expected[0]), abs(size[1] - expected[1])) > tolerance:
            raise DataError(f"{mask}: mask is {pixels(size)}, its frame {frames[t].name} {pixels(expected)}; {remedy}")
        if must_decode:
            read_mask(mask)
    return first


def ids_by_value(masks: Iterable[Path], has_void: bool = True) -> dict[int, int]:
    """Return pixel value → object id of a video's masks; empty if the values are the ids.

    The rule for truth and predictions alike: where all masks of a video hold only 0 and 255, 255 is its object, with id
    1. Beside other ids 255 is void. Masks are read up to the first that holds another id.

    Args:
        masks: all masks of the video.
        has_void: 255 is void beside ids; False: an ordinary id, by the rules of some data sets.

    Raises:
        DataError: if a mask is damaged or holds no ids, or its void outweighs the first ids.
    """
    has_white = False
    for mask in masks:
        ids = read_mask(mask)
        if object_ids(ids):
            if has_void:
                refuse_large_void(mask, ids)
            return {}
        has_white = has_white or bool((ids == VOID).any())
    return {VOID: 1} if has_white else {}


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
            "of all objects; if 255 is an object, give it an id of 1 to 254; resize masks by nearest pixel"
        )


def renumbered(ids: NDArray[np.uint8], values: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return a mask with other ids.

    Args:
        ids: (H, W).
        values: pixel value → object id; other values stay.

    Example:
        >>> renumbered(np.array([[0, 255]], np.uint8), {255: 1}).tolist()
        [[0, 1]]
    """
    if not values:
        return ids
    table = np.arange(256, dtype=np.uint8)
    table[list(values)] = list(values.values())
    return table[ids]


def read_ids(
    path: Path, values: Mapping[int, int], masks: Iterable[Path], size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a mask of a video with the video's ids, (H, W) uint8.

    A mask of 0 and 255 alone, in a video with ids, is void if other masks of the video hold void beside ids. A 1-bit
    mask is object 1 if this is the video's only object.

    Args:
        path: the mask.
        values: pixel value → object id of the video, by `ids_by_value`.
        masks: all masks of the video.
        size: (height, width) of the result, resized by nearest pixel; None: as stored.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if the mask holds no ids, or its 255 may be void or an object.
    """
    mask = decode_mask(path, size)
    masks = tuple(masks)
    if mask.form == "palette":
        _refuse_colours_among_ids(path, masks)
    if mask.is_reduced:
        _refuse_other_colours(path, mask, masks)
    has_white = VOID not in values and bool((mask.ids == VOID).any())
    if has_white and not object_ids(mask.ids):
        values = _meaning_of_white(path, masks, values)
    return renumbered(mask.ids, values)


def _refuse_colours_among_ids(path: Path, masks: Iterable[Path]) -> None:
    """Refuse an RGB mask if another mask of its video holds ids, since both need not number the objects alike."""
    for mask in masks:
        with open_image(mask) as image:
            if image.mode not in ("RGB", "RGBA"):
                raise DataError(
                    f"{path}: is in colours, {mask.name} is not; save all masks of the video as indexed PNGs"
                )


def _refuse_other_colours(path: Path, mask: MaskImage, masks: tuple[Path, ...]) -> None:
    """Refuse a mask with a reduced palette that disagrees with another one of its video about the colour of an id.

    A program that reduces each picture to its colours numbers them anew in every frame.
    """
    other, colours = _first_reduced(masks, _times_of_change(masks))
    ids = {colour: number for number, colour in colours.items()}
    for number, colour in colour_of_ids(mask).items():
        expected = ids.get(colour, number)
        if colours.get(number, colour) != colour or expected != number:
            raise DataError(
                f"{path}: its palette gives the colour {colour} to id {number}, unlike that of {other}; save all masks "
                "of the video with one palette"
            )


def _times_of_change(masks: Iterable[Path]) -> tuple[int, ...]:
    """Return the times at which files changed, for functions that cache what they read."""
    return tuple(mask.stat().st_mtime_ns for mask in masks)


@lru_cache(maxsize=8)
def _first_reduced(masks: tuple[Path, ...], changed: tuple[int, ...]) -> tuple[str, dict[int, Colour]]:
    """Return the name of the first mask with a reduced palette, and its colours by id; empty without such a mask.

    Args:
        masks: the files.
        changed: their times of change, so that a changed file is read again.
    """
    for path in masks:
        mask = decode_mask(path)
        if mask.is_reduced:
            return path.name, colour_of_ids(mask)
    return "", {}


def _meaning_of_white(path: Path, masks: tuple[Path, ...], values: Mapping[int, int]) -> dict[int, int]:
    """Return pixel value → object id of a mask of 0 and 255 in a video with ids; empty if 255 is void."""
    found, has_void = _ids_and_void(masks, _times_of_change(masks))
    if has_void or not found:
        return {}
    objects = {values.get(number, number) for number in found}
    with open_image(path) as image:
        is_one_bit = image.mode == "1"
    if is_one_bit and objects == {1}:
        return {VOID: 1}
    listed = ", ".join(map(str, sorted(objects)))
    raise DataError(
        f"{path}: holds only 0 and 255, other masks of the video hold the ids {listed}: 255 may be void or an object; "
        "save all masks of the video with ids"
    )


@lru_cache(maxsize=8)
def _ids_and_void(masks: tuple[Path, ...], changed: tuple[int, ...]) -> tuple[frozenset[int], bool]:
    """Return the ids in masks, and whether a mask holds 255 beside ids; masks are read up to such a mask.

    Args:
        masks: the files.
        changed: their times of change, so that a changed file is read again.
    """
    objects: set[int] = set()
    for mask in masks:
        ids = read_mask(mask)
        found = object_ids(ids)
        objects.update(found)
        if found and (ids == VOID).any():
            return frozenset(objects), True
    return frozenset(objects), False


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
        values: pixel value → object id; other values stay.
        remedy: remedy in the message about a missing object.

    Raises:
        DataError: naming the mask and the missing ids.
    """
    for t in sorted(set(starts.values())):
        starting = {i for i, start in starts.items() if start == t}
        shown = object_ids(read_ids(masks[t], values, masks.values()))
        missing = sorted(starting.difference(shown))
        if missing:
            names = ", ".join(map(str, missing))
            raise DataError(
                f"{masks[t]}: object {names} starts here, but no pixel of this mask holds it (ids are 1 to 254); "
                f"{remedy}"
            )
