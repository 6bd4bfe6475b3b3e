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
    """Return this rank's rows of a tensor that holds the rows of all ranks.

    Args:
        gathered: `(ranks · rows, …)`, a result of `all_rows` or drawn alike on all ranks; or `(rows, …)`, of this rank
            alone, which is returned unchanged.
        rows: number of rows per rank.
    """
    first = world_size_and_rank()[1] * rows if len(gathered) > rows else 0
    return gathered[first : first + rows]


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a method, for example of the key (seed, epoch, batch).

    Its seed is Python's hash of the key. A negative number enters as a tuple, because `hash(-1) == hash(-2)`.

    Example:
        >>> keyed_generator(0, 1, 2).initial_seed()  # published runs drew by these seeds
        2187946392326065592
        >>> keyed_generator(0, 1, 3).initial_seed()  # its hash is negative
        6518244400208145034
        >>> keyed_generator(-1).initial_seed() == keyed_generator(-2).initial_seed()
        False
    """
    distinct = tuple(number if number >= 0 else (-number,) for number in key)
    return torch.Generator().manual_seed(hash(distinct) % 2**63)
