"""Values that all ranks of a training share: gathered tensors and random draws."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from vidcorr.functional.device import world_size_and_rank


def all_rows(tensor: Tensor) -> Tensor:
    """Concatenate tensors of equal shape over all ranks, in rank order: `(N, …)` → `(ranks · N, …)`."""
    ranks, _ = world_size_and_rank()
    if ranks == 1:
        return tensor
    tensor = tensor.contiguous()
    gathered = tensor.new_empty(ranks * len(tensor), *tensor.shape[1:])
    # as bytes, because gloo knows no bfloat16
    parts = gathered.view(torch.uint8).chunk(ranks)
    dist.all_gather(list(parts), tensor.view(torch.uint8))
    return gathered


def means_over_ranks(scalars: Mapping[str, Tensor | float], device: torch.device) -> dict[str, Tensor]:
    """Return the means of scalars over all ranks, float32 on a device, by one all_reduce and without a barrier."""
    values = [torch.as_tensor(value, dtype=torch.float32, device=device) for value in scalars.values()]
    stacked = torch.stack(values).detach()
    ranks, _ = world_size_and_rank()
    if ranks > 1:
        dist.all_reduce(stacked)
        stacked /= ranks
    return dict(zip(scalars, stacked.unbind(), strict=True))


def own_rows(gathered: Tensor, rows: int) -> Tensor:
    """Return this rank's rows of a tensor of the rows of all ranks, or of this rank alone."""
    first = world_size_and_rank()[1] * rows if len(gathered) > rows else 0
    return gathered[first : first + rows]


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a method, for example of the key (seed, epoch, batch)."""
    distinct = tuple(number if number >= 0 else (-number,) for number in key)
    return torch.Generator().manual_seed(hash(distinct) % 2**63)
