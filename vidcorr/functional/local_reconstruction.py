"""Reconstruction of a frame from windows of its references, tile by tile, without storing the affinity.

Maps are channels last, `(B, h, w, D)`. All queries of a tile attend to the halo around it (`window_tiles`), so that
attention to a neighbourhood is a matrix product per tile, from which every query keeps its square. Comments write Q for
the queries of a tile, and K for the cells of its halo in all references.
"""

import math
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .compactness import SHARPNESS, CompactnessPrior, compact_windows
from .device import PendingCopy, amount_for, to_device
from .logsumexp import LOWEST_EXPONENT
from .window_tiles import Border, Neighbourhood, Part, TileGrid

CLAMPED = 2 * math.exp(LOWEST_EXPONENT)
"""Weights below this come from clamped exponents; twice the least weight, which rounding cannot reach."""
PRODUCTS_BUDGET = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Number of products held at a time: it fits a CPU's cache, or keeps a GPU busy."""


class LocalReconstruction(NamedTuple):
    """Result of `reconstruct_locally`.

    Attributes:
        values: `(B, V, h, w)` (Liir, Eq. 2).
        logsumexp: `(B, h, w)`, logarithm of the denominator of Eq. 1.
        compactness: scalar (Liir, Eq. 8); 0 without a prior.
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
    """Reconstruct values by the affinity of cells to their windows, and measure its compactness, without storing it.

    The affinity is the softmax of dot products over all references together.

    Memory holds the arguments, their gradients and a workspace. Autocast is off inside, because half precision is too
    coarse for dot products of features that are not normalised.
    Paper: Liir, Eqs. 1, 2, 7 and 8.

    Args:
        query: `(B, C, h, w)`.
        references: `(B, R, C, h, w)`.
        values: `(B, R, V, h, w)`, colours of the references.
        radius: radius of the window, in cells.
        border: cells outside the map: "exclude" leaves them out of the softmax, "zero" gives them dot product 0.
        prior: prior of the affinity's shape; None leaves `compactness` at 0.

    Returns:
        A `LocalReconstruction`, float32 or finer.

    Raises:
        ValueError: if the shapes do not fit, or the border is unknown.
    """
    check_features(query, references, radius, border)
    if values.ndim != 5 or values[:, :, 0].shape != references[:, :, 0].shape:
        raise ValueError(
            f"values must be (B, R, V, h, w) like the references {tuple(references.shape)}, got {tuple(values.shape)}"
        )
    exact = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        queries = query.movedim(1, -1).to(exact)
        keys = channels_last(references).to(exact)
        colours_of_keys = channels_last(values).to(exact)
        reconstructed = _LocalReconstruction.apply(queries, keys, colours_of_keys, radius, border, prior)
        colours, logsumexp, compactness = reconstructed
    return LocalReconstruction(colours.movedim(-1, 1), logsumexp, compactness)


def positive_mass(logsumexp: Tensor, of_negatives: Tensor) -> Tensor:
    """Return the fraction of the softmax that negatives leave to the window.

    Liir, Eq. 4, is `A′ = A · sigmoid(log Σ_W exp(q·r) − log Σ_n exp(q·v))`: the log-sum-exp of the negatives
    (`negatives.py`) is enough, and scales the reconstruction.

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


