"""The compactness prior of Liir: affinity windows replaced by mixtures of Gaussians around their peaks."""

import math
from typing import Literal

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from .logsumexp import LOWEST_EXPONENT

SHARPNESS = 20
"""Factor on both sides of a smooth-L1 loss in the public code of MAST and Liir: only small differences are squared."""

# full width at half maximum of 1 cell
_FIXED_VARIANCE = 1 / (8 * math.log(2))

Width = Literal["fixed", "moments"]
Weights = Literal["softmax", "mass"]


@dataclass(frozen=True)
class CompactnessPrior:
    """Mixtures of Gaussians with peak 1 around the largest affinities of a window, which replace the window.

    Paper: Liir, Eq. 7. The sum is not renormalised, as in the public code.

    Attributes:
        components: K, number of Gaussians per window.
        threshold: only windows with a largest affinity above it are replaced.
        width: "fixed": full width at half maximum of 1 cell; "moments": second moment of the affinity around a peak
            over the cells nearest to it, but at least the fixed width.
        weights: weights of the mixture: "softmax" of the peaks' affinities, as in the public code (the larger of two
            peaks gets at most 0.73); "mass": in proportion to the affinity of the cells nearest to a peak, estimated
            from the affinity as in the paper.
    """

    components: PositiveInt = 2
    threshold: float = 0.5
    width: Width = "fixed"
    weights: Weights = "softmax"


@torch.no_grad()
def compact_windows(windows: Tensor, prior: CompactnessPrior, logits: Tensor | None = None) -> Tensor:
    """Return windows; one whose largest affinity is above the threshold becomes a mixture of Gaussians (Liir, Eq. 7).

    Args:
        windows: affinities `(…, P · P)` in square windows of P cells a side.
        prior: the mixture, and the threshold above which a window's peak is large.
        logits: logarithms of the affinities, up to a constant per window. Places and widths of the peaks are read from
            the logits, since the affinity of a second peak may round to 0. None: from the affinities.

    Example:
        >>> window = torch.tensor([0.5, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2])  # 3 x 3 cells
        >>> (100 * compact_windows(window, CompactnessPrior(threshold=0.4))).round().view(3, 3)
        tensor([[57.,  4.,  0.],
                [ 4.,  0.,  3.],
                [ 0.,  3., 43.]])
        >>> (100 * compact_windows(window, CompactnessPrior(threshold=0.4, weights="mass"))).round().view(3, 3)
        tensor([[75.,  5.,  0.],
                [ 5.,  0.,  2.],
                [ 0.,  2., 25.]])
        >>> compact_windows(window, CompactnessPrior()).equal(window)  # no peak above 0.5
        True
        >>> bump = torch.tensor([1.0, 2.0, 1.0, 2.0, 8.0, 2.0, 1.0, 2.0, 1.0]) / 32
        >>> (100 * compact_windows(bump, CompactnessPrior(1, threshold=0, width="moments"))).round().view(3, 3)
        tensor([[  8.,  29.,   8.],
                [ 29., 100.,  29.],
                [  8.,  29.,   8.]])
        >>> peak = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        >>> (100 * compact_windows(peak, CompactnessPrior(1, threshold=0, width="moments"))).round().view(3, 3)
        tensor([[  0.,   6.,   0.],
                [  6., 100.,   6.],
                [  0.,   6.,   0.]])
    """
    side = math.isqrt(windows.shape[-1])
    highest, index = (windows if logits is None else logits).topk(prior.components)
    peaks = windows.gather(-1, index)
    axis = torch.arange(side, device=windows.device)
    rows_and_columns = torch.stack([index // side, index % side])
    squared_distances = (axis - rows_and_columns[..., None]).to(windows.dtype) ** 2  # (2, …, K, P)
    variance = torch.full_like(peaks, _FIXED_VARIANCE)
    weights = peaks.softmax(-1)
    if prior.width == "moments" or prior.weights == "mass":
        squared_dy, squared_dx = squared_distances
        squared = (squared_dy[..., :, None] + squared_dx[..., None, :]).flatten(-2)  # (…, K, P · P)
        # (…, K, P · P), 1 if this peak is the nearest peak of a cell
        nearest = torch.zeros_like(squared).scatter_(-2, squared.argmin(-2, keepdim=True), 1.0)
        if prior.width == "moments":
            affinities = windows[..., None, :] if logits is None else _relative_to_peaks(logits, highest)
            variance = _variance(nearest * affinities, squared)
        if prior.weights == "mass":
            mass = (nearest * windows[..., None, :]).sum(-1)
            weights = mass / mass.sum(-1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)
    falloff = (-0.5 / variance)[..., None]
    # Gaussians along each axis, (…, K, P); `exp` of numbers below the limit is slow on a CPU
    rows, columns = (squared_distances * falloff).clamp_min(LOWEST_EXPONENT).exp()
    # the mixture in the type of the windows
    with torch.autocast(windows.device.type, enabled=False):
        # separable: (P, K) x (K, P)
        mixture = ((rows * weights[..., None]).mT @ columns).flatten(-2)
    return torch.where(peaks[..., :1] > prior.threshold, mixture, windows)


def _relative_to_peaks(logits: Tensor, highest: Tensor) -> Tensor:
    # a logit outside the map is a dot product plus half of the lowest number (`TileGrid.bias`)
    outside = logits < torch.finfo(logits.dtype).min / 4
    # the upper limit counts for a peak that is not the highest
    relative = (logits[..., None, :] - highest[..., None]).clamp_(LOWEST_EXPONENT, 0).exp_()
    return relative.masked_fill_(outside[..., None, :], 0)


def _variance(affinities: Tensor, squared: Tensor) -> Tensor:
    # of both axes together, so it is divided by 2
    moment = (affinities * squared).sum(-1)
    mass = affinities.sum(-1)
    tiny = torch.finfo(affinities.dtype).tiny
    # affinity in the peak's cell alone would give 0, by which the caller divides
    return (moment / (2 * mass).clamp_min(tiny)).clamp_min(_FIXED_VARIANCE)
