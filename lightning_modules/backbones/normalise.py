"""Normalisation of RGB, and ImageNet's constants."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation, channel by channel; the constants stay out of checkpoints.

    Args:
        mean: mean of the channels of RGB in [0, 1].
        std: standard deviation of the channels of RGB in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)` in [0, 1], to the constants' type, channels last in memory."""
        normalised = (images - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)
