"""What Liir's losses make of a reconstruction by `reconstruct_locally`.

Negatives only scale it: Eq. 4 is `A′ = A · sigmoid(log Σ_W exp(q·r) − log Σ_n exp(q·v))`, so the log-sum-exp of the
negatives (`negatives.py`) is enough.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .compactness import SHARPNESS


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
