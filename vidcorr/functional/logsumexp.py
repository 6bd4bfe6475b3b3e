"""Log-sum-exp of dot products with many keys, chunk by chunk."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .device import amount_for, slices

PRODUCTS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 26}
"""Number of products held at a time: 8 MB in float32 on a CPU, 256 MB on a GPU."""
QUERIES_AT_ONCE = {"cpu": 512, "cuda": 1 << 14}
"""Number of queries that pass over the keys together."""
LOWEST_EXPONENT = -80
"""Lower limit of exponents: exp of smaller numbers, below 1e-34, takes ten times as long on a CPU."""

Chunk = tuple[slice, Tensor, Callable[[Tensor, Tensor], object]]
"""A range of queries; their logits `(…, K)` for K keys; a function that adds weights @ keys to sums `(…, C)`."""


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 or finer."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def streamed_logsumexp(queries: Tensor, chunks: Iterator[Chunk]) -> Tensor:
    """Return the log-sum-exp `(…)` of queries `(…, C)` over the keys whose products `chunks` yields; −∞ without keys.

    One pass of the online softmax (Milakov and Gimelshein, 2018): exponents are relative to the largest logit so far,
    and sums shrink when it rises. The pass also sums the queries' gradient, so backward needs no products.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return _LogSumExp.apply(queries, chunks)


def _streamed(queries: Tensor, wants_mean: bool, chunks: Iterator[Chunk]) -> tuple[Tensor, Tensor | None]:
    """Return the log-sum-exp `(…)` of queries `(…, C)` and, if wanted, their mean key `(…, C)` by the softmax."""
    lowest = torch.finfo(queries.dtype).min
    largest = queries.new_full((*queries.shape[:-1], 1), lowest)
    weight_sum = torch.zeros_like(largest)  # Σ exp(logit - largest)
    key_sum = queries.new_zeros(queries.shape) if wants_mean else None  # Σ exp(logit - largest) · key
    for block, logits, add_keys in chunks:
        before = largest[block]
        after = torch.maximum(before, logits.amax(-1, keepdim=True))
        # the sums so far become relative to the new largest logit
        shrink = (before - after).exp_()
        # overwrites `before`, a view
        largest[block] = after
        weights = logits.sub_(after).clamp_(min=LOWEST_EXPONENT).exp_()  # e^−80 for excluded keys: below rounding
        weight_sum[block].mul_(shrink).add_(weights.sum(-1, keepdim=True))
        if key_sum is not None:
            add_keys(key_sum[block].mul_(shrink), weights)
    without_keys = largest == lowest
    if key_sum is not None:
        key_sum.div_(weight_sum).masked_fill_(without_keys, 0)
    result = weight_sum.log_().add_(largest)
    return result.masked_fill_(without_keys, -torch.inf).squeeze(-1), key_sum


class _LogSumExp(Function):
    """The log-sum-exp of queries over keys; its gradient by a query is the mean key, weighted by the softmax."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, chunks: Iterator[Chunk]) -> Tensor:
        result, mean_key = _streamed(queries.detach(), ctx.needs_input_grad[0], chunks)
        ctx.save_for_backward(mean_key)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        (mean_key,) = ctx.saved_tensors
        return gradient.unsqueeze(-1) * mean_key, None


def dot_logsumexp(query: Tensor, keys: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Return `log Σ_k exp(q·u_k)`, `(B, n)`, of queries `(B, n, D)` over the keys `(K, D)` that are not excluded.

    The query takes a gradient, the keys take none. A sample all of whose keys are `excluded`, `(B, K)`, gets −∞.
    """
    rows = widened(query.flatten(0, 1))
    chunks = _dot_chunks(rows.detach(), keys, excluded, query.shape[1])
    return streamed_logsumexp(rows, chunks).view(query.shape[:2])


def _dot_chunks(rows: Tensor, keys: Tensor, excluded: Tensor | None, rows_per_sample: int) -> Iterator[Chunk]:
    """Yield the products of blocks of rows `(N, D)` with parts of the keys `(K, D)`; each chunk overwrites the last."""
    for block in slices(len(rows), amount_for(rows.device, QUERIES_AT_ONCE)):
        queries = rows[block]
        sample = torch.arange(block.start, block.stop, device=rows.device) // rows_per_sample
        keys_at_once = amount_for(rows.device, PRODUCTS_AT_ONCE) // len(queries)
        buffer = rows.new_empty(len(queries) * min(keys_at_once, len(keys)))
        for part in slices(len(keys), keys_at_once):
            chunk = keys[part].to(rows.dtype)
            products = buffer[: len(queries) * len(chunk)].view(len(queries), -1)
            logits = torch.mm(queries, chunk.mT, out=products)
            if excluded is not None:
                logits.masked_fill_(excluded[:, part][sample], -torch.inf)
            yield block, logits, partial(_add_weighted, keys=chunk)


def _add_weighted(mean: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
    """Add `weights @ keys` to `mean` in place: weights `(n, K)` of keys `(K, D)` to `(n, D)`."""
    return mean.addmm_(weights, keys)
