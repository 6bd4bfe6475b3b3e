"""A tiny VFSMoCo and its clips."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules import VFSMoCo

TINY = "tests.helpers.contrast:Tiny"


def tiny(queue_size: int = 16, **options: Any) -> VFSMoCo:
    return VFSMoCo(TINY, projection_dim=4, queue_size=queue_size, **options)


def clips(videos: int, frames: int = 4) -> dict[str, Tensor]:
    return {"clip": torch.rand(videos, frames, 3, 8, 8), "video_index": torch.arange(videos)}


def closed_form(start: Tensor, weights: list[Tensor], m: float) -> Tensor:
    """m^n ξ₀ + (1 − m) Σ m^(n−1−k) θ_k in float64."""
    n = len(weights)
    moved = sum(m ** (n - 1 - k) * weight.double() for k, weight in enumerate(weights))
    return m**n * start.double() + (1 - m) * moved
