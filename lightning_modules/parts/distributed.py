"""Values that all ranks of a training share: gathered tensors and random draws."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from vidcorr.functional.device import to_device, world_size_and_rank


def all_rows(tensor: Tensor) -> Tensor:
    """Concatenate tensors of equal shape over all ranks, in rank order: `(N, …)` → `(ranks · N, …)`."""
    ranks, _ = world_size_and_rank()
    if ranks == 1:
        return tensor
    tensor = tensor.contiguous()
    gathered = tensor.new_empty(ranks * len(tensor), *tensor.shape[1:])
    parts = gathered.view(torch.uint8).chunk(ranks)  # sent as bytes, because gloo knows no bfloat16
    dist.all_gather(list(parts), tensor.view(torch.uint8))
    return gathered


def means_over_ranks(scalars: Mapping[str, Tensor | float], device: torch.device) -> dict[str, Tensor]:
    """Return the means of scalars over all ranks, float32 on a device, by one all_reduce and without a barrier.

    Args:
        scalars: name → scalar; all ranks give the same names in the same order.
        device: device of the ranks' group.
    """
    values = [torch.as_tensor(value, dtype=torch.float32, device=device) for value in scalars.values()]
    stacked = torch.stack(values).detach()
    ranks, _ = world_size_and_rank()
    if ranks > 1:
        dist.all_reduce(stacked)
        stacked /= ranks
    return dict(zip(scalars, stacked.unbind(), strict=True))


def dealt_rows(tensor: Tensor, deal: Tensor) -> Tensor:
    """Return the rows of all ranks that are dealt to this rank; no rank holds the others' rows.

    Args:
        tensor: `(N, …)`, the rows of this rank, of equal shape on all ranks.
        deal: `(ranks, N)`: indices of each rank's new rows among all `ranks · N`, each once; equal on all ranks.

    Returns:
        `(N, …)`, in the order of the rank's row of `deal`.
    """
    ranks, rank = world_size_and_rank()
    if ranks == 1:
        return tensor[to_device(deal[0], tensor.device)]
    owners = deal // len(tensor)
    leaving = owners == rank
    sent = tensor[to_device(deal[leaving] - rank * len(tensor), tensor.device)]  # to rank 0 first, then to rank 1, …
    received = torch.empty_like(sent)
    counts = owners[rank].bincount(minlength=ranks).tolist()
    # sent as bytes, because gloo knows no bfloat16
    dist.all_to_all_single(received.view(torch.uint8), sent.view(torch.uint8), counts, leaving.sum(1).tolist())
    dealt = torch.empty_like(received)
    dealt[to_device(owners[rank].argsort(stable=True), tensor.device)] = received
    return dealt


def own_rows(gathered: Tensor, rows: int) -> Tensor:
    """Return this rank's rows of a gathered tensor.

    Args:
        gathered: `(ranks · rows, …)`, a result of `all_rows` or drawn alike on all ranks; `(rows, …)` is returned
            unchanged.
        rows: number of rows per rank.
    """
    first = world_size_and_rank()[1] * rows if len(gathered) > rows else 0
    return gathered[first : first + rows]


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a method, for example of the key (seed, epoch, batch).

    Its seed is Python's hash of the key. A negative number enters as a tuple, because `hash(-1) == hash(-2)`.
    """
    distinct = tuple(number if number >= 0 else (-number,) for number in key)
    return torch.Generator().manual_seed(hash(distinct) % 2**63)
