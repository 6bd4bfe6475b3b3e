"""Sizes of a video's frames before and after the reduction, and conversions between them."""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional.device import to_device
from ..functional.propagation.coding import NetworkInput, Size, covered_size


@dataclass(frozen=True)
class FrameSizes:
    """Sizes of a video's frames and of the input of the network, (H, W).

    Attributes:
        original: size of the original frames, pixels.
        reduced: size of reduced frames, before the protocol's sizing.
        covered: size that the feature map covers, padding included, in pixels of the reduced frame.
        covered_of_original: the same in pixels of the original frame.
    """

    original: Size
    reduced: Size
    covered: Size
    covered_of_original: Size

    @classmethod
    def of(cls, extractor: nn.Module, size: Size, protocol: NetworkInput, short_side: int | None = None) -> Self:
        """Return the sizes for an extractor under a protocol.

        Args:
            extractor: its attribute `multiple`, if it has one, divides the sides of the network's input.
            size: (H, W) of the frames, pixels.
            protocol: the sizing; a protocol with an input size ignores `short_side`.
            short_side: short side to which larger frames are reduced, pixels; None keeps the original size.

        Raises:
            ValueError: if short_side is below 1.
        """
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, or null for the frames' own size; got {short_side}")
        factor = 1.0
        if short_side is not None and protocol.input_size is None:
            factor = min(1.0, short_side / min(size))
        reduced = round(size[0] * factor), round(size[1] * factor)
        covered = covered_size(reduced, protocol, getattr(extractor, "multiple", 1))
        height = round(covered[0] * size[0] / reduced[0])
        width = round(covered[1] * size[1] / reduced[1])
        return cls(size, reduced, covered, (height, width))

    def reduce(self, frame: Tensor) -> Tensor:
        """Resize a frame, uint8 `(3, H, W)`, to `reduced`."""
        import cv2

        if self.reduced == self.original:
            return frame
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), self.reduced[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Resize ids `(H, W)` to `covered`: nearest pixel, background in the padding."""
        if self.reduced != self.original:
            ids = F.interpolate(ids[None, None], self.reduced, mode="nearest-exact")[0, 0]
        below = self.covered[0] - self.reduced[0]
        right = self.covered[1] - self.reduced[1]
        return F.pad(ids, (0, right, 0, below))

    def reduce_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from original to reduced pixels; 0 is the centre of the first pixel."""
        if self.reduced == self.original:
            return points
        return (points + 0.5) * self._factor - 0.5

    def restore_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from reduced to original pixels."""
        if self.reduced == self.original:
            return points
        return (points + 0.5) / to_device(self._factor, points.device) - 0.5

    @property
    def _factor(self) -> Tensor:
        across = self.reduced[1] / self.original[1]
        down = self.reduced[0] / self.original[0]
        return torch.tensor([across, down], dtype=torch.float64)
