"""Values that all ranks of a training share: gathered tensors, random draws, means over all samples."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric

from vidcorr.functional.device import world_size_and_rank


def gather(tensor: Tensor) -> Tensor:
    """Concatenate tensors of equal shape over all ranks, in rank order: `(N, …)` → `(ranks · N, …)`."""
    ranks, _ = world_size_and_rank()
    if ranks == 1:
        return tensor
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(ranks)]
    # sent as bytes, because gloo knows no bfloat16
    dist.all_gather([part.view(torch.uint8) for part in parts], tensor.view(torch.uint8))
    return torch.cat(parts)


def own_rows(gathered: Tensor, rows: int) -> Tensor:
    """Return this rank's rows of a gathered tensor.

    Args:
        gathered: `(ranks · rows, …)`, a result of `gather`; or `(rows, …)`, which is returned unchanged.
        rows: number of rows per rank.
    """
    first = world_size_and_rank()[1] * rows if len(gathered) > rows else 0
    return gathered[first : first + rows]


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a method, for example of the key (seed, epoch, batch).

    Its seed is Python's hash of the key. A negative part enters as a tuple, because `hash(-1) == hash(-2)`.
    """
    distinct = tuple(part if part >= 0 else (-part,) for part in key)
    return torch.Generator().manual_seed(hash(distinct) % 2**63)


class SampleMean(Metric):
    """Mean of per-batch means, weighted by the number of samples; sums are reduced over the ranks.

    Lightning's reduction of a logged mean divides by the ranks' mean number of samples, rounded down; torchmetrics'
    `MeanMetric` leaves NaN out, or with `nan_strategy="disable"` the weights. Nothing is updated in place, so a module
    may validate in inference mode first and outside it later.
    """

    sums: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("sums", torch.zeros(2), dist_reduce_fx="sum")  # sum of the loss, number of samples

    def update(self, mean: Tensor, samples: int) -> None:
        """Add the mean of a batch, a scalar, and its number of samples."""
        mean = mean.detach().float()
        self.sums = self.sums + samples * torch.stack([mean, torch.ones_like(mean)])

    def compute(self) -> Tensor:
        """Return the mean over all samples of all ranks, float32."""
        return self.sums[0] / self.sums[1]
