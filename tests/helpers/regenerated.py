"""Networks with the weights that the golden files' README tells how to draw again."""

from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def regenerated(network: N, seed: int) -> N:
    """Fill a network by the rule of tests/golden/protocols/README.md, section C, and return it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return network
