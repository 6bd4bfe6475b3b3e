"""The objective of VFS without negatives."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def simsiam_loss(p1: Tensor, z1: Tensor, p2: Tensor, z2: Tensor) -> Tensor:
    """Compute the distance of two groups of frames of one video, without negatives.

    The loss is the mean over all pairs (i, j) of `2 − 2 p_i·z_j` between l2-normalised vectors, averaged over both
    directions. The targets `z` receive no gradient. The objective is linear in the affinity, so its mean over
    n/2 × n/2 pairs is a product of the two groups' mean vectors.

    Paper: VFS, section 3.2, Eqs. 3 and 5.

    Args:
        p1: `(B, n/2, D)` predictions of the first group.
        z1: `(B, n/2, D)` projections of the first group.
        p2: `(B, n/2, D)` predictions of the second group.
        z2: `(B, n/2, D)` projections of the second group.

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
        raise ValueError(
            "simsiam_loss: expected four tensors of one shape (B, n/2, D), "
            f"got {[tuple(tensor.shape) for tensor in (p1, z1, p2, z2)]}"
        )
    return 2 - _mean_similarity(p1, z2) - _mean_similarity(p2, z1)


def _mean_similarity(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean cosine over all pairs of a video and over the videos, without gradient into the target."""
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    query = normalize(prediction.to(dtype), dim=-1).mean(dim=1)
    key = normalize(target.detach().to(dtype), dim=-1).mean(dim=1)
    return (query * key).sum(dim=-1).mean()
