"""InfoNCE against a long queue, streamed: the logits are never stored."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .logsumexp import dot_logsumexp


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
        tensor(0.8250)
    """
    _check(predicted, target, queue, temperature, excluded)
    exact = torch.promote_types(predicted.dtype, torch.float32)
    with torch.autocast(predicted.device.type, enabled=False):
        query = predicted.to(exact) / temperature
        positive = query @ target.detach().to(exact).mT
        negative = dot_logsumexp(query, queue.detach(), excluded)
        return softplus(negative.unsqueeze(-1) - positive).mean()


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
