"""Affinity of a frame's cells to windows of the reference frames, and the reconstruction by this affinity.

`local_affinity` and `reconstruct` follow the equations and store the affinity; `reconstruct_locally` gives the same
without storing it. Negatives only scale a reconstruction: Eq. 4 is
`A′ = A · sigmoid(log Σ_W exp(q·r) − log Σ_n exp(q·v))`, so the log-sum-exp of the negatives (`negatives.py`) is enough.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .compactness import SHARPNESS
from .device import to_device
from .local_reconstruction import channels_last, check_features, reconstruct_locally
from .logsumexp import widened
from .negatives import shared_logsumexp
from .window_tiles import Border, Neighbourhood, TileGrid


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


def positive_mass(logsumexp: Tensor, of_negatives: Tensor) -> Tensor:
    """Return the fraction of the softmax that negatives leave to the window (Liir, Eq. 4).

    Args:
        logsumexp: `(B, h, w)`, of the window's dot products, from `reconstruct_locally`.
        of_negatives: `(B, h, w)`, of the dot products with negatives; −∞ without negatives.

    Returns:
        `(B, h, w)` in [0, 1].
    """
    return torch.sigmoid(logsumexp - of_negatives)


def reconstruction_loss(reconstructed: Tensor, target: Tensor) -> Tensor:
    """Compute smooth-L1 of 20 times the up-sampled reconstruction against 20 times the frame, mean over all pixels.

    Paper: Liir, Eq. 3, in the form of the public code.

    Args:
        reconstructed: `(B, V, h, w)`.
        target: `(B, V, H, W)`.

    Returns:
        Scalar.
    """
    full = F.interpolate(reconstructed, target.shape[2:], mode="bilinear")
    return F.smooth_l1_loss(SHARPNESS * full, SHARPNESS * target.to(full.dtype))
