"""Masks as COCO writes them: run lengths down the columns, as plain counts or as a compressed string.

The string codes each count, less the one two before it (from the fourth on), in groups of five bits, least first; the
sixth bit of a group says that another follows, and 48 is added to make it printable.

Source: the COCO API (cocodataset/cocoapi, common/maskApi.c: rleEncode, rleToString, rleFrString).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .guards import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs down the columns of a mask `(H, W)`: of zeros, ones, zeros, …; the first may be 0.

    Example:
        >>> run_lengths(np.array([[0, 1, 1], [0, 0, 1]], bool))
        [2, 1, 1, 2]
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist() if flat.size else []
    return [0, *lengths] if flat.size and flat[0] else lengths


def mask_of(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask `(H, W)` of run lengths.

    Raises:
        DataError: if they are negative or do not add up to H · W.
    """
    lengths = np.asarray(counts, dtype=np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise DataError(f"run lengths: expected non-negative integers that add up to {size[0]} · {size[1]}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size, order="F")


def compressed(counts: Sequence[int]) -> str:
    """Return run lengths as the string that COCO's tools write.

    Example:
        >>> compressed([2, 1, 1, 2]), compressed([0, 6])
        ('2111', '06')
    """
    letters = []
    for number, count in enumerate(counts):
        rest = count - counts[number - 2] if number > 2 else count
        more = True
        while more:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            letters.append(chr(48 + group + 32 * more))
    return "".join(letters)


def uncompressed(text: str) -> list[int]:
    """Return the run lengths of COCO's string.

    Raises:
        DataError: if it is no such string.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise DataError(f"run lengths: not a string of COCO's at {letter!r}")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise DataError("run lengths: the string of COCO's ends within a number")
    return counts


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask `(H, W)` as COCO's `segmentation`: its size and the compressed run lengths."""
    return {"size": [int(length) for length in mask.shape], "counts": compressed(run_lengths(mask))}


def decode_rle(segmentation: Any) -> NDArray[np.bool_]:
    """Return the mask `(H, W)` of a `segmentation` with run lengths, plain or compressed.

    Raises:
        DataError: if it is something else, such as a polygon.
    """
    try:
        height, width = (int(length) for length in segmentation["size"])
        counts = segmentation["counts"]
        lengths = uncompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise DataError("segmentation: expected run lengths, {size: [height, width], counts: …}") from error
    if min(height, width) < 1:
        raise DataError(f"segmentation: expected a size of 1 × 1 or more, got {height} × {width}")
    check_pixels("segmentation", width, height)
    return mask_of(lengths, (height, width))


def masks_by_frame(content: Any) -> dict[int, NDArray[np.uint8]]:
    """Return the ids `(H, W)` of each frame of a COCO file's content.

    An image's frame is its field `frame`, else its `id`. An annotation's object is its `track_id`, else its
    `category_id`; where two of one frame overlap the later is on top.

    Raises:
        DataError: if it is not such content.
    """
    try:
        frames = {image["id"]: int(image.get("frame", image["id"])) for image in content["images"]}
        parts = [
            (frames[found["image_id"]], int(found.get("track_id", found["category_id"])), found["segmentation"])
            for found in content["annotations"]
        ]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError("expected COCO's images and annotations with image_id, category_id, segmentation") from error
    masks: dict[int, NDArray[np.uint8]] = {}
    for frame, number, segmentation in parts:
        if not 1 <= number <= 255:
            raise DataError(f"object {number}: expected a number of 1 to 255")
        if frame < 0:
            raise DataError(f"frame {frame}: expected a number of 0 or more")
        inside = decode_rle(segmentation)
        ids = masks.setdefault(frame, np.zeros(inside.shape, np.uint8))
        if ids.shape != inside.shape:
            raise DataError(f"frame {frame}: masks of two sizes, {ids.shape} and {inside.shape}")
        ids[inside] = number
    return masks
