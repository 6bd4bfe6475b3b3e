"""Labels that follow the edges of their frame: a guided filter."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import as_floats


class GuidedFilter:
    """Filter of maps by a frame: in each window the output is an affine function of the frame's colour.

    An object's edge thereby moves to the frame's edge beside it. The coefficients are computed on a coarse grid and
    up-sampled, so the cost hardly depends on the size of the frame.
    Papers: He, Sun and Tang, Guided Image Filtering (ECCV 2010), Eqs. 11-16; the coarse grid is that of He and Sun,
    Fast Guided Filter (2015). Here windows are cut at the border, so that no pixel outside the frame counts.

    Args:
        frame: RGB `(3, H, W)`, uint8, or float in [0, 1].
        radius: radius of the square window as a share of the shorter side, above 0.
        radius_in_cells: the same radius in cells of the grid; 1 or more. A cell is at least a pixel.
        epsilon: added to the variances of colours in [0, 1]; above 0. The larger, the smoother.

    Example:
        >>> frame = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).expand(3, 2, 6)  # an edge
        >>> blurred = torch.tensor([0.0, 0.0, 0.3, 0.7, 1.0, 1.0]).expand(2, 6)
        >>> GuidedFilter(frame, radius=1, radius_in_cells=2, epsilon=1e-4)(blurred)[0].round(decimals=1)
        tensor([0.1000, 0.1000, 0.2000, 0.8000, 0.9000, 0.9000])
        >>> from_bytes = GuidedFilter((255 * frame).byte(), radius=1, radius_in_cells=2, epsilon=1e-4)
        >>> from_bytes(blurred)[0].round(decimals=1)
        tensor([0.1000, 0.1000, 0.2000, 0.8000, 0.9000, 0.9000])
        >>> GuidedFilter(torch.zeros(3, 1, 1), radius=0.05, radius_in_cells=3, epsilon=1e-5)(torch.ones(1, 1))
        tensor([[1.]])
    """

    def __init__(self, frame: Tensor, radius: float, radius_in_cells: int = 3, epsilon: float = 1e-5) -> None:
        self.frame = as_floats(frame)
        height, width = frame.shape[-2:]
        cell = max(radius * min(height, width) / radius_in_cells, 1.0)
        self.radius_in_cells = radius_in_cells
        self.grid = max(round(height / cell), 1), max(round(width / cell), 1)
        self.colour = self._reduced(self.frame)  # (3, h, w), averages over cells, here in float64
        self.mean = self._window_mean(self.colour)
        # the six pairs of channels of a symmetric covariance
        rows, columns = torch.triu_indices(3, 3)
        products = self._window_mean(self.colour[rows] * self.colour[columns])
        covariance = products - self.mean[rows] * self.mean[columns]
        covariance[rows == columns] += epsilon
        self.inverse = symmetric_inverse(covariance)  # (3, 3, h, w)

    def __call__(self, values: Tensor) -> Tensor:
        """Filter a map `(H, W)` of the frame's size; the result is linear in the map."""
        reduced = self._reduced(values[None])
        mean = self._window_mean(reduced)
        covariance = self._window_mean(self.colour * reduced) - self.mean * mean
        slope = (self.inverse * covariance).sum(1)  # (3, h, w): output per unit of red, green and blue
        offset = mean - (slope * self.mean).sum(0, keepdim=True)
        # a place lies in many windows, each with its own affine function: their mean counts
        coefficients = self._window_mean(torch.cat([slope, offset])).float()
        at_pixels = F.interpolate(coefficients[None], size=values.shape, mode="bilinear")[0]
        filtered = at_pixels[3]
        for channel, colour in enumerate(self.frame):
            filtered.addcmul_(at_pixels[channel], colour)
        return filtered

    def _window_mean(self, maps: Tensor) -> Tensor:
        """Return the means of maps `(C, h, w)` over the window around each cell; windows are cut at the border."""
        radius = self.radius_in_cells
        side = 2 * radius + 1
        column_means = F.avg_pool2d(maps, (side, 1), 1, (radius, 0), count_include_pad=False)
        return F.avg_pool2d(column_means, (1, side), 1, (0, radius), count_include_pad=False)

    def _reduced(self, maps: Tensor) -> Tensor:
        """Return the means of maps `(C, H, W)` over the cells of the grid: `(C, h, w)` in double precision."""
        return F.adaptive_avg_pool2d(maps, self.grid).double()


def symmetric_inverse(upper: Tensor) -> Tensor:
    """Return the inverses `(3, 3, …)` of symmetric matrices, given by their upper triangles `(6, …)`."""
    # of the matrix with rows (a, b, c), (b, d, e), (c, e, f)
    a, b, c, d, e, f = upper
    # rows of the adjugate, which is symmetric too
    first = [d * f - e * e, c * e - b * f, b * e - c * d]
    second = [first[1], a * f - c * c, b * c - a * e]
    third = [first[2], second[2], a * d - b * b]
    determinant = a * first[0] + b * first[1] + c * first[2]
    return torch.stack([*first, *second, *third]).unflatten(0, (3, 3)) / determinant
