"""A mean over the samples of all ranks."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleMean(Metric):
    """Mean of per-batch means, weighted by the number of samples; sums are reduced over the ranks.

    Lightning's reduction of a logged mean divides by the ranks' mean number of samples, rounded down. Nothing is
    updated in place, so a module may validate in inference mode first and outside it later.
    """

    sums: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("sums", torch.zeros(2), dist_reduce_fx="sum")  # sum of the loss, number of samples

    def update(self, mean: Tensor, samples: int) -> None:
        """Add a batch.

        Args:
            mean: scalar, the mean of the batch.
            samples: number of samples in the batch.
        """
        mean = mean.detach().float()
        self.sums = self.sums + samples * torch.stack([mean, torch.ones_like(mean)])

    def compute(self) -> Tensor:
        """Return the mean over all samples of all ranks, float32."""
        return self.sums[0] / self.sums[1]
