"""Small random videos of features, and their propagation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcorr.functional import propagate_labels
from vidcorr.protocols import PropagationProtocol


def protocol(**fields: Any) -> PropagationProtocol:
    return PropagationProtocol(**{"name": "x", "context": 3, "topk": 4, "temperature": 0.1, "radius": 3} | fields)


def run(features: Tensor, labels: Tensor, of: PropagationProtocol, **options: Any) -> Tensor:
    return torch.stack(list(propagate_labels(features, labels, of, **options)))


def video(frames: int = 6, channels: int = 8, height: int = 9, width: int = 13) -> Tensor:
    return torch.randn(channels, height, width) + 0.7 * torch.randn(frames, channels, height, width)


def one_hot(count: int, height: int = 9, width: int = 13) -> Tensor:
    return F.one_hot(torch.randint(count, (height, width)), count).permute(2, 0, 1).float()
