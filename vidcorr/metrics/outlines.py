"""Masks cropped to their bounding boxes, with their boundaries: the cost of J and F grows with the objects' size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

BOUND = 0.008
"""Tolerance of F as a fraction of the image's diagonal."""

Masks: TypeAlias = "Tensor | NDArray[Any]"


@dataclass(frozen=True, eq=False)
class Outline:
    """A mask cropped to its bounding box, sufficient for J and F.

    Attributes:
        shape: (H, W) of the image.
        top, left: first pixel of the crops in the image.
        mask: (h, w) uint8 in {0, 1}, the crop: bounding box and a pixel around it, inside the image.
        edge: (h, w) in {0, 1}: pixels of the crop that differ from their neighbour to the right, below, or below right.
        area: pixels of the mask.
        length: pixels of the edge.
        radius: tolerance of F in pixels; a fraction is taken as MOSEv2's code does, see `_shifted_disk`.
    """

    shape: tuple[int, int]
    top: int
    left: int
    mask: NDArray[np.uint8]
    edge: NDArray[np.uint8]
    area: int
    length: int
    radius: float

    @cached_property
    def near(self) -> NDArray[np.uint8]:
        """Pixels within `radius` of the edge, x² + y² ≤ radius²: (h + 2r, w + 2r) in {0, 1}, with r pixels around it.

        The image is an integer with a bit per pixel, and a shift moves all pixels: several times as fast as OpenCV.
        """
        r, (h, w) = math.ceil(2 * self.radius + 1) // 2, self.edge.shape
        framed = np.zeros((h + 2 * r, w + 2 * r), dtype=np.uint8)
        framed[r : r + h, r : r + w] = self.edge
        if self.radius != r:
            import cv2

            return np.asarray(cv2.dilate(framed, _shifted_disk(self.radius)))
        width, bits = w + 2 * r, int.from_bytes(np.packbits(framed).tobytes(), "big")
        near, wide, reach = 0, bits, 0
        for y in range(r, -1, -1):  # the rows of the disk, from the outermost and shortest
            while reach < math.isqrt(r * r - y * y):
                reach += 1
                wide |= bits << reach | bits >> reach
            near |= wide << y * width | wide >> y * width
        content = np.frombuffer(near.to_bytes((framed.size + 7) // 8, "big"), np.uint8)
        return np.unpackbits(content, count=framed.size).reshape(framed.shape)


def object_outlines(id_map: Masks, objects: Iterable[int], bound: float = BOUND) -> dict[int, Outline]:
    """Find the outlines of the objects of an (H, W) integer id map, by id.

    Raises:
        ValueError: if `bound` is neither a fraction of the diagonal nor an integer number of pixels.
    """
    import cv2

    if bound <= 0 or (bound >= 1 and bound != int(bound)):
        raise ValueError(
            f"bound must be a fraction of the diagonal below 1 or an integer number of pixels, got {bound}"
        )
    ids = integer_ids(id_map, "id map", 2)
    height, width = ids.shape
    radius = int(bound) if bound >= 1 else math.ceil(bound * float(np.linalg.norm(ids.shape)))
    outlines = {}
    for number in objects:
        bits = np.ascontiguousarray(ids == number).view(np.uint8)
        x, y, w, h = cv2.boundingRect(bits)
        top, left = max(y - 1, 0), max(x - 1, 0)
        mask = bits[top : y + h + 1, left : x + w + 1].copy() if w else bits[:0, :0]
        edge = np.zeros_like(mask)
        edge[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
        edge[:-1] |= mask[:-1] ^ mask[1:]
        edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
        area, length = int(np.count_nonzero(mask)), int(np.count_nonzero(edge))
        outlines[number] = Outline((height, width), top, left, mask, edge, area, length, radius)
    return outlines


def jaccard(prediction: Outline, target: Outline) -> float:
    """Compute J of two masks of an image; two empty masks are equal."""
    shared = shared_pixels(prediction.mask, prediction, target.mask, target)
    union = prediction.area + target.area - shared
    return shared / union if union else 1.0


def boundary_score(prediction: Outline, target: Outline) -> float:
    """Compute F of two masks of an image, with the outlines' radius."""
    if (prediction.shape, prediction.radius) != (target.shape, target.radius):
        sizes = " and ".join(f"{outline.shape}, {outline.radius} px" for outline in (prediction, target))
        raise ValueError(f"prediction and target differ in size or radius: {sizes}")
    if not prediction.length or not target.length:
        return float(prediction.length == target.length)
    precision = shared_pixels(prediction.edge, prediction, target.near, target) / prediction.length
    recall = shared_pixels(target.edge, target, prediction.near, prediction) / target.length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def sobel_outline(outline: Outline) -> Outline:
    """Return an outline with the edge by Sobel: pixels with a non-zero 3 × 3 gradient, on both sides of the boundary.

    The picture is padded by reflection without its border pixel (OpenCV's default), so a mask has no edge along the
    border.
    """
    import cv2

    if not outline.area:
        return outline
    (height, width), (rows, columns) = outline.mask.shape, outline.shape
    above, left = min(outline.top, 1), min(outline.left, 1)
    below, right = min(rows - outline.top - height, 1), min(columns - outline.left - width, 1)
    framed = np.pad(outline.mask, ((above, below), (left, right)))  # background around the crop, inside the picture
    across, down = cv2.Sobel(framed, cv2.CV_16S, 1, 0), cv2.Sobel(framed, cv2.CV_16S, 0, 1)
    edge = ((across != 0) | (down != 0)).astype(np.uint8)[above : above + height, left : left + width]
    return replace(outline, edge=edge, length=int(np.count_nonzero(edge)))


def shared_pixels(a: NDArray[np.uint8], of_a: Outline, b: NDArray[np.uint8], of_b: Outline) -> int:
    """Count the pixels of an image that are 1 in two crops of outlines; b may be `near`, which is larger."""
    if of_a.shape != of_b.shape:
        raise ValueError(f"prediction and target differ in size: {of_a.shape} and {of_b.shape}")
    margin = (len(b) - len(of_b.mask)) // 2
    y, x = of_b.top - margin - of_a.top, of_b.left - margin - of_a.left
    part_of_a = a[max(y, 0) : max(y + b.shape[0], 0), max(x, 0) : max(x + b.shape[1], 0)]
    part_of_b = b[max(-y, 0) : max(a.shape[0] - y, 0), max(-x, 0) : max(a.shape[1] - x, 0)]
    return int(np.count_nonzero(part_of_a & part_of_b))


def as_array(masks: Masks) -> NDArray[Any]:
    """Return a tensor of any device, or an array, as an array; bfloat16 as float32, since NumPy has none."""
    if not hasattr(masks, "detach"):  # torch is not imported here, for the start of `vidcorr score`
        return np.asarray(masks)
    tensor = masks.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def as_pair(prediction: Masks, target: Masks) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as arrays.

    Raises:
        ValueError: if the shapes differ.
    """
    predicted, wanted = as_array(prediction), as_array(target)
    if predicted.shape != wanted.shape:
        raise ValueError(f"prediction is {predicted.shape}, target is {wanted.shape}")
    return predicted, wanted


def binary_masks(prediction: Masks, target: Masks, void: Masks | None) -> tuple[NDArray[np.bool_], ...]:
    """Return both masks as (T, H, W) bool arrays without the void pixels.

    Raises:
        ValueError: for masks of different shapes, or with values other than 0 and 1.
    """
    given = {"prediction": prediction, "target": target, "void": void}
    arrays = {label: as_array(mask) for label, mask in given.items() if mask is not None}
    if arrays["target"].ndim != 3 or len({mask.shape for mask in arrays.values()}) > 1:
        shapes = ", ".join(f"{label} {mask.shape}" for label, mask in arrays.items())
        raise ValueError(f"masks must be (T, H, W) of one shape, got {shapes}")
    for label, mask in arrays.items():
        if mask.dtype != bool and not (mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all()):
            raise ValueError(f"{label} must be bool, or integers 0 and 1, got {value_span(mask)}")
    counted = ~arrays.pop("void", np.zeros(1)).astype(bool)
    return tuple(mask.astype(bool) & counted for mask in arrays.values())


def integer_ids(ids: Masks, label: str, ndim: int) -> NDArray[Any]:
    """Return `ids` as an array.

    Raises:
        ValueError: unless `ids` are integers of `ndim` axes; begins with `label`.
    """
    array = as_array(ids)
    if array.ndim != ndim or array.dtype.kind not in "iub":
        shape = "(T, H, W)" if ndim == 3 else "(H, W)"
        raise ValueError(f"{label} must be {shape} integer ids, got {array.dtype} {array.shape}")
    return array


def integer_pair(prediction: Masks, target: Masks, ndim: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return predicted and annotated ids of `ndim` axes as arrays; errors of `integer_ids` and `as_pair`."""
    return as_pair(integer_ids(prediction, "prediction", ndim), integer_ids(target, "target", ndim))


def value_span(values: NDArray[Any]) -> str:
    """Return the type of an array and the range of its values, for error messages."""
    return f"{values.dtype}" + (f" from {values.min()} to {values.max()}" if values.size else "")


@lru_cache(maxsize=16)
def _shifted_disk(radius: float) -> NDArray[np.uint8]:
    """Return the disk of offsets −radius, −radius + 1, … for a fractional radius; it is not centred on a pixel."""
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)
