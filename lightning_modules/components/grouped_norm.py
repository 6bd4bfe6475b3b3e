"""BatchNorm over groups of a batch, so that one pass of a network stands for a pass of each group."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def batch_norm_groups(network: nn.Module, groups: int) -> Iterator[None]:
    """Normalise groups of a batch separately while the context lasts; all other layers see one batch.

    The outputs are those of a pass of each group, one after the other, to rounding; gradients too. Each BatchNorm moves
    its running statistics once for each group, in the order of the batch. Convolutions of a large batch are faster than
    those of its parts, and weights are converted to half precision once.

    Only torch's BatchNorm and classes derived from it (SyncBatchNorm, those of timm) are split: another layer that
    depends on the batch would see all groups together.

    Args:
        network: whose BatchNorms are affected.
        groups: number of consecutive parts of equal length; it must divide the length of a batch.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)] if groups > 1 else []
    for norm in norms:
        norm.batch_groups = groups  # type: ignore[assignment]
        norm.forward = MethodType(_by_groups, norm)  # type: ignore[method-assign]  # a method is compiled once
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward, norm.batch_groups


def _by_groups(norm: Any, batch: Tensor) -> Tensor:
    return torch.cat([type(norm).forward(norm, part) for part in batch.chunk(norm.batch_groups)])
