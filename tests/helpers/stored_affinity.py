"""Liir's equations with the affinity stored: references for what the library computes without storing it."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from vidcorr.functional import CompactnessPrior
from vidcorr.functional.compactness import SHARPNESS, Weights, Width, compact_windows
from vidcorr.functional.logsumexp import widened
from vidcorr.functional.window_tiles import Border


def local_affinity(query: Tensor, references: Tensor, radius: int, border: Border = "exclude") -> Tensor:
    """Return the softmax of dot products of cells with their square windows, over all reference frames together.

    Features are taken without normalisation or temperature.
    Paper: Liir, Eq. 1.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        radius: radius of the window, in cells.
        border: "exclude" leaves cells outside the map out; "zero" gives them dot product 0 and so a part of the
            softmax, as in the public code.

    Returns:
        `(B, R · P · P, h, w)`, P = 2 · radius + 1, rows before columns; the sum over axis 1 is 1, cells outside the map
        included; float32 or finer.
    """
    side = 2 * radius + 1
    windows = F.unfold(widened(references).flatten(0, 1), side, padding=radius)
    windows = windows.view(*references.shape[:3], side**2, *query.shape[2:])
    products = torch.einsum("bchw,brcphw->brphw", widened(query), windows)
    if border == "exclude":
        on_map = F.unfold(torch.ones_like(products[:1, 0, :1]), side, padding=radius)
        products = products.masked_fill(on_map.view(side**2, *query.shape[2:]) == 0, -torch.inf)
    return products.flatten(1, 2).softmax(1)


def reconstruct(affinity: Tensor, values: Tensor, radius: int) -> Tensor:
    """Return the mean of the references' values weighted by an affinity.

    Paper: Liir, Eq. 2.

    Args:
        affinity: `(B, R · P · P, h, w)` of `local_affinity`.
        values: `(B, R, V, h, w)`, colours or labels of the references.
        radius: radius of the window, in cells.

    Returns:
        `(B, V, h, w)`, float32 or finer, within autocast too.
    """
    side = 2 * radius + 1
    windows = F.unfold(widened(values).flatten(0, 1), side, padding=radius)
    windows = windows.view(*values.shape[:3], side**2, *values.shape[3:])
    weights = widened(affinity).to(windows.dtype).unflatten(1, (-1, side**2))
    with torch.autocast(values.device.type, enabled=False):
        return torch.einsum("brphw,brvphw->bvhw", weights, windows)


def compact_affinity(
    affinity: Tensor,
    radius: int,
    components: int = 2,
    threshold: float = 0.0,
    width: Width = "fixed",
    weights: Weights = "softmax",
) -> Tensor:
    """Replace each reference window by a mixture of Gaussians with peak 1 around its largest affinities.

    Args:
        affinity: `(B, R · P · P, h, w)` in [0, 1], P = 2 · radius + 1, after the softmax over all references.
        radius: radius of the window, in cells.
        components, threshold, width, weights: of `CompactnessPrior`.

    Returns:
        The same shape, without gradient.

    Raises:
        ValueError: for another width or weights.
    """
    side = 2 * radius + 1
    windows = affinity.unflatten(1, (-1, side**2)).movedim(2, -1)
    prior = CompactnessPrior(components, threshold, width, weights)
    return compact_windows(windows, prior).movedim(-1, 2).flatten(1, 2)


def compactness_loss(affinity: Tensor, radius: int, prior: CompactnessPrior) -> Tensor:
    """Compute the distance of an affinity from its mixture of Gaussians, smooth-L1 of 20 times both.

    No gradient reaches the mixture. Windows with a peak at or below the prior's threshold count as distance 0; the mean
    is over all entries.
    Paper: Liir, Eq. 8, in the form of the public code.

    Args:
        affinity: `(B, R · P · P, h, w)` in [0, 1], P = 2 · radius + 1, after the softmax over all references.
        radius: radius of the window, in cells.
        prior: the arguments of the mixture.

    Returns:
        Scalar.
    """
    compact = compact_affinity(affinity, radius, **dataclasses.asdict(prior))
    return smooth_l1_loss(SHARPNESS * affinity, SHARPNESS * compact)
