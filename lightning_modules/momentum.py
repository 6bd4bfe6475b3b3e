"""What contrastive learning with a momentum encoder needs: the averaged encoder, the queue of its keys, Shuffle BN."""

import copy
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import normalize


def averaged_copy(module: nn.Module) -> nn.Module:
    """A copy to hold a moving average of a module's parameters; it takes no gradient."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """Move an average towards a module's parameters: `ξ ← m ξ + (1 − m) θ` (VFS, Eq. 2).

    Buffers stay the average's own: its BatchNorm statistics are those of its own passes, as in MoCo.

    Args:
        average: of `averaged_copy(module)`.
        module: the module that learns.
        momentum: m in [0, 1].
    """
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - momentum)


class KeyQueue(nn.Module):
    """The newest K keys, first in first out, each with the video it is from.

    It starts with random unit vectors of no video (−1), the same on every rank.

    Args:
        size: K.
        dim: of a key.
        seed: of the first keys.

    Attributes:
        keys: `(K, dim)` of unit length.
        video_ids: `(K,)` long.
        pointer: long scalar, where the next key goes; the oldest key is there.
    """

    keys: Tensor
    video_ids: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a queue must hold at least 1 key, got {size}")
        first = torch.randn(size, dim, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("keys", normalize(first, dim=1))
        self.register_buffer("video_ids", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, video_ids: Tensor) -> None:
        """Put keys `(N, dim)` of videos `(N,)` in the places of the N oldest.

        Raises:
            ValueError: if there are more keys than places, or not one id a key.
        """
        if len(keys) > len(self) or video_ids.shape != keys.shape[:1]:
            raise ValueError(
                f"a queue of {len(self)} cannot take {len(keys)} keys with {tuple(video_ids.shape)} video ids"
            )
        places = (self.pointer + torch.arange(len(keys), device=self.pointer.device)) % len(self)
        self.keys.index_copy_(0, places, keys.to(self.keys.dtype))
        self.video_ids.index_copy_(0, places, video_ids)
        self.pointer.add_(len(keys)).remainder_(len(self))

    def own(self, video_index: Tensor) -> Tensor:
        """Which keys are of the same video: `(B,)` long → `(B, K)` bool."""
        return video_index[:, None] == self.video_ids

    def nearest_sizes(self, keys_per_step: int) -> list[int]:
        """Sizes that the keys of a step divide, the next below and above this one; empty if this one is such a size."""
        below = len(self) // keys_per_step * keys_per_step
        return [size for size in (below, below + keys_per_step) if size > 0] if below != len(self) else []


def encode_groups(encoder: Callable[[Tensor], Tensor], frames: Tensor, groups: int) -> Tensor:
    """Encode videos in groups, one pass each, so that BatchNorm sees one group at a time.

    Args:
        encoder: `(N, 3, H, W)` → `(N, D)`.
        frames: `(B, m, 3, H, W)`.
        groups: number of groups, in the order of the videos.

    Returns:
        `(B, m, D)`.

    Raises:
        ValueError: if B is not divisible by the number of groups.
    """
    _check_groups(frames, groups)
    return torch.cat([encoder(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in frames.chunk(groups)])


def encode_shuffled(
    encoder: Callable[[Tensor], Tensor], frames: Tensor, groups: int, generator: torch.Generator
) -> Tensor:
    """Shuffle BN: encode videos in other company than the queries', over all ranks, and put them back in order.

    BatchNorm mixes what is in one pass, and the queue's keys were never in it: were a query and its key normalised with
    the same videos, the statistics alone would tell them from the queue. So each group of videos is dealt out evenly
    to all groups of all ranks for this pass; no two groups that differ in nothing can arise, as they may by a random
    permutation of a small batch. Videos move as a whole: single frames would spread every video over every group.

    Each rank must call it with as many videos and a generator in the same state.

    Paper: MoCo (He et al., CVPR 2020), section 3.3; VFS, section 4.1.

    Args:
        encoder: `(N, 3, H, W)` → `(N, D)`.
        frames: `(B, m, 3, H, W)`, this rank's.
        groups: per rank.
        generator: of the shuffle, on the CPU.

    Returns:
        `(ranks · B, m, D)`, the keys of all ranks in the order of ranks and videos.

    Raises:
        ValueError: if B is not divisible by the number of groups.
    """
    _check_groups(frames, groups)
    ranks, rank = ranks_and_rank()
    deal = deal_videos(ranks * groups, len(frames) // groups, generator).view(ranks, -1)
    keys = encode_groups(encoder, _exchange(frames, deal, rank), groups)
    shuffled = gather(keys)
    in_order = torch.empty_like(shuffled)
    in_order[deal.flatten().to(keys.device)] = shuffled
    return in_order


def deal_videos(groups: int, videos: int, generator: torch.Generator) -> Tensor:
    """Deal the videos of each group out to all groups, evenly and at random.

    Args:
        groups: number of groups, in all.
        videos: in each group.
        generator: on the CPU.

    Returns:
        `(groups, videos)` long: the videos that make up each group now; video v of group g has number g · videos + v.

    Example:
        >>> deal = deal_videos(2, 4, torch.Generator().manual_seed(0))
        >>> (deal < 4).sum(dim=1)
        tensor([2, 2])
    """
    order = torch.stack([torch.randperm(videos, generator=generator) for _ in range(groups)])
    first = torch.randint(groups, (), generator=generator)
    source = torch.arange(groups)[:, None]
    receiver = (torch.arange(videos) + source + first) % groups
    return (order + source * videos).flatten()[receiver.flatten().argsort(stable=True)].view(groups, videos)


def ranks_and_rank() -> tuple[int, int]:
    """Number of processes that train together, and which one this is."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0


def gather(tensor: Tensor) -> Tensor:
    """Concatenate a tensor of each rank, all of one shape, in the order of ranks: `(N, …)` → `(ranks · N, …)`."""
    ranks, _ = ranks_and_rank()
    if ranks == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(ranks)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def _check_groups(frames: Tensor, groups: int) -> None:
    if groups < 1 or len(frames) % groups:
        raise ValueError(f"{groups} groups that are normalised apart do not divide a batch of {len(frames)} videos")


def _exchange(frames: Tensor, deal: Tensor, rank: int) -> Tensor:
    """Give the ranks the videos that `deal (ranks, B)` assigns to them; each frame travels once."""
    videos = len(frames)
    owner, wanted = deal // videos, deal[rank]
    if len(deal) == 1:
        return frames[wanted.to(frames.device)]
    sent = [deal[receiver][owner[receiver] == rank] - rank * videos for receiver in range(len(deal))]
    received = torch.empty_like(frames, memory_format=torch.contiguous_format)
    dist.all_to_all_single(
        received,
        frames[torch.cat(sent).to(frames.device)],
        output_split_sizes=_counts(owner[rank], len(deal)),
        input_split_sizes=[len(part) for part in sent],
    )
    # what came is sorted by its owner; back to the order of `wanted`
    return received[owner[rank].argsort(stable=True).argsort().to(frames.device)]


def _counts(owners: Tensor, ranks: int) -> list[int]:
    return torch.bincount(owners, minlength=ranks).tolist()
