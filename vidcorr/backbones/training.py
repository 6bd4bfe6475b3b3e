"""The maps that a method trains, with gradient, made by the views that benchmarks use."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.device import random_state_kept
from .copies import Reference, device_of
from .extractor import View, eval_mode
from .kinds import kind_of, unwrapped
from .outputs import patch_of, probe_size, require_map


class TrainedViews:
    """Views of networks in training: each view computes with the network itself, not with a copy, in its own mode.

    A network's view is made at its first pass. A copy of this object keeps `kinds`, and makes its views anew, because a
    copied method has copied networks.

    Args:
        stage: stage of the maps; None is the network's default, for a ResNet its last stage.
        kinds: class of a network → the class of its views, as an encoder has decided it.

    Attributes:
        made: id of a network and stage → the network, and the function that makes its maps.
    """

    def __init__(self, stage: str | None = None, kinds: Mapping[type, type[View] | None] | None = None) -> None:
        self.stage = stage
        self.kinds = dict(kinds or {})  # class of a network → class of its views, as `kind_of` returns it
        self.made: dict[tuple[int, str | None], tuple[nn.Module, Callable[[Tensor], Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for a copy or a pickle, without the views that were made."""
        return vars(self) | {"made": {}}

    def kind_of(self, network: nn.Module) -> type[View] | None:
        """Return the class of a network's views, decided once for each class of networks: it may need a pass."""
        if type(network) not in self.kinds:
            self.kinds[type(network)] = kind_of(network)
        return self.kinds[type(network)]

    def maps(self, network: nn.Module, images: Tensor, stage: str | None = None) -> Tensor:
        """Return the maps of images, with gradient.

        Args:
            network: the network that learns.
            images: `(N, 3, H, W)`, normalised as the network takes them.
            stage: a stage of the network; None is that of this object.

        Returns:
            `(N, C, h, w)`, in the type of the images unless autocast chooses the types.

        Example:
            >>> network = nn.Conv2d(3, 8, 8, 8)
            >>> maps = TrainedViews().maps(network, torch.zeros(2, 3, 64, 64))
            >>> maps.shape, maps.requires_grad
            (torch.Size([2, 8, 8, 8]), True)
            >>> from torchvision.models import resnet18
            >>> network, images = resnet18().eval(), torch.rand(2, 3, 64, 64)
            >>> network.fc = nn.Identity()
            >>> TrainedViews().maps(network, images).mean((2, 3)).equal(network(images))  # its own pooled feature
            True
            >>> TrainedViews("res4").maps(network, images).shape  # at its own stride
            torch.Size([2, 256, 4, 4])
        """
        stage = stage or self.stage
        key = (id(network), stage)
        if key not in self.made:
            # the network is kept in the value too, so that no later network gets its id
            self.made[key] = (network, self._function_of(unwrapped(network), stage))
        _, function = self.made[key]
        features = require_map(function(images), type(network).__name__)
        if torch.is_autocast_enabled(images.device.type):
            return features
        return features.to(images.dtype)  # a network may give half precision, which a projector does not take

    def view_of(self, network: Any, stage: str | None = None) -> Any:
        """Return the view by which a network is trained; the view computes with the network itself.

        Raises:
            ValueError: if the network has no such stage, or gives no map.
        """
        kind: Any = self.kind_of(network)
        with eval_mode(network), random_state_kept():
            # a network without a kind makes its own views
            view: Any = network.feature_extractor(stage, None) if kind is None else kind.whole(network, stage)
        view.keeps_mode = True  # read by a `MapExtractor` alone
        return view

    def _function_of(self, network: Any, stage: str | None) -> Callable[[Tensor], Tensor]:
        """Return the function from images, as `maps` gets them, to a network's maps of a stage, with gradient.

        The network is `unwrapped`: without torch.compile's or another wrapper.
        """
        view = self.view_of(network, stage)
        if self.kind_of(network) is None:  # the network's own `feature_extractor` made the view
            # such a view may lack `by_call`, and prepares its images itself; it comes in eval mode, so that each pass
            # sets the present mode of the network
            return lambda images: view.train(network.training)(images)
        # a view that reads parts of the network does so within the network's own call, so that its hooks run
        view.called = Reference(network) if view.reads else None
        return view.by_call  # without the view's preparation: the images are normalised already


def freeze_unused(function: Callable[[Tensor], Tensor], network: nn.Module) -> list[str]:
    """Set `requires_grad` to False for weights that do not change a network's maps, such as a classifier's.

    They would get no gradient, and DDP waits for the gradients of all weights with `requires_grad`.

    Args:
        function: float RGB `(N, 3, H, W)` → maps, with gradient.
        network: the network that computes the maps.

    Returns:
        The names of the parts that hold the frozen weights.

    Example:
        >>> network = nn.ModuleDict({"trunk": nn.Conv2d(3, 8, 8, 8), "head": nn.Linear(8, 2)})
        >>> freeze_unused(network["trunk"], network)
        ['head']
    """
    named = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
    if not named:
        return []
    with torch.enable_grad():
        total = of_blank_image(function, network).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    parts: dict[str, None] = {}  # an ordered set
    for (name, weights), gradient in zip(named.items(), gradients, strict=True):
        if gradient is None:
            weights.requires_grad_(False)
            parts[name.rpartition(".")[0] or name] = None  # the name without `.weight`
    return list(parts)


def width_of(function: Callable[[Tensor], Tensor], network: nn.Module | None = None) -> int:
    """Return the number of channels of a function's output, found by a pass of a blank image in eval mode.

    Args:
        function: float RGB `(N, 3, H, W)` → `(N, C, …)`.
        network: the network that computes the output; None: the function itself is a module.

    Example:
        >>> width_of(nn.Conv2d(3, 8, 8, 8))
        8
    """
    module: Any = function if network is None else network
    with torch.no_grad():
        return of_blank_image(function, module).shape[1]


def of_blank_image(function: Callable[[Tensor], Tensor], network: nn.Module) -> Tensor:
    """Return a function's output for a blank image of about 64 × 64, while its network is in eval mode.

    Args:
        function: float RGB `(N, 3, H, W)` → a tensor.
        network: the network that computes the output. Its attribute `multiple`, else the side of its patches, divides
            the image's sides.
    """
    multiple = getattr(network, "multiple", None) or patch_of(network) or 1
    sides = probe_size(multiple, (64, 64))
    with eval_mode(network), random_state_kept():
        return function(torch.zeros(1, 3, *sides, device=device_of(network)))
