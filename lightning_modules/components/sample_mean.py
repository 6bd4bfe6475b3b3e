"""A mean over samples that does not depend on how they are spread over batches and ranks."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleMean(Metric):
    """Mean of per-batch means, weighted by the number of samples; sums are reduced over the ranks.

    Lightning's own reduction of a logged mean divides by the ranks' mean number of samples, rounded down. Nothing is
    updated in place, so that a module may validate in inference mode first and outside it later.
    """

    total: Tensor
    samples: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, mean: Tensor, samples: int) -> None:
        """Add a batch.

        Args:
            mean: scalar, of the batch.
            samples: number of samples in the batch.
        """
        self.total = self.total + mean.detach().float() * samples
        self.samples = self.samples + samples

    def compute(self) -> Tensor:
        """Return the mean over all samples of all ranks, float32."""
        return self.total / self.samples
