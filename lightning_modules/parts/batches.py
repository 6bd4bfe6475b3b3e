"""Batches as loaders give them: one, or one of each of several loaders."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def parts_of(batch: object, image: str) -> list[Any]:
    """Return the batches that Lightning gives to a step, in a list: one, or one of each of several loaders.

    Args:
        batch: the batch of a single loader; or a dict or a list of the batches of several loaders, with None for a
            loader that has ended.
        image: name of an image that each batch has.

    Example:
        >>> parts_of({"clip": 1, "label": 2}, "clip")
        [{'clip': 1, 'label': 2}]
        >>> parts_of({"first": {"clip": 1}, "second": {"clip": 2}, "ended": None}, "clip")
        [{'clip': 1}, {'clip': 2}]
    """
    parts: list[Any] = []
    if isinstance(batch, Mapping) and image not in batch:
        parts = list(batch.values())
    elif isinstance(batch, list | tuple):
        parts = list(batch)
    present = [part for part in parts if part is not None]
    are_batches = all(isinstance(part, Mapping) for part in present)
    return present if present and are_batches else [batch]


def join_loaders(batch: object, image: str) -> Any:
    """Join the batches of several loaders to one, by rows; a batch of one loader stays as it is.

    Only tensors are joined, and only names that all batches have; the rest is left out.

    Args:
        batch: the batch of one loader; or a dict or list of the batches of several loaders, None for an ended loader.
        image: name of an image that each batch has.

    Example:
        >>> first = {"label": torch.tensor([1, 2]), "failures": []}
        >>> join_loaders([first, {"label": torch.tensor([3]), "place": 7}], "label")
        {'label': tensor([1, 2, 3])}
    """
    parts = parts_of(batch, image)
    if len(parts) == 1:
        return parts[0]
    shared = set(parts[0]).intersection(*parts[1:])
    joined: dict[str, Any] = {}
    for name in parts[0]:
        if name in shared and isinstance(parts[0][name], Tensor):
            joined[name] = torch.cat([part[name] for part in parts])
    return joined
