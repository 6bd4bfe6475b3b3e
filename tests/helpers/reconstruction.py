"""Random queries, references and values."""

from typing import Any

import torch
from torch import Tensor

BORDERS: tuple[Any, Any] = ("exclude", "zero")


def maps(batch: int, count: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, references and two-channel values, in double precision."""
    query = torch.randn(batch, channels, height, width, dtype=torch.float64)
    references = torch.randn(batch, count, channels, height, width, dtype=torch.float64)
    return query, references, torch.randn(batch, count, 2, height, width, dtype=torch.float64)
