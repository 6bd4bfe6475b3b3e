"""The maps that a method trains, with gradient, made by the views that benchmarks use."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD
from ..functional.device import random_state_kept
from .copies import device_of
from .extractor import eval_mode, makes_views, unwrapped
from .outputs import patch_of, probe_size, require_map
from .views import NetworkView


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation of RGB in [0, 1]; the constants stay out of checkpoints.

    Example:
        >>> normalise = Normalise(mean=(0, 0, 1), std=(1, 2, 4))
        >>> normalise(torch.ones(1, 3, 1, 1)).flatten(), normalise.state_dict()
        (tensor([1.0000, 0.5000, 0.0000]), OrderedDict())
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images `(N, C, H, W)` in [0, 1].

        Returns:
            `(N, C, H, W)` in the type of the module's buffers, whatever the type of the images; channels last in
            memory, in which convolutions are faster.
        """
        normalised = (images - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)


class TrainedViews:
    """Views of networks in training: each view computes with the network itself, at its own strides, in its own mode.

    A network's view is made at its first pass. A copy of this object makes its views anew, because a copied method has
    copied networks.

    Args:
        stage: stage of the maps; None is the network's default, for a ResNet its last stage.
    """

    def __init__(self, stage: str | None = None) -> None:
        self.stage = stage
        self.made: dict[tuple[int, str | None], tuple[nn.Module, Callable[[Tensor], Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for a copy or a pickle, without the views that were made."""
        return vars(self) | {"made": {}}

    def maps(self, network: nn.Module, images: Tensor, stage: str | None = None) -> Tensor:
        """Return the maps of images, with gradient.

        Args:
            network: the network that learns.
            images: `(N, 3, H, W)`, normalised as the network takes them.
            stage: a stage of the network; None is that of this object.

        Returns:
            `(N, C, h, w)`, in the type of the images unless autocast chooses the types.
        """
        stage = stage or self.stage
        key = (id(network), stage)
        if key not in self.made:
            # the network is kept in the value too, so that no later network gets its id
            self.made[key] = (network, self._function_of(network, stage))
        _, function = self.made[key]
        features = require_map(function(images), type(network).__name__)
        if torch.is_autocast_enabled(images.device.type):
            return features
        # a network may give half precision, which a projector does not take
        return features.to(images.dtype)

    def view_of(self, network: object, stage: str | None = None) -> Any:
        """Return the view by which a network, in wrappers or not, is trained.

        Raises:
            ValueError: if the network has no such stage, or gives no map.
        """
        inner = unwrapped(network)
        with eval_mode(inner), random_state_kept():
            if makes_views(inner):
                return inner.feature_extractor(stage, None)
            return NetworkView(network, stage, trains=True)

    def _function_of(self, network: object, stage: str | None) -> Callable[[Tensor], Tensor]:
        view = self.view_of(network, stage)
        if not makes_views(unwrapped(network)):
            return view.map_of  # without the view's preparation: the images are normalised already
        # a view that the network makes prepares its images itself, and computes in the present mode of the network
        return lambda images: view.train(unwrapped(network).training)(images)


def freeze_unused(function: Callable[[Tensor], Tensor], network: nn.Module) -> list[str]:
    """Set `requires_grad` to False for weights that do not change a network's maps, such as a classifier's.

    They would get no gradient, and DDP waits for the gradients of all weights with `requires_grad`.

    Args:
        function: float RGB `(N, 3, H, W)` → maps, with gradient.
        network: the network that computes the maps.

    Returns:
        The names of the parts that hold the frozen weights.
    """
    named = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
    if not named:
        return []
    with torch.enable_grad():
        total = of_blank_image(function, network).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    parts: dict[str, None] = {}
    for (name, weights), gradient in zip(named.items(), gradients, strict=True):
        if gradient is None:
            weights.requires_grad_(False)
            parts[name.rpartition(".")[0] or name] = None
    return list(parts)


def width_of(function: Callable[[Tensor], Tensor], network: nn.Module | None = None) -> int:
    """Return the number of channels of a function's output, found by a pass of a blank image in eval mode.

    Args:
        function: float RGB `(N, 3, H, W)` → `(N, C, …)`.
        network: the network that computes the output; None: the function itself is a module.
    """
    module: Any = function if network is None else network
    with torch.no_grad():
        return of_blank_image(function, module).shape[1]


def of_blank_image(function: Callable[[Tensor], Tensor], network: nn.Module) -> Tensor:
    """Return a function's output for a blank image of about 64 × 64, while its network is in eval mode.

    The network's attribute `multiple`, else the side of its patches, divides the image's sides.
    """
    multiple = getattr(network, "multiple", None) or patch_of(network) or 1
    sides = probe_size(multiple, (64, 64))
    with eval_mode(network), random_state_kept():
        return function(torch.zeros(1, 3, *sides, device=device_of(network)))
