"""BatchNorm over groups of a batch, and Shuffle BN: queries and keys are normalised in different groups."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidcorr.functional.device import to_device, world_size_and_rank

from .distributed import all_rows

Encode = Callable[[Tensor], Tensor]
"""Frames of videos `(B, m, 3, H, W)` → embeddings `(B, m, D)`."""


@contextmanager
def batch_norm_groups(network: nn.Module, groups: int) -> Iterator[None]:
    """Normalise groups of a batch separately within the context; all other layers see the whole batch.

    Outputs and gradients equal a separate pass per group, to rounding. A BatchNorm updates its running statistics once
    per group, in the order of the batch. A single pass is faster: convolutions see a large batch, and weights are
    converted to half precision once.

    Only torch's BatchNorm and its subclasses (SyncBatchNorm, timm's BatchNorms) are split: any other layer that
    depends on the batch would see all groups together.

    Args:
        network: network that contains the BatchNorms.
        groups: number of consecutive parts of equal length; it must divide the length of a batch.

    Example:
        >>> norm = nn.BatchNorm1d(1, affine=False)
        >>> with batch_norm_groups(norm, 2):
        ...     norm(torch.tensor([[1.0], [3.0], [20.0], [40.0]])).flatten().round()
        tensor([-1.,  1., -1.,  1.])
    """
    parts = network.modules() if groups > 1 else ()
    norms: list[Any] = [part for part in parts if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.batch_groups = groups
        # a method is compiled once, a closure would be compiled again in each context
        norm.forward = MethodType(_by_groups, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward, norm.batch_groups


def _by_groups(norm: Any, batch: Tensor) -> Tensor:
    return torch.cat([type(norm).forward(norm, part) for part in batch.chunk(norm.batch_groups)])


def encode_shuffled(frames: Tensor, groups: int, generator: torch.Generator, encode: Encode) -> Tensor:
    """Encode videos in shuffled BatchNorm groups, over all ranks, and return the embeddings in the original order.

    If a query and its key were normalised with the same videos, batch statistics alone would distinguish the pair from
    the keys of the queue. For this pass the videos of a group are therefore distributed evenly over all groups of all
    ranks. A video moves with all its frames: single frames would spread every video over every group.

    All ranks must pass equally many videos and generators in the same state.

    Papers: MoCo (He et al., CVPR 2020), section 3.3; VFS, section 4.1. MoCo permutes the batch at random, which
    sometimes leaves a small group together; the even shuffle never does.

    Args:
        frames: `(B, m, 3, H, W)`, the videos of this rank, of any type, in which they travel.
        groups: number of groups per rank, in the order of the videos; it must divide B.
        generator: generator of the shuffle, on the CPU.
        encode: normalises each group separately, as within `batch_norm_groups`.

    Returns:
        `(ranks · B, m, D)`: the embeddings of all ranks, in the order of ranks and videos.

    Raises:
        ValueError: if there are several groups of a single video.
    """
    ranks, rank = world_size_and_rank()
    deal = deal_videos(ranks * groups, len(frames) // groups, generator).view(ranks, -1)
    # as in MoCo's code, each rank gathers the videos of all ranks, and takes those that were dealt to it
    dealt = all_rows(frames)[to_device(deal[rank], frames.device)]
    shuffled = all_rows(encode(dealt))
    in_order = torch.empty_like(shuffled)
    in_order[to_device(deal.flatten(), shuffled.device)] = shuffled
    return in_order


def deal_videos(groups: int, videos: int, generator: torch.Generator) -> Tensor:
    """Deal the videos of each group out to all groups, as evenly as possible and at random.

    Of several groups, each of at least two videos, every group then holds videos of at least two groups.

    Args:
        groups: number of groups over all ranks.
        videos: number of videos per group.
        generator: on the CPU.

    Returns:
        `(groups, videos)` long, the videos of the groups after the shuffle; video v of group g has index g · videos +
        v.

    Raises:
        ValueError: for several groups of a single video, because a video alone in a group is always normalised by
            itself.

    Example:
        >>> deal_videos(4, 3, torch.Generator().manual_seed(0)).tolist()  # as in published runs
        [[3, 8, 10], [2, 6, 11], [0, 5, 9], [1, 4, 7]]
    """
    if groups > 1 and videos < 2:
        raise ValueError(f"{groups} groups of 1 video cannot be mixed: lower model.groups or raise data.batch_size")
    order = torch.stack([torch.randperm(videos, generator=generator) for _ in range(groups)])
    first = torch.randint(groups, (), generator=generator)
    group = torch.arange(groups)[:, None]
    dealt = (order + group * videos).flatten()
    # group g deals its videos out like cards, one to each group in turn: the first to group g + `first`
    receiver = (torch.arange(videos) + group + first) % groups
    # stable: in one order on all machines
    by_receiver = receiver.flatten().argsort(stable=True)
    return dealt[by_receiver].view(groups, videos)
