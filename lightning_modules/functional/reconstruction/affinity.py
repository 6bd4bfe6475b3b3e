"""Affinity of each place of a frame to a window of its reference frames, and what it reconstructs.

`local_affinity` and `reconstruct` are the equations as they stand, with the affinity stored. `reconstruct_locally` is
the same without storing it, and `dot_logsumexp` of the negatives all that Liir's objective needs beside it: Eq. 4 is
`A′ = A · sigmoid(log Σ_W exp(q·r) − log Σ_n exp(q·v))`, so negatives scale the reconstruction and nothing else.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compactness import SHARPNESS
from ..losses.logsumexp import dot_logsumexp
from .local_reconstruction import reconstruct_locally
from .window_tiles import Border, WindowTiles, channels_last, check_features


def local_affinity(query: Tensor, references: Tensor, radius: int, border: Border = "exclude") -> Tensor:
    """Softmax of the dot products of each place with a square window of all reference frames together.

    Features are taken as they come: no l2 norm, no temperature.
    Paper: Liir, Eq. 1.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        radius: of the window, in cells.
        border: "exclude": cells outside the map are left out; "zero": they have dot product 0 and take their share of
            the softmax, as in the public code.

    Returns:
        `(B, R · P · P, h, w)`, P = 2 · radius + 1, rows before columns; sums to 1 over axis 1, cells outside the map
        included.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.
    """
    check_features(query, references, radius, border)
    count = references.shape[1]
    tiles = WindowTiles(query.shape[2], query.shape[3], radius)
    queries = tiles.queries(query.movedim(1, -1))
    windows = tiles.windows(tiles.pad(channels_last(references))).flatten(3)
    products = queries @ windows.unflatten(3, (tiles.side**2 * count, -1)).mT
    addresses = tiles.addresses(count, query.device).expand(*products.shape[:3], -1, -1)
    logits = tiles.from_queries(products.gather(4, addresses))
    if border == "exclude":
        cells = F.pad(torch.ones_like(query[:1, :1], dtype=torch.bool), (radius,) * 4)
        side = 2 * radius + 1
        inside = cells.unfold(2, side, 1).unfold(3, side, 1).flatten(4).squeeze(1)
        logits = logits.masked_fill(~inside.repeat(1, 1, 1, count), -torch.inf)
    return logits.softmax(-1).movedim(-1, 1)


def reconstruct(affinity: Tensor, values: Tensor, radius: int) -> Tensor:
    """The average of the references' values, weighted by an affinity.

    Paper: Liir, Eq. 2.

    Args:
        affinity: `(B, R · P · P, h, w)` of `local_affinity`.
        values: `(B, R, V, h, w)`, colours or labels of the references.
        radius: of the window, in cells.

    Returns:
        `(B, V, h, w)`.

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
    windows = F.unfold(values.flatten(0, 1), side, padding=radius)
    windows = windows.view(*values.shape[:3], side**2, *values.shape[3:])
    return torch.einsum("brphw,brvphw->bvhw", affinity.unflatten(1, (-1, side**2)), windows)


def reconstruct_with_negatives(
    query: Tensor,
    references: Tensor,
    values: Tensor,
    negatives: Tensor,
    radius: int,
    border: Border = "exclude",
    excluded: Tensor | None = None,
) -> Tensor:
    """`reconstruct` where points of other videos take their share of the softmax and give nothing.

    Neither the affinity nor the products with the negatives are stored.
    Paper: Liir, Eqs. 4 and 5.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        values: `(B, R, V, h, w)`.
        negatives: `(N, C)` points of other videos.
        radius: of the window, in cells.
        border: see `local_affinity`.
        excluded: `(B, N)` bool, negatives that do not count for a sample; None excludes none.

    Returns:
        `(B, V, h, w)`.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.
    """
    local = reconstruct_locally(query, references, values, radius, border)
    return local.values * positive_mass(query, local.logsumexp, negatives, excluded).unsqueeze(1)


def positive_mass(query: Tensor, logsumexp: Tensor, negatives: Tensor, excluded: Tensor | None = None) -> Tensor:
    """The share of the softmax that negatives leave to the window (Liir, Eq. 4): `(B, h, w)` in [0, 1].

    Args:
        query: `(B, C, h, w)`.
        logsumexp: `(B, h, w)`, of the window's dot products, see `reconstruct_locally`.
        negatives: `(N, C)`.
        excluded: `(B, N)` bool; None excludes none.
    """
    if not len(negatives):
        return torch.ones_like(logsumexp)
    places = query.flatten(2).mT.to(logsumexp.dtype)
    return torch.sigmoid(logsumexp - dot_logsumexp(places, negatives, excluded).view_as(logsumexp))


def reconstruction_loss(reconstructed: Tensor, target: Tensor) -> Tensor:
    """Smooth-L1 of 20 times the reconstruction, up-sampled, against 20 times the frame; the mean over all pixels.

    Paper: Liir, Eq. 3, in the form of the public code.

    Args:
        reconstructed: `(B, V, h, w)`.
        target: `(B, V, H, W)`.

    Returns:
        Scalar.
    """
    full = F.interpolate(reconstructed, size=target.shape[2:], mode="bilinear", align_corners=False)
    return F.smooth_l1_loss(SHARPNESS * full, SHARPNESS * target.to(full.dtype))
