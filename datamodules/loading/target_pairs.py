"""Pairs of crops around the target of a sequence, drawn as in the SiamFC code of VFS."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidcorr.datasets.got10k_files import read_annotation
from vidcorr.videos.boxes import centred, context_side, square_crop
from vidcorr.videos.files import DataError
from vidcorr.videos.image_files import image_size, read_image

from .clips import ReplacingDataset

EXEMPLAR = 120
INSTANCE = 255
"""Crop sides of SiamFC's tracker in VFS, pixels."""
SEARCH = INSTANCE - 16
"""Side of the search crops in training, pixels: an instance crop less the room for shifts of up to 4 px."""
SHIFT = 4.0  # most shift of a crop down or across, in its pixels
STRETCH = 0.05  # most change of a crop's scale, a fraction
MAX_GAP = 100
"""The frames of a pair are fewer than this apart."""


class TargetPairs(ReplacingDataset):
    """Pairs of crops of a sequence.

    Args:
        folders: folders of the sequences.
        length: pairs in an epoch; pair i comes from sequence i modulo the number of sequences.
        seed: seed of all draws.
    """

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Draw two frames of a sequence: `exemplar` and `search`, crops (3, size, size) uint8, and `video_index`."""
        folder = Path(self.path(item))
        frames, boxes, visible = read_annotation(folder)  # paths, (T, 4), and the target's visible parts or None
        usable = usable_boxes(boxes, image_size(frames[0]), visible)
        pair = draw_pair(np.flatnonzero(usable), MAX_GAP, generator)
        if pair is None:
            raise DataError(f"{folder}: no usable boxes within {MAX_GAP} frames; take it out of list.txt")
        sample: dict[str, Any] = {"video_index": item}
        for name, t, size in zip(("exemplar", "search"), pair, (EXEMPLAR, SEARCH), strict=True):
            crop = training_crop(read_image(frames[t]), boxes[t], size, generator)
            sample[name] = torch.from_numpy(crop).permute(2, 0, 1).contiguous()
        return sample


def usable_boxes(
    boxes: NDArray[np.float64], size: tuple[int, int], visible: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Return which boxes are usable for training: finite, in the image, of sensible size, and not hidden.

    Part of the box must lie in the image. Sides are 20 to 500 px and 1 to 50 % of the frame's sides; width / height is
    between 1/4 and 4. The visible part (0 to 8), if known, is above 1 and above 0.3 of the sequence's maximum.
    Source: SiamFC code of VFS, which does not check the position of the box.

    Args:
        boxes: (T, 4) one-based x, y, width, height.
        size: (height, width) of the frames, pixels.
        visible: (T,) visible parts.

    Returns:
        (T,) bool.

    Example:
        >>> sides = [(20, 20), (500, 200), (25, 100), (19.9, 30), (501, 150), (40, 201), (25, 101), (104, 25)]
        >>> boxes = np.array([[1, 1, width, height] for width, height in sides])
        >>> usable_boxes(boxes, size=(400, 1000))
        array([ True,  True,  True, False, False, False, False, False])
        >>> usable_boxes(np.array([[1, 1, 39.9, 30], [1, 1, 40, 30], [1, 1, np.nan, 30]]), size=(2000, 4000))
        array([False,  True, False])
        >>> corners = [(-29, 10), (10, -40), (101, 10), (10, 81), (-28, 10), (10, -28), (100, 10), (10, 80)]
        >>> usable_boxes(np.array([[x, y, 30.0, 30] for x, y in corners]), size=(80, 100))  # the first four lie outside
        array([False, False, False, False,  True,  True,  True,  True])
        >>> usable_boxes(boxes[[0, 0, 0, 0]], size=(400, 1000), visible=np.array([8, 2.5, 2.4, 0]))
        array([ True,  True, False, False])
        >>> usable_boxes(boxes[[0, 0, 0]], size=(400, 1000), visible=np.array([1.05, 1, 2]))
        array([ True, False,  True])
    """
    corners = boxes[:, :2]
    sides = boxes[:, 2:]
    extent = np.array(size[::-1])  # width, height of the frame
    fractions = sides / extent
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sides[:, 0] / sides[:, 1]
    usable = ((sides >= 20) & (sides <= 500) & (fractions >= 0.01) & (fractions <= 0.5)).all(axis=1)
    usable &= (corners < extent + 1).all(axis=1) & (corners + sides > 1).all(axis=1)  # one-based: meets the frame
    usable &= (ratio >= 0.25) & (ratio <= 4) & np.isfinite(boxes).all(axis=1)
    if visible is not None:
        usable &= visible > max(1.0, 0.3 * visible.max(initial=0.0))
    return usable


def draw_pair(frames: NDArray[np.int64], max_gap: int, generator: torch.Generator) -> tuple[int, int] | None:
    """Draw two frame indices, the earlier first, uniformly from all pairs less than `max_gap` apart.

    Args:
        frames: (n,) indices to choose from, ascending.
        max_gap: frames; the two frames are closer than this.
        generator: source of the draw.

    Returns:
        The pair, or None if no frames are close enough.

    Example:
        >>> draw_pair(np.array([0, 99, 300]), max_gap=100, generator=torch.Generator())
        (0, 99)
        >>> draw_pair(np.array([0, 100, 300]), max_gap=100, generator=torch.Generator())
    """
    # of each frame, the number of later frames with which it makes a pair
    partners = np.searchsorted(frames, frames + max_gap) - np.arange(len(frames)) - 1
    ends = np.cumsum(partners)  # pairs are numbered in the order of their first frame; a frame's pairs end here
    if not partners.any():
        return None
    pair = int(torch.randint(int(ends[-1]), (), generator=generator))
    first = int(np.searchsorted(ends, pair, side="right"))
    # the pair's number among the pairs of its first frame; number 0 is the pair with the next of `frames`
    number = pair - (ends[first] - partners[first])
    return int(frames[first]), int(frames[first + 1 + number])


def training_crop(
    image: NDArray[np.uint8], box: NDArray[np.float64], size: int, generator: torch.Generator
) -> NDArray[np.uint8]:
    """Cut a crop at the tracker's scale, shifted by up to `SHIFT` of its pixels and zoomed by up to `STRETCH`.

    As in the SiamFC code of VFS, one of OpenCV's five interpolations, drawn at random, resizes it.

    Args:
        image: (H, W, 3) uint8.
        box: one-based x, y, width, height.
        size: side of the crop, pixels; the target has the same scale as in an exemplar of `EXEMPLAR` px.
        generator: source of the draws.

    Returns:
        (size, size, 3) uint8.
    """
    import cv2

    stretch, down, across, choice = torch.rand(4, dtype=torch.float64, generator=generator).tolist()
    y, x, height, width = centred(box).tolist()  # centre, counted from 0, and sides
    zoom = 1 + STRETCH * (2 * stretch - 1)
    # pixels of the frame per pixel of the crop: an exemplar shows the square of `context_side`, box and surroundings
    scale = context_side(height, width) / EXEMPLAR / zoom
    shifted_y = y + SHIFT * (2 * down - 1) * scale
    shifted_x = x + SHIFT * (2 * across - 1) * scale
    methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_LANCZOS4)
    method = methods[int(choice * len(methods))]
    return square_crop(image, (shifted_y, shifted_x), size * scale, size, method)
