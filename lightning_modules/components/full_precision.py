"""Tensors that stay in full precision inside a module of lower precision."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class FullPrecision(nn.Module):
    """Base of modules whose parameters and buffers are float32 or finer, whatever the surrounding module is cast to.

    `module.to(torch.bfloat16)`, as by Lightning's precision `bf16-true`, reaches every submodule. An average that moves
    by a thousandth of a difference cannot be held in 8 significant bits: most of its updates would round to nothing.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def apply(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            if not result.is_floating_point() or result.dtype.itemsize >= torch.float32.itemsize:
                return result
            return tensor.to(result.device, torch.promote_types(tensor.dtype, torch.float32))

        return super()._apply(apply, recurse)
