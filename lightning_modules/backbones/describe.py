"""One description of a network, for the console, results.json and the report."""

import re
from typing import Any

from torch import nn

from .build import path_to_network


def describe_network(module: nn.Module) -> str:
    """Return which network a module holds and where its weights are from.

    Args:
        module: a method, a `FrozenEncoder`, or what `build_encoder` returns.

    Returns:
        For example "ResNet-50, random weights, seed 0", "vit_small_patch16_224, weights of timm" or "ResNet-18, weights
        of vfs_r18.ckpt".

    Example:
        >>> from .build import build_encoder
        >>> describe_network(build_encoder("raw_colour"))
        'raw colour'
    """
    try:
        path = path_to_network(module)
    except ValueError:
        held = getattr(module, "encoder", module)  # that of a FrozenEncoder
        path = [getattr(held, "network", held)]
    network: Any = path[-1]
    name = _title(getattr(network, "architecture", None) or type(network).__name__)
    *loaded, own = (getattr(part, "weights_origin", None) for part in path)
    steps = _steps(module)
    trained = f"{steps} steps of training" if steps else None
    return ", ".join([name, *[text for text in (*loaded, trained, own) if isinstance(text, str)][:1]])


def _title(architecture: str) -> str:
    name = architecture.rpartition(":")[2]
    if name == "RawColour":
        return "raw colour"
    resnet = re.fullmatch(r"resnet(\d+)", name)
    return f"ResNet-{resnet[1]}" if resnet else name


def _steps(module: Any) -> int:
    trainer = getattr(module, "_trainer", None)
    return int(getattr(trainer, "global_step", 0) or 0)
