"""The momentum encoder: a moving average of the network that learns."""

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn

from .full_precision import FullPrecision


class MomentumEncoder(FullPrecision):
    """Moving average of an encoder's parameters; it takes no gradient.

    The average is float32 or finer whatever the precision of training; images in half precision pass through it by
    autocast, at the speed of that precision. In a state dict its tensors have the names of the encoder's.

    Papers: MoCo (He et al., CVPR 2020), Eq. 2; VFS, Eq. 2.

    Args:
        encoder: the encoder to average, copied as it is now.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.average = copy.deepcopy(encoder).requires_grad_(False)
        self.register_state_dict_post_hook(_without_own_name)
        self.register_load_state_dict_pre_hook(_with_own_name)

    def forward(self, images: Tensor, *args: Any) -> Tensor:
        """Encode images by the average; further arguments are those of the encoder."""
        half = images.dtype in (torch.float16, torch.bfloat16)
        with torch.autocast(images.device.type, images.dtype) if half else contextlib.nullcontext():
            return self.average(images, *args)

    @torch.no_grad()
    def update(self, encoder: nn.Module, momentum: float) -> None:
        """Move the average towards an encoder: `ξ ← m ξ + (1 − m) θ`.

        Buffers are not averaged: BatchNorm statistics are those of the average's own passes, as in MoCo.

        Args:
            encoder: the encoder that learns, of the same structure.
            momentum: m in [0, 1].

        Raises:
            ValueError: for a momentum outside [0, 1], which would not average.
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"encoder_momentum must be in [0, 1], got {momentum}")
        average: list[Tensor] = list(self.parameters())
        moved = [theta.to(xi.dtype) for xi, theta in zip(average, encoder.parameters(), strict=True)]
        torch._foreach_lerp_(average, moved, 1 - momentum)


def _without_own_name(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}average.")]:
        state[prefix + name.removeprefix(f"{prefix}average.")] = state.pop(name)


def _with_own_name(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[f"{prefix}average.{name.removeprefix(prefix)}"] = state.pop(name)
