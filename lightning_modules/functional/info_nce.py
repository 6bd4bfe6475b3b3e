"""InfoNCE against a long queue, streamed: the logits are never stored."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

CHUNK = 1 << 21
"""Logits that are held at a time: 8 MB in float32."""


def info_nce_loss(
    predicted: Tensor, target: Tensor, queue: Tensor, temperature: float = 0.2, excluded: Tensor | None = None
) -> Tensor:
    """Similarity of two groups of frames of one video, against negatives from a queue.

    For each pair (i, j) of a video `−log(e^{p_i·z_j/τ} / (e^{p_i·z_j/τ} + Σ_k e^{p_i·u_k/τ}))`: one positive, and no
    negatives but the queue's. It is `softplus(n_i − p_i·z_j/τ)` with `n_i = log Σ_k e^{p_i·u_k/τ}`, so the queue is
    gone through once for all of a frame's pairs. Neither targets nor queue receive a gradient.

    Paper: VFS, section 3.2, Eq. 4.

    Args:
        predicted: `(B, n/2, D)` of unit length (the equation's p is; dot products are taken as they come).
        target: `(B, n/2, D)` of unit length.
        queue: `(K, D)` of unit length.
        temperature: τ.
        excluded: `(B, K)` bool, keys that are no negatives of a video, its own; None excludes none.

    Returns:
        Scalar, the mean over pairs and videos, in float32 at least.

    Raises:
        ValueError: if the shapes do not fit or the temperature is not above 0.

    Example:
        >>> frames = torch.eye(4).view(1, 4, 4)
        >>> info_nce_loss(frames[:, :2], frames[:, :2], frames[0, 2:], temperature=1.0)
        tensor(0.8266)
    """
    _check(predicted, target, queue, temperature, excluded)
    exact = torch.promote_types(predicted.dtype, torch.float32)
    with torch.autocast(predicted.device.type, enabled=False):
        query = predicted.to(exact) / temperature
        positive = query @ target.detach().to(exact).mT
        negative = _QueueLogSumExp.apply(query, queue.detach(), excluded)
        return softplus(negative.unsqueeze(-1) - positive).mean()


class _QueueLogSumExp(Function):
    """`log Σ_k exp(q·u_k)` of queries `(B, n, D)` over a queue `(K, D)` → `(B, n)`.

    The softmax-weighted mean of the keys, which is the gradient, is gathered in the same pass; nothing else is kept.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, queue: Tensor, excluded: Tensor | None) -> Tensor:
        rows = query.reshape(-1, query.shape[-1])
        length = max(64, CHUNK // len(rows))
        largest = rows.new_full((len(rows), 1), torch.finfo(rows.dtype).min)
        total = rows.new_zeros(len(rows), 1)
        mean = torch.zeros_like(rows) if query.requires_grad else None
        buffer = rows.new_empty(len(rows) * min(length, len(queue)))
        for start in range(0, len(queue), length):
            keys = queue[start : start + length].to(rows.dtype)
            logits = torch.mm(rows, keys.mT, out=buffer[: len(rows) * len(keys)].view(len(rows), len(keys)))
            if excluded is not None:
                of_videos = logits.view(*query.shape[:2], len(keys))
                of_videos.masked_fill_(excluded[:, None, start : start + length], -torch.inf)
            before, largest = largest, torch.maximum(largest, logits.amax(dim=1, keepdim=True))
            shrink = (before - largest).exp_()
            weights = logits.sub_(largest).exp_()
            total.mul_(shrink).add_(weights.sum(dim=1, keepdim=True))
            if mean is not None:
                mean.mul_(shrink).addmm_(weights, keys)
        if mean is not None:
            # where all keys are excluded the sum is 0, and so is the gradient
            ctx.save_for_backward(mean.div_(total.clamp_min(torch.finfo(total.dtype).tiny)).view_as(query))
        return total.log_().add_(largest).view(query.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (mean,) = ctx.saved_tensors
        return grad.unsqueeze(-1) * mean, None, None


def _check(predicted: Tensor, target: Tensor, queue: Tensor, temperature: float, excluded: Tensor | None) -> None:
    if predicted.ndim != 3 or predicted.shape != target.shape or queue.ndim != 2:
        raise ValueError(
            "info_nce_loss: expected predicted and target (B, n/2, D) and queue (K, D), "
            f"got {tuple(predicted.shape)}, {tuple(target.shape)}, {tuple(queue.shape)}"
        )
    if queue.shape[1] != predicted.shape[2] or not len(queue):
        raise ValueError(
            f"info_nce_loss: a queue {tuple(queue.shape)} does not fit embeddings {predicted.shape[2]} wide"
        )
    if temperature <= 0:
        raise ValueError(f"info_nce_loss: temperature must be above 0, got {temperature}")
    wanted = (len(predicted), len(queue))
    if excluded is not None and (excluded.shape != wanted or excluded.dtype != torch.bool):
        raise ValueError(f"info_nce_loss: excluded must be bool {wanted}, got {excluded.dtype} {tuple(excluded.shape)}")
