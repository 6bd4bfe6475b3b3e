"""A CUDA device that computes shapes only: what would wait for a GPU, or stand on the wrong device, raises there.

Operations whose result depends on values (`.item()`, `if tensor.any()`, `nonzero`) raise under `FakeTensorMode`; on a
GPU each of them waits until all queued work is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode


@contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Compute shapes on a CUDA device that need not exist."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("cuda")


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """Bring a module to the device in place, within `fake_cuda`, where `Module.to` does not work; return it."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().to(device), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)
    return module
