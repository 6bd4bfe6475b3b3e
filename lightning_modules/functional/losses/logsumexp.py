"""The logarithm of a sum of exponentials of dot products, streamed: the products are never stored."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

CHUNK = 1 << 21
"""Products that are held at a time: 8 MB in float32."""
ROWS = 512
"""Queries that pass over the keys together."""
NOTHING = -80
"""Exponent below which a weight counts for nothing: exp of less is ten times slower on a CPU, and below 1e-34."""


def dot_logsumexp(query: Tensor, keys: Tensor, excluded: Tensor | None = None) -> Tensor:
    """`log Σ_k exp(q·u_k)` of each query over all keys but those excluded; −∞ where none is left.

    Online (Milakov and Gimelshein, 2018): rows of queries pass over chunks of keys. The mean of the keys weighted by
    the softmax, which is the gradient, is gathered in the same pass. A gradient into the keys takes a second pass.

    Args:
        query: `(B, n, D)`.
        keys: `(K, D)`, in the precision of the query or lower.
        excluded: `(B, K)` bool, keys that do not count for the queries of a sample; None excludes none.

    Returns:
        `(B, n)`.
    """
    return _DotLogSumExp.apply(query, keys, excluded)


class _DotLogSumExp(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, excluded: Tensor | None) -> Tensor:
        rows = query.reshape(-1, query.shape[-1])
        result = rows.new_empty(len(rows), 1)
        mean = torch.zeros_like(rows) if query.requires_grad else None
        for block in _slices(len(rows), ROWS):
            largest = rows.new_full((block.stop - block.start, 1), torch.finfo(rows.dtype).min)
            total = torch.zeros_like(largest)
            for logits, _, chunk in _products(rows, block, keys, excluded, query.shape[1]):
                before, largest = largest, torch.maximum(largest, logits.amax(dim=1, keepdim=True))
                shrink = (before - largest).exp_()
                weights = logits.sub_(largest).clamp_(min=NOTHING).exp_()
                total.mul_(shrink).add_(weights.sum(dim=1, keepdim=True))
                if mean is not None:
                    mean[block].mul_(shrink).addmm_(weights, chunk)
            none_left = largest == torch.finfo(rows.dtype).min
            result[block] = total.log().add_(largest).masked_fill_(none_left, -torch.inf)
            if mean is not None:
                mean[block].div_(total).masked_fill_(none_left, 0)
        ctx.save_for_backward(query, keys, excluded, mean, result)
        return result.view(query.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, keys, excluded, mean, result = ctx.saved_tensors
        of_query = None if mean is None else grad.unsqueeze(-1) * mean.view_as(query)
        if not ctx.needs_input_grad[1]:
            return of_query, None, None
        rows = query.reshape(-1, query.shape[-1])
        upstream = grad.reshape(-1, 1) * rows
        result = result.clamp_min(torch.finfo(rows.dtype).min)  # −∞ − −∞ is NaN
        of_keys = torch.zeros_like(keys)
        for block in _slices(len(rows), ROWS):
            for logits, place, _ in _products(rows, block, keys, excluded, query.shape[1]):
                weights = logits.sub_(result[block]).clamp_(min=NOTHING).exp_()
                of_keys[place] += weights.mT @ upstream[block]
        return of_query, of_keys, None


def _products(
    rows: Tensor, block: slice, keys: Tensor, excluded: Tensor | None, rows_per_sample: int
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """Dot products of a block of rows with each chunk of the keys, in one buffer; the chunk's place, the chunk."""
    queries = rows[block]
    of_rows = None
    if excluded is not None:
        of_rows = torch.arange(block.start, block.stop, device=rows.device) // rows_per_sample
    length = max(64, CHUNK // len(queries))
    buffer = rows.new_empty(len(queries) * min(length, len(keys)))
    for place in _slices(len(keys), length):
        chunk = keys[place].to(rows.dtype)
        logits = torch.mm(queries, chunk.mT, out=buffer[: len(queries) * len(chunk)].view(len(queries), len(chunk)))
        if excluded is not None:
            logits.masked_fill_(excluded[:, place][of_rows], -torch.inf)
        yield logits, place, chunk


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
