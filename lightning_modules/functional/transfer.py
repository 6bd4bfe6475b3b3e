"""Copies between the CPU and a GPU for which the CPU does not wait until the GPU has done all that is queued."""

from typing import Any

import torch
from torch import Tensor


def to_device(values: Any, device: torch.device) -> Tensor:
    """Return a tensor or numbers on a device; to a GPU by way of pinned memory, and without waiting for it."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")  # to the CPU it would return before the copy is there


class PendingCopy:
    """A tensor on its way to the CPU: a GPU copies it when it has computed it, and works on meanwhile.

    Args:
        tensor: on any device; one of the CPU is there already.
    """

    def __init__(self, tensor: Tensor) -> None:
        gpu = tensor.device.type == "cuda"
        self._tensor = tensor.to("cpu", non_blocking=gpu)  # in pinned memory, not to be read yet
        self._copied = torch.cuda.Event() if gpu else None
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(tensor.device))

    @property
    def of_gpu(self) -> bool:
        """True if a GPU copies it, so that `wait` may block."""
        return self._copied is not None

    def wait(self) -> Tensor:
        """Return the tensor, on the CPU, once it is there."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor
