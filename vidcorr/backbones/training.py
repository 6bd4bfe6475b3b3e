"""The maps and vectors that a method trains: the maps that benchmarks score, with gradient."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.device import random_state_kept
from .copies import device_of
from .encoder import EXTRACTORS, gives_extractors, unwrapped
from .extractor import eval_mode
from .outputs import patch_of, require_map
from .resnet import WholeResNet, is_resnet


class TrainedViews:
    """Views of networks that learn: of a network itself, not of a copy, in its own mode.

    A view is made at the first pass of a network. A copy of this object makes its own, since a copied method has
    copied networks.

    Args:
        stage: stage of the maps; None is the network's default, of a ResNet its last map.
    """

    def __init__(self, stage: str | None = None) -> None:
        self.stage = stage
        self.made: dict[tuple[int, str | None], tuple[nn.Module, Callable[[Tensor], Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"stage": self.stage, "made": {}}

    def maps(self, network: nn.Module, images: Tensor, stage: str | None = None) -> Tensor:
        """Return the maps of images, with gradient.

        Args:
            network: the network that learns.
            images: as the network takes them, `(N, 3, H, W)`.
            stage: a stage of the network; None is that of this object.

        Returns:
            `(N, C, h, w)`.
        """
        stage = stage or self.stage
        key = (id(network), stage)
        if key not in self.made:
            self.made[key] = (network, function_of_maps(unwrapped(network), stage))  # kept: an id is of what is alive
        _, function = self.made[key]
        return require_map(function(images), type(network).__name__)

    def vectors(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the means `(N, C)` of the maps of images; of a ResNet its own pooled feature, which is the same."""
        if is_resnet(network) and self.stage is None:
            vectors: Tensor = network(images)
            return vectors
        return self.maps(network, images).mean(dim=(2, 3))


def function_of_maps(network: Any, stage: str | None) -> Callable[[Tensor], Tensor]:
    """Return the function that makes a network's maps of images, with gradient.

    Raises:
        ValueError: if the network has no such stage, or gives no map.
    """
    with eval_mode(network), random_state_kept():
        if is_resnet(network):
            return partial(by_own_call, network, WholeResNet(network, stage).map_of)
        if gives_extractors(network):
            own = network.feature_extractor(stage, None)
            own.keeps_mode = True
            return lambda images: own.train(network.training)(images)
        kind: Any = next(kind for accepts, kind in EXTRACTORS if accepts(network))
        view = kind(network, stage)
        view.keeps_mode = True
    function: Callable[[Tensor], Tensor] = view.map_of
    return partial(by_own_call, network, function) if view.passes_by else function


def by_own_call(network: Any, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return what a function makes of images, as the `forward` of a network's own call: hooks and `compile()` count."""
    own = vars(network).get("forward")  # of the user, in place of that of its class
    network.forward = function
    try:
        found: Tensor = network(images)
    finally:
        del network.forward
        if own is not None:
            network.forward = own
    return found


def width_of(function: Callable[[Tensor], Tensor], network: nn.Module) -> int:
    """Return the number of channels that a function makes of images, by a pass of a blank one in eval mode.

    Args:
        function: float RGB `(N, 3, H, W)` → `(N, C, …)`.
        network: the network behind it.

    Raises:
        ValueError: if the network ends with a classifier.
    """
    multiple = getattr(network, "multiple", None) or patch_of(network) or 1
    side = -(-64 // multiple) * multiple
    with eval_mode(network), torch.no_grad(), random_state_kept():
        output = function(torch.zeros(1, 3, side, side, device=device_of(network)))
    *_, (name, last) = network.named_modules()
    if is_resnet(network) and output.ndim == 2 and isinstance(last, nn.Linear):
        remedy = f"put torch.nn.Identity() in place of {name}"
        raise ValueError(f"{type(network).__name__}: ends with a classifier: {remedy}")
    return output.shape[1]
