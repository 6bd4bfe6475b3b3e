"""Liir's equations with the affinity stored: references for what the library computes without storing it."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from vidcorr.functional import CompactnessPrior, reconstruct_locally
from vidcorr.functional.compactness import SHARPNESS, Weights, Width, compact_windows
from vidcorr.functional.device import to_device
from vidcorr.functional.local_reconstruction import channels_last, check_features
from vidcorr.functional.logsumexp import widened
from vidcorr.functional.negatives import shared_logsumexp
from vidcorr.functional.reconstruction import positive_mass
from vidcorr.functional.window_tiles import Border, Neighbourhood, TileGrid


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
        included; float32 or finer, within autocast too.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.
    """
    check_features(query, references, radius, border)
    query = widened(query)
    references = widened(references)
    count = references.shape[1]
    grid = TileGrid((query.shape[2], query.shape[3]), Neighbourhood(radius, "square"))
    queries = grid.queries(query.movedim(1, -1))
    keys = grid.halos(grid.pad(channels_last(references))).flatten(3)
    with torch.autocast(query.device.type, enabled=False):
        products = queries @ keys.unflatten(3, (-1, query.shape[1])).mT
    products = products + grid.bias(slice(None), count, border, query)
    addresses = to_device(grid.windows_in(count), query.device).expand(*products.shape[:3], -1, -1)
    logits = grid.from_queries(products.gather(4, addresses))
    return logits.softmax(-1).movedim(-1, 1)


def reconstruct(affinity: Tensor, values: Tensor, radius: int) -> Tensor:
    """Return the mean of the references' values weighted by an affinity.

    Paper: Liir, Eq. 2.

    Args:
        affinity: `(B, R · P · P, h, w)` of `local_affinity`.
        values: `(B, R, V, h, w)`, colours or labels of the references.
        radius: radius of the window, in cells.

    Returns:
        `(B, V, h, w)`, float32 or finer, within autocast too.

    Raises:
        ValueError: if the shapes do not fit.
    """
    side = 2 * radius + 1
    wanted = (len(values), values.shape[1] * side**2, *values.shape[3:])
    if values.ndim != 5 or affinity.shape != wanted:
        raise ValueError(
            f"reconstruct: values (B, R, V, h, w) {tuple(values.shape)} and radius {radius} need an affinity {wanted}, "
            f"got {tuple(affinity.shape)}"
        )
    windows = F.unfold(widened(values).flatten(0, 1), side, padding=radius)
    windows = windows.view(*values.shape[:3], side**2, *values.shape[3:])
    weights = widened(affinity).to(windows.dtype).unflatten(1, (-1, side**2))
    with torch.autocast(values.device.type, enabled=False):
        return torch.einsum("brphw,brvphw->bvhw", weights, windows)


def reconstruct_with_negatives(
    query: Tensor,
    references: Tensor,
    values: Tensor,
    negatives: Tensor,
    radius: int,
    border: Border = "exclude",
    excluded: Tensor | None = None,
) -> Tensor:
    """Reconstruct values while points of other videos take a part of the softmax and give no value.

    Neither the affinity nor the products with the negatives are stored. Negatives take no gradient, as stored points of
    a bank; query, references and values do.
    Paper: Liir, Eqs. 4 and 5.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        values: `(B, R, V, h, w)`.
        negatives: `(N, C)` points of other videos, without gradient.
        radius: radius of the window, in cells.
        border: cells outside the map: "exclude" leaves them out of the softmax, "zero" gives them dot product 0.
        excluded: `(B, N)` bool, negatives left out for a sample; None excludes none.

    Returns:
        `(B, V, h, w)`.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.
    """
    local = reconstruct_locally(query, references, values, radius, border)
    return local.values * positive_mass(local.logsumexp, shared_logsumexp(query, negatives, excluded)).unsqueeze(1)


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
