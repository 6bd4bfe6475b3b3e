"""Reconstruction of a frame from windows of its references, tile by tile, without storing the affinity.

Maps are channels last, `(B, h, w, D)`. All queries of a tile attend to the halo around it (`window_tiles`), so that
attention to a neighbourhood is a matrix product per tile, from which every query keeps its square. The products are
computed again for the gradients (`torch.utils.checkpoint`), so that only those of a part are in memory.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .compactness import SHARPNESS, CompactnessPrior, compact_windows
from .device import PendingCopy, amount_for, to_device
from .window_tiles import Border, Neighbourhood, TileGrid

PRODUCTS_BUDGET = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Number of dot products held at a time: it fits a CPU's cache, or keeps a GPU busy."""


class LocalReconstruction(NamedTuple):
    """Result of `reconstruct_locally`.

    Attributes:
        values: `(B, V, h, w)` (Liir, Eq. 2).
        logsumexp: `(B, h, w)`, logarithm of the denominator of Eq. 1.
        compactness: scalar, mean over all entries of the affinity (Liir, Eq. 8); 0 without a prior.
    """

    values: Tensor
    logsumexp: Tensor
    compactness: Tensor


def reconstruct_locally(
    query: Tensor,
    references: Tensor,
    values: Tensor,
    radius: int,
    border: Border = "exclude",
    prior: CompactnessPrior | None = None,
) -> LocalReconstruction:
    """Reconstruct values by the affinity of cells to windows of references, and measure the affinity's compactness.

    The affinity is the softmax of dot products over the windows of all references together; it is never stored whole.
    Autocast is off inside, because half precision is too coarse for dot products that are not normalised.
    Paper: Liir, Eqs. 1, 2, 7 and 8.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        values: `(B, R, V, h, w)`, colours of the references.
        radius: radius of the window, in cells.
        border: cells outside the map: "exclude" leaves them out of the softmax, "zero" gives them dot product 0.
        prior: prior of the affinity's shape; None leaves `compactness` at 0.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.

    Example:
        >>> query = torch.tensor([[[[9.0, -9.0]]]])  # B x C x h x w
        >>> references, colours = -query[:, None], torch.tensor([[[[[1.0, 2.0]]]]])
        >>> reconstruct_locally(query, references, colours, radius=1).values  # each cell finds the other one
        tensor([[[[2., 1.]]]])
    """
    check_features(query, references, radius, border)
    if values.ndim != 5 or values[:, :, 0].shape != references[:, :, 0].shape:
        raise ValueError(
            f"values must be (B, R, V, h, w) like the references {tuple(references.shape)}, got {tuple(values.shape)}"
        )
    exact = torch.promote_types(query.dtype, torch.float32)
    grid = TileGrid((query.shape[2], query.shape[3]), Neighbourhood(radius, "square"))
    with torch.autocast(query.device.type, enabled=False):
        queries = grid.queries(query.movedim(1, -1).to(exact))
        keys = grid.pad(merged_references(references).to(exact))
        colours = grid.pad(merged_references(values).to(exact))
        tiles: list[Tensor] = []
        distances: list[Tensor] = []
        budget = amount_for(query.device, PRODUCTS_BUDGET)
        samples_at_once = next(grid.parts(len(query), references.shape[1], budget)).samples.stop
        # samples are split first: in backward each part makes a gradient as large as the whole maps given to it
        for samples in zip(*(maps.split(samples_at_once) for maps in (queries, keys, colours)), strict=True):
            for _, rows in grid.parts(len(samples[0]), references.shape[1], budget):
                part = grid, rows, references.shape[1], border, prior
                # backward computes the part again, so that its affinity is not kept
                values_and_logsumexp, distance = checkpoint(_reconstruct_rows, *samples, *part, use_reentrant=False)
                tiles.append(values_and_logsumexp)
                distances.append(distance)
        # parts come sample after sample and row after row, so their tiles follow each other as in `queries`
        joined = grid.from_queries(torch.cat(tiles).view(*queries.shape[:4], -1))
        reconstructed, logsumexp = joined.split([values.shape[2], 1], dim=-1)
        entries = query[:, 0].numel() * references.shape[1] * (2 * radius + 1) ** 2
        compactness = torch.stack(distances).sum() / entries  # entries of unconfident queries count as distance 0
    return LocalReconstruction(reconstructed.movedim(-1, 1), logsumexp.squeeze(-1), compactness)


