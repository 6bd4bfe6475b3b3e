"""InfoNCE against a long queue, in one pass over the queue that never stores the logits."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .logsumexp import dot_logsumexp


def info_nce_loss(
    predicted: Tensor, target: Tensor, queue: Tensor, temperature: float = 0.2, excluded: Tensor | None = None
) -> Tensor:
    """Compute InfoNCE between two groups of frames of one video, against negatives from a queue.

    For each pair (i, j) of a video the term is `−log(e^{p_i·z_j/τ} / (e^{p_i·z_j/τ} + Σ_k e^{p_i·u_k/τ}))`: one
    positive and the queue's negatives. It equals `softplus(n_i − p_i·z_j/τ)` with `n_i = log Σ_k e^{p_i·u_k/τ}`, so one
    pass over the queue serves all pairs of a frame. Neither targets nor queue receive a gradient.

    Paper: VFS, section 3.2, Eq. 4.

    Args:
        predicted: `(B, n/2, D)`, of unit length in the paper; dot products are taken without normalising.
        target: `(B, n/2, D)` of unit length.
        queue: `(K, D)` of unit length.
        temperature: τ.
        excluded: `(B, K)` bool, keys that do not count as negatives of a video, such as its own; None excludes none.

    Returns:
        Scalar, the mean over pairs and videos, in float32 or finer.

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


@torch.no_grad()
def pair_similarities(predicted: Tensor, target: Tensor, queue: Tensor) -> dict[str, Tensor]:
    """Return the mean dot products of positive pairs and of frames with the queue, to monitor training.

    Args:
        predicted: `(B, n/2, D)` of unit length.
        target: `(B, n/2, D)` of unit length.
        queue: `(K, D)` of unit length.

    Returns:
        `positive_similarity` and `negative_similarity`, scalars in [−1, 1].
    """
    return {
        "positive_similarity": (predicted.mean(dim=1) * target.mean(dim=1)).sum(dim=1).mean(),
        "negative_similarity": predicted.mean(dim=(0, 1)) @ queue.mean(dim=0).to(predicted.dtype),
    }


def _check(predicted: Tensor, target: Tensor, queue: Tensor, temperature: float, excluded: Tensor | None) -> None:
    if predicted.ndim != 3 or predicted.shape != target.shape or queue.ndim != 2:
        raise ValueError(
            "info_nce_loss: expected predicted and target (B, n/2, D) and queue (K, D), "
            f"got {tuple(predicted.shape)}, {tuple(target.shape)}, {tuple(queue.shape)}"
        )
    if queue.shape[1] != predicted.shape[2] or not len(queue):
        raise ValueError(
            f"info_nce_loss: a queue {tuple(queue.shape)} does not fit embeddings of width {predicted.shape[2]}"
        )
    if temperature <= 0:
        raise ValueError(f"info_nce_loss: temperature must be above 0, got {temperature}")
    wanted = (len(predicted), len(queue))
    if excluded is not None and (excluded.shape != wanted or excluded.dtype != torch.bool):
        raise ValueError(f"info_nce_loss: excluded must be bool {wanted}, got {excluded.dtype} {tuple(excluded.shape)}")
