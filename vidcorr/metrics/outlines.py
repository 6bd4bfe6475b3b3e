"""Masks cropped to their bounding boxes, with their boundaries: the cost of J and F grows with the objects' size."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# tolerance of F as a fraction of the image's diagonal
BOUND = 0.008

Masks: TypeAlias = "Tensor | NDArray[Any]"


@dataclass(frozen=True, eq=False)
class Outline:
    """A mask cropped to its bounding box, sufficient for J and F.

    Attributes:
        shape: (H, W) of the image.
        top, left: first row and column of the crops `mask` and `edge` in the image.
        mask: (h, w) uint8 in {0, 1}, cropped to the bounding box and a pixel around it, inside the image.
        edge: (h, w) in {0, 1}: pixels of the crop that differ from their neighbour to the right, below, or below right.
        area: number of pixels of the mask.
        length: number of pixels of the edge.
        radius: tolerance of F in pixels.
    """

    shape: tuple[int, int]
    top: int
    left: int
    mask: NDArray[np.uint8]
    edge: NDArray[np.uint8]
    area: int
    length: int
    radius: int

    @cached_property
    def near(self) -> NDArray[np.uint8]:
        """Pixels within `radius` r of the edge (x² + y² ≤ r²), (h + 2r, w + 2r) in {0, 1}.

        The frame of `edge` grows by r pixels on all sides. The image is one large integer with a bit per pixel. A shift
        of the integer moves all pixels at once, which is several times as fast as OpenCV.
        """
        r = self.radius
        h, w = self.edge.shape
        framed = np.zeros((h + 2 * r, w + 2 * r), dtype=np.uint8)
        framed[r : r + h, r : r + w] = self.edge
        width = w + 2 * r
        bits = int.from_bytes(np.packbits(framed).tobytes(), "big")
        near = 0
        # the edge, and its pixels shifted by up to `reach` columns to both sides
        widened = bits
        reach = 0
        for y in range(r, -1, -1):
            # half the width of the disk's row y
            while reach < math.isqrt(r * r - y * y):
                reach += 1
                widened |= bits << reach | bits >> reach
            near |= widened << y * width | widened >> y * width
        content = np.frombuffer(near.to_bytes((framed.size + 7) // 8, "big"), np.uint8)
        return np.unpackbits(content, count=framed.size).reshape(framed.shape)


def object_outlines(id_map: Masks, objects: Iterable[int], bound: float = BOUND) -> dict[int, Outline]:
    """Find the outlines of the objects of an (H, W) integer id map, by id.

    Args:
        id_map: ids, on the CPU.
        objects: ids of the objects.
        bound: tolerance of F: pixels if ≥ 1, else a fraction of the diagonal, rounded up to pixels.

    Example:
        >>> ids = np.zeros((100, 200), np.uint8)
        >>> ids[10:14, 20:26] = 7
        >>> outline = object_outlines(ids, [7])[7]
        >>> outline.top, outline.left, outline.mask.shape, outline.area, outline.radius
        (9, 19, (6, 8), 24, 2)
    """
    import cv2

    ids = np.asarray(id_map)
    height, width = ids.shape
    diagonal = float(np.linalg.norm(ids.shape))
    radius = int(bound) if bound >= 1 else math.ceil(bound * diagonal)
    outlines = {}
    for number in objects:
        bits = np.ascontiguousarray(ids == number).view(np.uint8)
        x, y, w, h = cv2.boundingRect(bits)
        top = max(y - 1, 0)
        left = max(x - 1, 0)
        # an empty crop, for an object without a pixel
        mask = bits[:0, :0]
        if w:
            mask = bits[top : y + h + 1, left : x + w + 1].copy()
        edge = np.zeros_like(mask)
        edge[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
        edge[:-1] |= mask[:-1] ^ mask[1:]
        edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
        area = int(np.count_nonzero(mask))
        length = int(np.count_nonzero(edge))
        outlines[number] = Outline((height, width), top, left, mask, edge, area, length, radius)
    return outlines


def jaccard(prediction: Outline, target: Outline) -> float:
    """Compute J of two masks of an image; two empty masks score 1."""
    shared = shared_pixels(prediction.mask, prediction, target.mask, target)
    union = prediction.area + target.area - shared
    return shared / union if union else 1.0


def boundary_score(prediction: Outline, target: Outline) -> float:
    """Compute F of two masks of an image, with the outlines' radius; two empty boundaries score 1, a single one 0."""
    if not prediction.length or not target.length:
        return float(prediction.length == target.length)
    # `near`: the pixels within the tolerance of an edge
    precision = shared_pixels(prediction.edge, prediction, target.near, target) / prediction.length
    recall = shared_pixels(target.edge, target, prediction.near, prediction) / target.length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def shared_pixels(a: NDArray[np.uint8], a_outline: Outline, b: NDArray[np.uint8], b_outline: Outline) -> int:
    """Count the pixels of an image that are 1 in two crops: `mask`, `edge` or, of `b`, `near` of an outline."""
    if a_outline.shape != b_outline.shape:
        raise ValueError(f"prediction and target differ in size: {a_outline.shape} and {b_outline.shape}")
    margin = (len(b) - len(b_outline.mask)) // 2
    y = b_outline.top - margin - a_outline.top
    x = b_outline.left - margin - a_outline.left
    # the overlap, in each crop's own rows and columns; empty if the crops do not meet
    a_rows = slice(max(y, 0), max(y + b.shape[0], 0))
    a_columns = slice(max(x, 0), max(x + b.shape[1], 0))
    b_rows = slice(max(-y, 0), max(a.shape[0] - y, 0))
    b_columns = slice(max(-x, 0), max(a.shape[1] - x, 0))
    return int(np.count_nonzero(a[a_rows, a_columns] & b[b_rows, b_columns]))


def as_array(masks: Masks) -> NDArray[Any]:
    """Return a tensor of any device, or an array, as an array; bfloat16 as float32, since NumPy has none."""
    # torch is not imported here, for the start of `vidcorr score`
    if not hasattr(masks, "detach"):
        return np.asarray(masks)
    tensor = masks.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def as_pair(prediction: Masks, target: Masks) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return prediction and target as arrays; ValueError if the shapes differ."""
    predicted = as_array(prediction)
    wanted = as_array(target)
    if predicted.shape != wanted.shape:
        raise ValueError(f"prediction is {predicted.shape}, target is {wanted.shape}")
    return predicted, wanted
