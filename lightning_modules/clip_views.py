"""The two views of VFS in a clip."""

import torch
from torch import Tensor


def split_views(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Split a clip in time into the two views of VFS, the first and the last half (VFS, section 3.2).

    Args:
        clip: `(B, n, …)`, frames in time order.

    Returns:
        Two tensors `(B, n/2, …)`.

    Raises:
        ValueError: if n is odd.
    """
    if clip.shape[1] % 2:
        raise ValueError(f"a clip of {clip.shape[1]} frames cannot be split into two views: use an even number")
    first, second = torch.chunk(clip, 2, dim=1)
    return first, second
