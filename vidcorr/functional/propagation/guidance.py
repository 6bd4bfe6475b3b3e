"""Labels that follow the edges of their frame: a guided filter."""

import torch
import torch.nn.functional as F
from torch import Tensor


class GuidedFilter:
    """Filter of maps by a frame: in each window the output is an affine function of the frame's colour.

    The coefficients are computed on a coarse grid, and up-sampled: an object's edge moves to the frame's edge beside
    it, at a cost that hardly depends on the size of the frame.

    Papers: He, Sun and Tang, Guided Image Filtering (ECCV 2010), Eqs. 11-16; the coarse grid is that of He and Sun,
    Fast Guided Filter (2015). Differences: windows are cut at the border, so that no pixel outside the frame counts.
    """

    def __init__(self, frame: Tensor, radius: float, cells: int, epsilon: float) -> None:
        """Prepare the filter of a frame.

        Args:
            frame: RGB `(3, H, W)`, uint8, or float in [0, 1].
            radius: radius of the square window as a share of the shorter side, above 0.
            cells: the same radius in cells of the grid; 1 or more. A cell is at least a pixel.
            epsilon: added to the variances of colours in [0, 1]; above 0. The larger, the smoother.
        """
        self.frame = frame.float() / 255 if frame.dtype == torch.uint8 else frame
        height, width = frame.shape[-2:]
        cell = max(radius * min(height, width) / cells, 1.0)
        self.cells = cells
        self.grid = max(round(height / cell), 1), max(round(width / cell), 1)
        self.colour = self._reduced(self.frame)
        self.mean = self._window_mean(self.colour)
        products = self._window_mean((self.colour[:, None] * self.colour).flatten(0, 1)).unflatten(0, (3, 3))
        covariance = products - self.mean[:, None] * self.mean
        regularised = covariance.permute(2, 3, 0, 1).double() + epsilon * torch.eye(3, device=frame.device)
        self.inverse = torch.linalg.inv(regularised).float()

    def __call__(self, values: Tensor) -> Tensor:
        """Return a filtered map `(H, W)` of a map of the frame's size."""
        reduced = self._reduced(values[None])
        mean = self._window_mean(reduced)
        covariance = self._window_mean(self.colour * reduced) - self.mean * mean
        slope = torch.einsum("hwij,jhw->ihw", self.inverse, covariance)
        offset = mean - (slope * self.mean).sum(0, keepdim=True)
        coefficients = self._window_mean(torch.cat([slope, offset]))
        at_pixels = F.interpolate(coefficients[None], size=values.shape, mode="bilinear")[0]
        filtered = at_pixels[3]
        for channel, colour in enumerate(self.frame):
            filtered = torch.addcmul(filtered, at_pixels[channel], colour)
        return filtered

    def _window_mean(self, maps: Tensor) -> Tensor:
        """Return the means of maps `(C, h, w)` over the windows around each cell, cut at the border; axis by axis."""
        side = 2 * self.cells + 1
        down = F.avg_pool2d(maps[None], (side, 1), 1, (self.cells, 0), count_include_pad=False)
        return F.avg_pool2d(down, (1, side), 1, (0, self.cells), count_include_pad=False)[0]

    def _reduced(self, maps: Tensor) -> Tensor:
        """Return the means of maps `(C, H, W)` over the cells of the grid: `(C, h, w)`."""
        return F.adaptive_avg_pool2d(maps, self.grid)