def _reconstruct_rows(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    grid: TileGrid,
    rows: slice,
    references: int,
    border: Border,
    prior: CompactnessPrior | None,
) -> tuple[Tensor, Tensor]:
    """Return values and log-sum-exp (tiles, queries, V + 1) of rows of tiles, and the distance from the prior."""
    tiles_shape = len(queries), rows.stop - rows.start, grid.shape[1]
    q = queries[:, rows].flatten(0, 2)  # (tiles, queries, C)
    # (tiles, halo cells · R, C): the halo of a tile holds the keys of all its queries
    k = _Halos.apply(keys, grid, rows).reshape(len(q), -1, q.shape[-1])
    v = _Halos.apply(values, grid, rows).reshape(len(q), k.shape[1], -1)
    logits = torch.bmm(q, k.mT)
    # a view: masks the logits in place
    logits.unflatten(0, tiles_shape).add_(grid.bias(rows, references, border, q))
    weights, logsumexp = _Softmax.apply(logits)
    values_and_logsumexp = torch.cat([weights @ v, logsumexp], dim=-1)
    if prior is None:
        return values_and_logsumexp, q.new_zeros(())
    # 0 for queries of the last tiles beyond the map
    ones_on_map = grid.queries(q.new_ones(1, *grid.map_size, 1))
    is_on_map = ones_on_map[:, rows].expand(*tiles_shape, -1, -1) > 0
    is_confident = (weights.detach().amax(-1, keepdim=True) > prior.threshold) & is_on_map.flatten(0, 2)
    # only here the CPU waits for the GPU
    indices = PendingCopy(is_confident.flatten()).wait().nonzero()[:, 0]
    confident = to_device(indices, q.device)
    # the number of a query, modulo the queries of a tile, is its place in the tile
    windows = to_device(grid.windows_in(references), q.device)[confident % q.shape[1]]
    shape = references, -1  # (queries, R, cells of a window): the halo's keys around the query
    affinity = weights.flatten(0, 1).index_select(0, confident).gather(1, windows).unflatten(1, shape)
    logit_windows = logits.detach().flatten(0, 1).index_select(0, confident).gather(1, windows).unflatten(1, shape)
    compact = compact_windows(affinity.detach(), prior, logit_windows)
    return values_and_logsumexp, F.smooth_l1_loss(SHARPNESS * affinity, SHARPNESS * compact, reduction="sum")


class _Halos(Function):
    """`TileGrid.halos` with the gradient `TileGrid.from_halos`: torch's own, of `unfold`, takes four times as long."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, grid: TileGrid, rows: slice) -> Tensor:
        ctx.grid = grid
        ctx.rows = rows
        return grid.halos(padded, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.grid.from_halos(gradient, ctx.rows), None, None


class _Softmax(Function):
    """The softmax over the last axis and the log-sum-exp together, with one gradient for both.

    A separate `torch.logsumexp` would take ten times as long as the softmax.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights, and the logarithm of their denominator, `(…, 1)`."""
        weights = logits.softmax(-1)
        ctx.save_for_backward(weights)
        # the largest weight is exp(largest logit) / denominator
        return weights, logits.amax(-1, keepdim=True) - weights.amax(-1, keepdim=True).log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights_gradient: Tensor, logsumexp_gradient: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        # w · (∂w − Σ w ∂w) of the softmax, and w · ∂l of the log-sum-exp, whose gradient is the softmax
        gradient = weights_gradient * weights
        return gradient.addcmul_(weights, logsumexp_gradient - gradient.sum(-1, keepdim=True))


def positive_mass(logsumexp: Tensor, negatives: Tensor) -> Tensor:
    """Return the fraction `(B, h, w)` of the softmax that negatives leave to the window (Liir, Eq. 4)."""
    return torch.sigmoid(logsumexp - negatives)


def reconstruction_loss(reconstructed: Tensor, target: Tensor) -> Tensor:
    """Compute smooth-L1 of the up-sampled reconstruction against the frame, both times 20 (Liir, Eq. 3)."""
    full = F.interpolate(reconstructed, target.shape[2:], mode="bilinear")
    return F.smooth_l1_loss(SHARPNESS * full, SHARPNESS * target.to(full.dtype))


def merged_references(maps: Tensor) -> Tensor:
    """Merge references and channels, and move them last: `(B, R, D, h, w)` → `(B, h, w, R · D)`."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3)


def check_features(query: Tensor, references: Tensor, radius: int, border: str) -> None:
    """Raise ValueError if shapes do not fit each other, or radius or border is out of range."""
    if query.ndim != 4 or references.shape != (len(query), *references.shape[1:2], *query.shape[1:]):
        shapes = f"{tuple(query.shape)} and {tuple(references.shape)}"
        raise ValueError(f"expected query (B, C, h, w) and references (B, R, C, h, w), got {shapes}")
    if radius < 0 or border not in ("exclude", "zero"):
        raise ValueError(f"expected a radius of 0 or more, border exclude or zero, got {radius}, {border!r}")
