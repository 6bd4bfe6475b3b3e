"""Tensors gathered over the ranks of a distributed training."""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size_and_rank() -> tuple[int, int]:
    """Return the number of ranks and the rank of this process; 1 and 0 without torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0


def gather(tensor: Tensor) -> Tensor:
    """Concatenate tensors of equal shape over all ranks, in rank order: `(N, …)` → `(ranks · N, …)`."""
    ranks, _ = world_size_and_rank()
    if ranks == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(ranks)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def own_rows(gathered: Tensor, rows: int) -> Tensor:
    """Return this rank's rows of a gathered tensor.

    Args:
        gathered: `(ranks · rows, …)`, a result of `gather`; or `(rows, …)`, which is returned unchanged.
        rows: number of rows per rank.
    """
    first = world_size_and_rank()[1] * rows if len(gathered) > rows else 0
    return gathered[first : first + rows]
