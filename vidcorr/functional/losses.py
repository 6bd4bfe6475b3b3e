"""Objectives on embeddings: VFS without negatives, VFS with a queue, and the contrastive random walk."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from .device import to_device
from .logsumexp import dot_logsumexp

DROPPED = -1e20
"""Cosine of a dropped edge, as in the public code: a row that has lost all edges becomes uniform, not NaN."""
EPSILON = 1e-20
"""Added to probabilities before the logarithm, as in the public code."""


def simsiam_loss(p1: Tensor, z1: Tensor, p2: Tensor, z2: Tensor) -> Tensor:
    """Compute the distance between two groups of a video's frames, without negatives.

    The loss is the mean over all pairs (i, j) of `2 − 2 p_i·z_j` between l2-normalised vectors, averaged over both
    directions. The targets `z` receive no gradient. The objective is linear in the affinity, so its mean over
    n/2 × n/2 pairs is a product of the two groups' mean vectors.

    Paper: VFS, section 3.2, Eqs. 3 and 5.

    Args:
        p1: `(B, n/2, D)` predictions of the first group.
        z1: its projections, of the same shape.
        p2: predictions of the second group.
        z2: its projections.

    Returns:
        Scalar in [0, 4].

    Raises:
        ValueError: if the shapes differ or are not `(B, n/2, D)`.

    Example:
        >>> import torch
        >>> frames = torch.eye(4).view(1, 4, 4)
        >>> simsiam_loss(frames, frames, frames, frames)
        tensor(1.5000)
    """
    if not (p1.shape == z1.shape == p2.shape == z2.shape) or p1.ndim != 3:
        shapes = [tuple(tensor.shape) for tensor in (p1, z1, p2, z2)]
        raise ValueError(f"simsiam_loss: expected four tensors of equal shape (B, n/2, D), got {shapes}")
    return 2 - _mean_similarity(p1, z2) - _mean_similarity(p2, z1)


def _mean_similarity(prediction: Tensor, target: Tensor) -> Tensor:
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    # the mean over all pairs is the product of the mean vectors
    query = normalize(prediction.to(dtype), dim=-1).mean(dim=1)
    key = normalize(target.detach().to(dtype), dim=-1).mean(dim=1)
    return (query * key).sum(dim=-1).mean()


def info_nce_loss(
    predicted: Tensor, target: Tensor, queue: Tensor, temperature: float = 0.2, excluded: Tensor | None = None
) -> Tensor:
    """Compute InfoNCE between two groups of a video's frames, against negatives from a queue.

    The term of a pair (i, j) is `−log(e^{p_i·z_j/τ} / (e^{p_i·z_j/τ} + Σ_k e^{p_i·u_k/τ}))`: a positive against the
    queue's negatives. It equals `softplus(n_i − p_i·z_j/τ)` with `n_i = log Σ_k e^{p_i·u_k/τ}`, so a single pass over
    the queue serves all pairs of a frame. Targets and queue receive no gradient.

    Paper: VFS, section 3.2, Eq. 4.

    Args:
        predicted: `(B, n/2, D)`, of unit length in the paper; dot products are taken without normalising.
        target: `(B, n/2, D)` of unit length.
        queue: `(K, D)` of unit length.
        temperature: τ.
        excluded: `(B, K)` bool, keys that are not negatives of a video, for example its earlier keys; None: no key.

    Returns:
        Scalar, the mean over pairs and videos, in float32 or finer.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> frames = torch.eye(4).view(1, 4, 4)
        >>> info_nce_loss(frames[:, :2], frames[:, :2], frames[0, 2:], temperature=1.0)
        tensor(0.8250)
    """
    if predicted.ndim != 3 or predicted.shape != target.shape or queue.ndim != 2:
        raise ValueError(
            "info_nce_loss: expected predicted and target (B, n/2, D) and queue (K, D), "
            f"got {tuple(predicted.shape)}, {tuple(target.shape)}, {tuple(queue.shape)}"
        )
    exact = torch.promote_types(predicted.dtype, torch.float32)
    with torch.autocast(predicted.device.type, enabled=False):
        query = predicted.to(exact) / temperature
        positive = query @ target.detach().to(exact).mT
        negative = dot_logsumexp(query, queue, excluded)
        return softplus(negative.unsqueeze(-1) - positive).mean()


@torch.no_grad()
def pair_similarities(predicted: Tensor, target: Tensor, queue: Tensor) -> dict[str, Tensor]:
    """Return the mean dot products of positive pairs, and of predictions with the queue, to monitor training.

    Example:
        >>> predicted = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])  # of a video with two frames in each group
        >>> target = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> pair_similarities(predicted, target, queue=torch.tensor([[-1.0, 0.0, 0.0]]))
        {'positive_similarity': tensor(0.5000), 'negative_similarity': tensor(-1.)}
    """
    # the mean over all pairs of frames is the product of the groups' means
    positive = predicted.mean(dim=1) * target.mean(dim=1)
    queue_mean = queue.mean(dim=0).to(predicted.dtype)
    return {
        "positive_similarity": positive.sum(dim=1).mean(),
        "negative_similarity": predicted.mean(dim=(0, 1)) @ queue_mean,
    }


def contrastive_random_walk_loss(
    nodes: Tensor, temperature: float = 0.07, dropped: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Compute the cycle consistency of random walks from frame 0 to a later frame and back.

    A step to the next frame has the softmax of cosines / temperature over that frame's nodes; a step back has the
    softmax over the earlier frame's nodes. For k = 2 … T − 1 a walk goes k frames forward and k back. Its term is the
    cross-entropy of its transition matrix against the identity; the loss is the mean of the T − 2 terms. The shortest
    palindrome (k = 1) is left out. Equal to the released code. Algorithm 1 of the paper has a single walk of full
    length, and drops edges forward and back independently.

    Paper: Jabri et al., Space-Time Correspondence as a Contrastive Random Walk (CRW), NeurIPS 2020.

    Args:
        nodes: `(B, C, T, N)` of unit length along C.
        temperature: τ.
        dropped: None, or two bool masks `(B, T − 1, N, N)` of dropped edges: of steps from frame t (rows) to t + 1, and
            of steps from frame t + 1 (rows) to t. An edge dropped forward is dropped on the way back too.

    Returns:
        Scalar in float32 or finer; 0 for T = 2.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> still = torch.eye(3).view(1, 3, 1, 3).expand(-1, -1, 4, -1)
        >>> contrastive_random_walk_loss(still, temperature=0.05)
        tensor(0.)
    """
    if nodes.ndim != 4 or nodes.shape[2] < 2 or not nodes.is_floating_point():
        raise ValueError(
            f"contrastive_random_walk_loss: expected float nodes (B, C, T, N) with T >= 2, got {tuple(nodes.shape)}"
        )
    count = nodes.shape[3]
    nodes = nodes.to(torch.promote_types(nodes.dtype, torch.float32))
    with torch.autocast(nodes.device.type, enabled=False):
        cosines = torch.einsum("bctn,bctm->btnm", nodes[:, :, :-1], nodes[:, :, 1:])
        forward = cosines
        backward = cosines.mT
        if dropped is not None:
            out, back = dropped
            forward = forward.masked_fill(out, DROPPED)
            backward = backward.masked_fill(back | out.mT, DROPPED)
        forward = (forward / temperature).softmax(-1)
        backward = (backward / temperature).softmax(-1)
        # (B, N, N), the steps from frame 0 to 1 and back
        forward_walk = forward[:, 0]
        return_walk = backward[:, 0]
        first_nodes = torch.arange(count, device=nodes.device).repeat(len(nodes))
        terms = []
        for step in range(1, forward.shape[1]):
            forward_walk = forward_walk @ forward[:, step]
            # the step back to frame `step` comes first
            return_walk = backward[:, step] @ return_walk
            round_trip = (forward_walk @ return_walk + EPSILON).log()
            # logarithms of probabilities pass the softmax of cross-entropy unchanged
            terms.append(cross_entropy(round_trip.flatten(0, 1), first_nodes))
    if terms:
        return torch.stack(terms).mean()
    # T = 2 has no term: 0 with a gradient
    return nodes.sum() * 0


def draw_dropped_edges(nodes: Tensor, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the masks `dropped` of `contrastive_random_walk_loss`, independently per edge and direction.

    Example:
        >>> forth, back = draw_dropped_edges(torch.zeros(1, 2, 3, 3), 0.4, torch.Generator().manual_seed(0))
        >>> forth.flatten(2).int()  # of two steps, from each of three nodes to each of the next frame
        tensor([[[0, 0, 1, 1, 1, 0, 0, 0, 0],
                 [0, 1, 0, 1, 1, 1, 0, 0, 0]]], dtype=torch.int32)
    """
    batch, _, frames, count = nodes.shape
    draws = torch.rand(2, batch, frames - 1, count, count, generator=generator, dtype=torch.float32) < rate
    out, back = to_device(draws, nodes.device)
    return out, back
