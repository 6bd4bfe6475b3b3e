"""Crops of pairs of pictures, that the two share or of which one lies in the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vidcorr.videos.files import require_one_of

from .sampling import Box, random_crops


@dataclass(frozen=True)
class PairCrops:
    """Crops of the pairs of a clip: its frames 0 and 1, 2 and 3, …; resized by Pillow, with anti-aliasing.

    Source: CropMAE's code, `data`; Co-Settle's code, `util/video_datasets.py`, which crops float numbers and lets the
    bicubic filter leave [0, 1]: here views are rounded and clipped to uint8.

    Args:
        kind: "shared": one crop and flip for both frames (SiamMAE); "global-to-local": the second view is a crop of the
            resized first view, and each is flipped by itself (CropMAE); "local-to-global": the same, the local view
            first.
        local_area: smallest and largest fraction of the global view's area that the local view takes.
        bicubic: resize the crops bicubically; False: bilinearly.
        squeezed: squeeze the whole frames into squares first, bilinearly (Co-Settle).

    Raises:
        ValueError: for an unknown kind.
    """

    kind: Literal["shared", "global-to-local", "local-to-global"] = "shared"
    local_area: tuple[float, float] = (0.3, 0.6)
    bicubic: bool = False
    squeezed: bool = False

    def __post_init__(self) -> None:
        require_one_of(("shared", "global-to-local", "local-to-global"), kind=self.kind)

    def __call__(
        self,
        frames: Sequence[np.ndarray],
        generator: torch.Generator,
        size: int,
        area: tuple[float, float],
        flip: float,
    ) -> Tensor:
        """Crop, resize and flip the pairs of a clip.

        Args:
            frames: an even number of arrays (H, W, 3) uint8.
            generator: source of the draws.
            size: side of the views, pixels.
            area: smallest and largest fraction of the frame's area that a crop takes.
            flip: probability of a horizontal flip.

        Returns:
            (T, 3, size, size) uint8.
        """
        views: list[np.ndarray] = []
        squeezed = [self.squeeze(frame, size) for frame in frames]
        for first, second in zip(squeezed[::2], squeezed[1::2], strict=True):
            height, width = first.shape[:2]
            (box,) = random_crops(height, width, 1, area, generator)
            (inner,) = random_crops(size, size, 1, self.local_area, generator)
            flips = (torch.rand(2, generator=generator) < flip).tolist()
            views += self.views(first, second, size, [box, inner], flips)
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous()

    def squeeze(self, frame: np.ndarray, size: int) -> np.ndarray:
        """Return a frame as it is cropped: squeezed into a square if that is set."""
        height, width = frame.shape[:2]
        return resized_crop(frame, (0, 0, height, width), size) if self.squeezed else frame

    def views(
        self, first: np.ndarray, second: np.ndarray, size: int, boxes: Sequence[Box], flips: Sequence[bool]
    ) -> list[np.ndarray]:
        """Return the two views of a pair, (size, size, 3) uint8.

        Args:
            first: (H, W, 3) uint8.
            second: (H, W, 3) uint8, used by "shared" alone.
            size: side of the views, pixels.
            boxes: the crop of the frame, and the local crop of the resized view.
            flips: whether each view is flipped; "shared" takes the first for both.
        """
        outer = resized_crop(first, boxes[0], size, self.bicubic)
        if self.kind == "shared":
            pair = [outer, resized_crop(second, boxes[0], size, self.bicubic)]
            flips = [flips[0], flips[0]]
        else:
            pair = [outer, resized_crop(outer, boxes[1], size, self.bicubic)]
        if self.kind == "local-to-global":
            pair.reverse()
        return [view[:, ::-1] if flip else view for view, flip in zip(pair, flips, strict=True)]


def resized_crop(frame: np.ndarray, box: Box, size: int, bicubic: bool = False) -> np.ndarray:
    """Cut a box out of a frame (H, W, 3) uint8 and resize it to (size, size, 3) uint8, with anti-aliasing."""
    from PIL import Image

    top, left, height, width = box
    crop = Image.fromarray(np.ascontiguousarray(frame[top : top + height, left : left + width]))
    method = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    return np.asarray(crop.resize((size, size), method))
