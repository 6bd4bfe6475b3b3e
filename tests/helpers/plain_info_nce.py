"""InfoNCE as the original code has it: all logits stored."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def plain_info_nce(
    predicted: Tensor, target: Tensor, queue: Tensor, temperature: float, excluded: Tensor | None = None
) -> Tensor:
    """Logits of all pairs, each beside those of the whole queue; a copy of the queue, since it changes in place.

    Args:
        predicted: `(B, n/2, D)`.
        target: `(B, n/2, D)`.
        queue: `(K, D)`.
        temperature: above 0.
        excluded: `(B, K)` bool, keys that are no negatives of a video.
    """
    positive = predicted @ target.mT
    negative = predicted @ queue.clone().T
    if excluded is not None:
        negative = negative.masked_fill(excluded[:, None], -torch.inf)
    negative = negative[:, :, None].expand(*positive.shape, -1)
    logits = torch.cat([positive[..., None], negative], dim=-1).flatten(0, 2) / temperature
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
