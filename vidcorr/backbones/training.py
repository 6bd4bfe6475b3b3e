"""The maps that a method trains: the maps that benchmarks score, with gradient."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.device import random_state_kept
from .copies import device_of
from .encoder import gives_extractors, kind_of, unwrapped
from .extractor import calling, eval_mode
from .outputs import patch_of, require_map


class TrainedViews:
    """Views of networks that learn: of a network itself, not of a copy, in its own mode.

    A view is made at the first pass of a network. A copy of this object makes its own, since a copied method has
    copied networks.

    Args:
        stage: stage of the maps; None is the network's default, of a ResNet its last map.
        kinds: class of a network → the class of its views, as its encoder has decided; also of its copies.
    """

    def __init__(self, stage: str | None = None, kinds: Mapping[type, Any] | None = None) -> None:
        self.stage = stage
        self.kinds = dict(kinds or {})
        self.made: dict[tuple[int, str | None], tuple[nn.Module, Callable[[Tensor], Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"stage": self.stage, "kinds": self.kinds, "made": {}}

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
            inner = unwrapped(network)
            function = function_of_maps(inner, stage, self.kinds.get(type(inner)))
            self.made[key] = (network, function)  # kept: an id is of what is alive
        _, function = self.made[key]
        return require_map(function(images), type(network).__name__)


def function_of_maps(network: Any, stage: str | None, kind: Any = None) -> Callable[[Tensor], Tensor]:
    """Return the function that makes a network's maps of images, with gradient.

    Raises:
        ValueError: if the network has no such stage, or gives no map.
    """
    with eval_mode(network), random_state_kept():
        if gives_extractors(network):
            own = network.feature_extractor(stage, None)
            own.keeps_mode = True
            return lambda images: own.train(network.training)(images)
        view: Any = (kind or kind_of(network)).whole(network, stage)
        view.keeps_mode = True

    def by_own_call(images: Tensor) -> Tensor:
        with calling(network, view.map_of):
            found: Tensor = network(images)
        return found

    function: Callable[[Tensor], Tensor] = view.map_of
    return function if view.reads is None else by_own_call


def width_of(function: Callable[[Tensor], Tensor], network: nn.Module) -> int:
    """Return the number of channels that a function makes of images, by a pass of a blank one in eval mode.

    Args:
        function: float RGB `(N, 3, H, W)` → `(N, C, …)`.
        network: the network behind it.
    """
    multiple = getattr(network, "multiple", None) or patch_of(network) or 1
    side = -(-64 // multiple) * multiple
    with eval_mode(network), torch.no_grad(), random_state_kept():
        output = function(torch.zeros(1, 3, side, side, device=device_of(network)))
    return output.shape[1]
