"""Masks as COCO writes them: run lengths down the columns, as plain counts or as a compressed string."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .guards import check_pixels, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask `(H, W)` as COCO's `segmentation`: its size and the compressed run lengths.

    Raises:
        DataError: without pycocotools.
    """
    counts = require_pycocotools().encode(np.asfortranarray(mask, np.uint8))["counts"]
    return {"size": [int(length) for length in mask.shape], "counts": counts.decode()}


def decode_rle(segmentation: Any) -> NDArray[np.bool_]:
    """Return the mask `(H, W)` of a `segmentation` with run lengths, plain or compressed.

    Raises:
        DataError: if it is something else, such as a polygon, or without pycocotools.
    """
    tools = require_pycocotools()
    try:
        height, width = (int(length) for length in segmentation["size"])
        counts = segmentation["counts"]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise DataError("segmentation: expected run lengths, {size: [height, width], counts: …}") from error
    if min(height, width) < 1:
        raise DataError(f"segmentation: expected a size of 1 × 1 or more, got {height} × {width}")
    check_pixels("segmentation", width, height)
    wrong = f"run lengths: expected those of {height} × {width} px in COCO's form, got {counts!r:.60}"
    if isinstance(counts, list) and (not all(isinstance(n, int) for n in counts) or sum(counts) != height * width):
        raise DataError(wrong)
    try:
        plain = {"size": [height, width], "counts": counts}
        encoded = plain if isinstance(counts, str) else tools.frPyObjects(plain, height, width)
        mask: NDArray[np.uint8] = tools.decode(encoded)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(wrong) from error
    if isinstance(counts, str) and tools.encode(mask)["counts"].decode() != counts:  # pixels that it leaves out: any
        raise DataError(wrong)
    return mask.astype(bool)


def require_pycocotools() -> Any:
    """Return pycocotools' module of masks; raise DataError, one line that says how to get it, where it is missing."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError('COCO\'s masks need pycocotools: pip install "vidcorr[coco]"') from error
    return mask


def read_coco_masks(path: Path) -> dict[int, NDArray[np.uint8]]:
    """Return the ids `(H, W)` of each frame of a file in COCO's format.

    An image's frame is its field `frame`, else its `id`. An annotation's object is its `track_id`, else its
    `category_id`; where two of one frame overlap the later is on top.

    Raises:
        DataError: naming the file, if it is not such a file or a mask cannot be read.
    """
    content = read_json(path, "correct it")
    masks: dict[int, NDArray[np.uint8]] = {}
    try:
        frames = {image["id"]: int(image.get("frame", image["id"])) for image in content["images"]}
        for found in content["annotations"]:
            frame, number = frames[found["image_id"]], int(found.get("track_id", found["category_id"]))
            if not 1 <= number <= 255 or frame < 0:
                raise DataError(f"object {number} of frame {frame}: expected objects of 1 to 255, frames of 0 or more")
            inside = decode_rle(found["segmentation"])
            ids = masks.setdefault(frame, np.zeros(inside.shape, np.uint8))
            if ids.shape != inside.shape:
                raise DataError(f"frame {frame}: masks of two sizes, {ids.shape} and {inside.shape}")
            ids[inside] = number
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        wanted = "images and annotations with image_id, category_id, segmentation"
        raise DataError(f"{path}: expected COCO's {wanted}") from error
    return masks
