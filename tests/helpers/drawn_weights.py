"""Weights by the formula of tests/golden/README.md, by which authors' networks got theirs too."""

import zlib
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

N = TypeVar("N", bound=nn.Module)


def drawn(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    return np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32).standard_normal(shape)


def drawn_weight(name: str, shape: tuple[int, ...], seed: int, gain: float = 1.0) -> NDArray[np.float64]:
    draw = drawn(name, shape, seed)
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(draw)
    if len(shape) == 4:
        return draw * gain * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
    if len(shape) == 2:
        return draw / np.sqrt(shape[1])
    if name == "positions":
        return 0.2 * draw
    return 1 + 0.1 * draw if name.endswith("weight") else 0.1 * draw


def neutral(name: str) -> str:
    """The golden files' name of a weight of ours."""
    return name.removeprefix("backbone.").replace("position.places", "positions")


def with_drawn_weights(method: N, seed: int, gain: float = 1.0) -> N:
    """Return a module with weights and running statistics by the formula; `gain` is the affinity's."""
    tensors = dict(method.named_parameters()) | {k: b for k, b in method.named_buffers() if "running_" in k}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own_gain = gain if neutral(name) == "affinity.weight" else 1.0
            tensor.copy_(torch.from_numpy(drawn_weight(neutral(name), tuple(tensor.shape), seed, own_gain)))
    return method
