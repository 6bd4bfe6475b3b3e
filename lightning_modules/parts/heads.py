"""Views of a clip, and projector and predictor of the siamese networks."""

import torch
from torch import Tensor, nn


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
        raise ValueError(f"a clip of {clip.shape[1]} frames has no two halves: set data.frames to an even number")
    first, second = torch.chunk(clip, 2, dim=1)
    return first, second


class Head(nn.Sequential):
    """Layers over features `(N, C)`, or over the mean of a map `(N, C, h, w)`."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool a map, and apply the layers."""
        if features.ndim == 4:
            features = features.mean((2, 3))
        output: Tensor = super().forward(features)
        return output


def mlp(*widths: int, norm: bool = False, norm_last: bool = False) -> Head:
    """Return linear layers with ReLU between them, over features or the mean of a map.

    VFS without negatives (as SimSiam): projector `mlp(C, D, D, D, norm=True, norm_last=True)` and predictor
    `mlp(D, hidden, D, norm=True)`. VFS with negatives (as MoCo v2): projector `mlp(C, C, 128)`.

    Args:
        widths: width of the input, then the output width of every layer.
        norm: put BatchNorm before every ReLU.
        norm_last: put BatchNorm after the last layer.

    Returns:
        The layers, which map `(N, widths[0])` or `(N, widths[0], h, w)` to `(N, widths[-1])`.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for index, width in enumerate(widths[:-1]):
        layers.append(nn.Linear(width, widths[index + 1]))
        has_norm = norm_last if index == last else norm
        if has_norm:
            layers.append(nn.BatchNorm1d(widths[index + 1]))
        if index != last:
            layers.append(nn.ReLU(inplace=True))
    return Head(*layers)
