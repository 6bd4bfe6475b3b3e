"""The vector of an image that a method trains: the mean of the map that benchmarks score, with gradient."""

from typing import Any

import torch
from torch import Tensor, nn

from .extractor import eval_mode
from .outputs import is_map, map_of_tokens, patch_of, require_map
from .vit import gives_blocks, is_of_timm, is_vit


def pool_patches(network: Any) -> None:
    """Let a transformer of timm return the mean of its patches, whose map benchmarks score, not the class token."""
    if is_vit(network) and getattr(network, "global_pool", None) == "token":
        network.global_pool = "avg"


def pooled(network: Any, images: Tensor) -> Tensor:
    """Return a vector for each image: the network's own pooled feature, or the mean of its map or tokens of patches.

    Args:
        network: a network, in its own mode; gradients flow.
        images: as the network takes them, `(N, 3, H, W)`.

    Returns:
        `(N, C)`.

    Raises:
        ValueError: if the output is neither a vector, a map, nor tokens of known patches.
    """
    return _vector(network, _output(network, images), images)


def _output(network: Any, images: Tensor) -> Any:
    """Return what a network gives before its class token or classifier is chosen, else its own output."""
    if is_vit(network) and isinstance(getattr(network, "fc_norm", nn.Identity()), nn.Identity):
        return network.forward_features(images)
    if gives_blocks(network) and not is_of_timm(network):
        return network.get_intermediate_layers(images)[-1]
    output = network(images)
    return getattr(output, "last_hidden_state", output)  # of transformers


def _vector(network: nn.Module, output: Any, images: Tensor) -> Tensor:
    """Return the vectors of an output: as they are, or the means of its map or tokens."""
    if isinstance(output, Tensor) and output.ndim == 2:
        return output
    found = output if is_map(output) else map_of_tokens(output, patch_of(network), images.shape[2:])
    return require_map(found, type(network).__name__).mean(dim=(2, 3))


def pooled_width(network: nn.Module) -> int:
    """Return the number of channels `C` of `pooled`, by a pass of a blank image.

    Raises:
        ValueError: as `pooled`, or if the network ends with a classifier.
    """
    patch = patch_of(network) or 1
    side = 64 if 64 % patch == 0 else 4 * patch
    blank = torch.zeros(1, 3, side, side)
    with eval_mode(network), torch.no_grad():
        output = _output(network, blank)
        width = _vector(network, output, blank).shape[1]
    *_, (name, last) = network.named_modules()
    if output.ndim == 2 and isinstance(last, nn.Linear):
        kind = type(network).__name__
        raise ValueError(f"{kind}: ends with a classifier, {name}: put torch.nn.Identity() in its place")
    return width