class _LocalReconstruction(Function):
    """Function of channels-last maps: query `(B, h, w, C)`, keys `(B, h, w, R · C)`, values `(B, h, w, R · V)`.

    Only the logarithm of the queries' denominators is saved; the backward pass computes the weights again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        radius: int,
        border: Border,
        prior: CompactnessPrior | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the means of the values `(B, h, w, V)`, the logsumexp `(B, h, w)` and the compactness loss."""
        work = _BatchParts(query, keys, values, radius, border)
        results = query.new_empty(*work.queries.shape[:-1], work.channels + 1)  # values and logsumexp
        compactness = query.new_zeros(())
        ctx.rows = []  # of each part, indices of the confident queries
        unclamped_buffer = work.buffer.new_empty(0 if prior is None else work.buffer.numel())
        for part in work:
            largest = part.logits.amax(dim=-1, keepdim=True)
            logits = part.logits.sub_(largest)
            unclamped = logits if prior is None else _copied(logits, unclamped_buffer)
            weights = logits.clamp_(min=LOWEST_EXPONENT).exp_()
            sums = weights @ F.pad(part.values, (0, 1), value=1.0)  # the last column sums the weights
            total = sums[..., -1:]
            mean = sums[..., :-1] / total
            of_part = torch.cat([mean, largest + total.log()], dim=-1)
            results[part.place] = of_part.view_as(results[part.place])
            if prior is not None:
                rows = work.confident(part.place, total, prior.threshold)
                ctx.rows.append(rows)
                difference, _ = work.sharpened_differences(unclamped, total, rows, prior)
                compactness += F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="sum")
        ctx.entries = query[..., 0].numel() * work.references * (2 * radius + 1) ** 2
        ctx.radius = radius
        ctx.border = border
        ctx.prior = prior
        colours, logsumexp = work.grid.from_queries(results).split([work.channels, 1], dim=-1)
        colours = colours.contiguous()
        logsumexp = logsumexp.squeeze(-1).contiguous()
        ctx.save_for_backward(query, keys, values, colours, logsumexp)
        return colours, logsumexp, compactness / ctx.entries

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradients[0].device.type, enabled=False):  # the caller may be in autocast
            of_inputs = _LocalReconstruction._backward(ctx, *gradients)
        return *of_inputs, None, None, None

    @staticmethod
    def _backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients into query, keys and values; None for values that take none."""
        query, keys, values, colours, logsumexp = ctx.saved_tensors
        of_colours, of_logsumexp, of_compactness = gradients
        work = _BatchParts(query, keys, values, ctx.radius, ctx.border)
        grid = work.grid
        prior = ctx.prior
        # the gradient of a logit is w · (g − Σ w g), with g the gradient of its weight w
        minus_mean = of_logsumexp - (of_colours * colours).sum(-1)
        upstream = grid.queries(torch.cat([of_colours, minus_mean.unsqueeze(-1)], dim=-1))
        logsumexp = grid.queries(logsumexp.unsqueeze(-1))
        spare = torch.empty_like(work.buffer)  # for unclamped logits, then for products
        d_query = torch.empty_like(work.queries)
        d_keys = keys.new_zeros(len(keys), *grid.padded, keys.shape[-1])
        d_values = values.new_zeros(len(values), *grid.padded, values.shape[-1]) if values.requires_grad else None
        for index, part in enumerate(work):
            place = part.place
            logits = part.logits.sub_(logsumexp[place].flatten(0, 2))
            unclamped = logits if prior is None else _copied(logits, spare)
            weights = logits.clamp_(min=LOWEST_EXPONENT).exp_()
            of_part = upstream[place].flatten(0, 2)
            if d_values is not None:
                grid.add_halos(d_values, weights.mT @ of_part[..., :-1], place)
            of_prior = None
            if prior is not None:
                scale = of_compactness * (SHARPNESS / ctx.entries)
                difference, addresses = work.sharpened_differences(unclamped, None, ctx.rows[index], prior)
                slope = difference.clamp_(-1, 1)  # of smooth L1
                weighted = slope.mul_(weights.view(-1)[addresses]).mul_(scale)
                of_prior = _PriorGradient(ctx.rows[index], addresses, weighted)
            d_logits = _to_logit_gradients(weights, of_part, part.values, spare, of_prior)
            d_query[place] = torch.bmm(d_logits, part.keys).view_as(d_query[place])
            grid.add_halos(d_keys, torch.bmm(d_logits.mT, part.queries), place)
        d_values = None if d_values is None else grid.crop(d_values)
        return grid.from_queries(d_query), grid.crop(d_keys), d_values


class _PriorGradient(NamedTuple):
    """Gradient of the compactness loss into the weights, times the weights.

    Attributes:
        rows: `(M,)`, indices of the confident queries into `(n, Q)`.
        addresses: `(M, R, P²)`, indices of their windows into the flat weights.
        weighted: `(M, R, P²)`.
    """

    rows: Tensor
    addresses: Tensor
    weighted: Tensor


def _to_logit_gradients(
    weights: Tensor, upstream: Tensor, values: Tensor, buffer: Tensor, of_prior: _PriorGradient | None
) -> Tensor:
    """Turn weights w `(n, Q, K)` into the gradient of the logits, w · (g − Σ w g), in place; return it.

    Args:
        weights: softmax over the last axis.
        upstream: gradient into the colours, with −Σ w g as last column, `(n, Q, V + 1)`.
        values: `(n, K, V)`; the product of upstream and values, with a column of ones, is g − Σ w g.
        buffer: for products, at least as large as the weights.
        of_prior: part of g from the compactness loss; None without a prior.
    """
    if of_prior is not None:  # Σ w g has the part from the compactness loss too
        upstream = upstream.clone()
        constants = upstream.view(-1, upstream.shape[-1])[:, -1]
        constants.index_add_(0, of_prior.rows, of_prior.weighted.sum((1, 2)), alpha=-1)
    # w · (g − Σ w g), with g from the colours
    products = buffer[: weights.numel()].view(weights.shape)
    weights.mul_(torch.bmm(upstream, F.pad(values, (0, 1), value=1.0).mT, out=products))
    if of_prior is not None:  # and w · g from the compactness loss, in its windows
        weights.view(-1).index_add_(0, of_prior.addresses.view(-1), of_prior.weighted.view(-1))
    return weights


class _PartOfBatch(NamedTuple):
    """Products of a part's queries with their windows.

    Attributes:
        place: samples and rows of tiles.
        logits: `(n, Q, K)`, in a buffer that the next part overwrites.
        queries: `(n, Q, C)`.
        keys: `(n, K, C)`.
        values: `(n, K, V)`.
    """

    place: Part
    logits: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor


class _BatchParts:
    """The parts of a batch, whose products with their windows fit into a buffer."""

    def __init__(self, query: Tensor, keys: Tensor, values: Tensor, radius: int, border: Border) -> None:
        self.grid = grid = TileGrid((query.shape[1], query.shape[2]), Neighbourhood(radius, "square"))
        self.border: Border = border
        self.references = keys.shape[-1] // query.shape[-1]
        self.channels = values.shape[-1] // self.references
        self.queries = grid.queries(query)
        self.keys = grid.halos(grid.pad(keys))
        self.values = grid.halos(grid.pad(values))
        self.parts = list(grid.parts(len(query), self.references, amount_for(query.device, PRODUCTS_BUDGET)))
        largest = max(math.prod(part.size) for part in self.parts)
        of_row = grid.shape[1] * grid.products * self.references
        self.buffer = query.new_empty(largest * of_row)
        self._addresses = to_device(grid.windows_in(self.references), query.device)
        self._inside = grid.queries(query.new_ones(1, *query.shape[1:3], 1)) > 0

    def __iter__(self) -> Iterator[_PartOfBatch]:
        for rows, parts in groupby(self.parts, attrgetter("rows")):
            bias = self.grid.bias(rows, self.references, self.border, self.queries)
            for part in parts:
                q = self.queries[part].flatten(0, 2)
                k = self.keys[part].reshape(len(q), -1, q.shape[-1])
                v = self.values[part].reshape(len(q), -1, self.channels)
                shape = len(q), q.shape[1], k.shape[1]
                logits = self.buffer[: math.prod(shape)].view(shape)
                by_tile = logits.view(*part.size, -1, *logits.shape[1:])  # (samples, rows, columns, Q, K), as the bias
                by_tile.copy_(bias)
                yield _PartOfBatch(part, logits.baddbmm_(q, k.mT), q, k, v)

    def confident(self, part: Part, total: Tensor, threshold: float) -> Tensor:
        """Return indices into `(n, Q)` of queries on the map with a largest weight, 1 / total, above a threshold."""
        inside = self._inside[:, part.rows].expand(part.size[0], -1, -1, -1, -1)
        confident = ((total * threshold < 1) & inside.flatten(0, 2)).flatten()
        indices = PendingCopy(confident).wait().nonzero().squeeze(1)  # the one wait of a part
        return to_device(indices, confident.device)

    def sharpened_differences(
        self, logits: Tensor, total: Tensor | None, rows: Tensor, prior: CompactnessPrior
    ) -> tuple[Tensor, Tensor]:
        """Return 20 · (window − mixture) of M queries, `(M, R, P²)`, and its addresses in the flat logits.

        Args:
            logits: logarithms of the weights, `(n, Q, K)`.
            total: divisor of the weights; None for 1.
            rows: `(M,)`, indices of the confident queries into `(n, Q)`.
            prior: the mixtures.
        """
        query = rows % len(self._addresses)  # in its tile
        # (M, R, P²), the keys of each query's window among its K products
        squares = self._addresses.unflatten(1, (self.references, -1))[query]
        addresses = squares + (rows * logits.shape[-1])[:, None, None]
        of_windows = logits.view(-1)[addresses]
        windows = of_windows.clamp(min=LOWEST_EXPONENT).exp_()
        windows.masked_fill_(windows < CLAMPED, 0)  # otherwise cells outside the map count
        if total is not None:
            windows /= total.view(-1, 1, 1)[rows]
        compact = compact_windows(windows, prior, of_windows)
        return (windows - compact).mul_(SHARPNESS), addresses


def _copied(logits: Tensor, buffer: Tensor) -> Tensor:
    return buffer[: logits.numel()].view(logits.shape).copy_(logits)


def channels_last(maps: Tensor) -> Tensor:
    """Move channels last: `(B, R, D, h, w)` → `(B, h, w, R · D)`."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3)


def check_features(query: Tensor, references: Tensor, radius: int, border: str) -> None:
    """Check that features fit each other and that radius and border are valid.

    Raises:
        ValueError: if the shapes do not fit, or radius or border is out of range.
    """
    if query.ndim != 4 or references.shape != (len(query), *references.shape[1:2], *query.shape[1:]):
        shapes = f"{tuple(query.shape)} and {tuple(references.shape)}"
        raise ValueError(f"expected query (B, C, h, w) and references (B, R, C, h, w), got {shapes}")
    if radius < 0 or border not in ("exclude", "zero"):
        raise ValueError(f"expected a radius of 0 or more, border exclude or zero, got {radius}, {border!r}")
