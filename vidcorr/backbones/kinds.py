"""Kinds of networks: the class of a network's views, by what the network computes."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..functional.device import random_state_kept, to_device
from .copies import device_of, module_copy, type_of_weights
from .extractor import View, unwatched
from .hub_models import HubExtractor, is_of_transformers
from .liir_encoder import LiirEncoder, LiirExtractor
from .outputs import MapExtractor, is_map, maps_in, probe_size
from .resnet import ResNetExtractor, is_resnet
from .vit import BlocksExtractor, TimmExtractor, ViTExtractor, gives_blocks, is_of_timm, is_vit

log = logging.getLogger(__name__)
LIBRARIES = ("torchvision.", "timm.", "transformers.", "vidcorr.")
"""Packages whose networks' calls end with the last stage that views know."""
CALL = ("forward", "_forward_impl", "forward_features")
"""Methods that make up the call of a network."""
SIZE = (64, 96)
"""Height and width of the image of a probe, pixels."""
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
"""Wrappers of torch whose network is their `module`."""
EXTRACTORS: list[tuple[Callable[[Any], bool], type[View]]] = [
    (lambda network: isinstance(network, torch.jit.ScriptModule), MapExtractor),
    (lambda network: isinstance(network, LiirEncoder), LiirExtractor),
    (is_resnet, ResNetExtractor),
    (is_vit, ViTExtractor),
    (is_of_timm, TimmExtractor),
    (gives_blocks, BlocksExtractor),
    (is_of_transformers, HubExtractor),
    (lambda network: True, MapExtractor),
]
"""Kinds of networks: a predicate, and the class of the views of networks that it accepts; the first counts (`kind_of`).

The class is called with the network (a copy over the same tensors, unless its `takes_copy` is False), and stage and
stride or None; its `input` is the default of its networks. A network with a method `feature_extractor(stage, stride)`,
as every view has, makes its own. A kind of yours: `EXTRACTORS.insert(0, (is_mine, MyView))`.
"""


def unwrapped(network: Any) -> Any:
    """Return the network inside wrappers of torch.compile and of `WRAPPERS`; a network without a wrapper as it is.

    Example:
        >>> network = nn.Conv2d(3, 8, 8, 8)
        >>> unwrapped(AveragedModel(network)), unwrapped(network) is network
        (Conv2d(3, 8, kernel_size=(8, 8), stride=(8, 8)), True)
    """
    inner = getattr(network, "_orig_mod", network)  # torch.compile's name for the network
    return unwrapped(inner.module) if isinstance(inner, WRAPPERS) else inner


def gives_extractors(module: object) -> bool:
    """Return whether a module has a method `feature_extractor(stage, stride)`.

    An attribute of this name that is a network, or takes other arguments, does not count.

    Example:
        >>> class Own(nn.Module):
        ...     def feature_extractor(self, stage, stride): ...
        >>> gives_extractors(Own()), gives_extractors(nn.Linear(2, 3))
        (True, False)
        >>> class Other(nn.Module):
        ...     def feature_extractor(self, images): ...
        >>> gives_extractors(Other())
        False
    """
    method = getattr(module, "feature_extractor", None)
    return callable(method) and {"stage", "stride"} <= inspect.signature(method).parameters.keys()


def kind_of(network: Any) -> type[View] | None:
    """Return the class of a network's views, by what the network computes; None for a network that makes its own views.

    A view of stages does not use the network's own call, in which a subclass may compute something else. So a network
    gets views of stages only if its call is known (`_call_is_known`), or if a probe finds the view's last map in the
    call (`_shows`). Any other network gets a view of its call's output, `MapExtractor`.

    Raises:
        ValueError: if the network has lazy layers, or its view of stages refuses it, as a transformer that takes images
            of one size only.

    Example:
        >>> kind_of(nn.Conv2d(3, 8, 8, 8)).__name__
        'MapExtractor'
        >>> from torchvision.models import resnet18
        >>> kind_of(resnet18()).__name__
        'ResNetExtractor'
    """
    if any(map(nn.parameter.is_lazy, network.parameters())):
        remedy = "call it once, on an image, in the function or constructor that makes it"
        raise ValueError(f"{type(network).__name__}: has lazy layers, whose weights have no shape yet: {remedy}")
    if gives_extractors(network):
        return None
    kind = next(kind for accepts, kind in EXTRACTORS if accepts(network))
    if kind.reads is None:  # a view that only calls the network
        return kind
    if not (_call_is_known(network, kind.reads) or _shows(network, kind)):
        return MapExtractor
    if network._forward_hooks:  # the view calls the network with `map_of` in place of its `forward`
        log.warning("%s: its own forward hooks get the map of the stage, not the output", type(network).__name__)
    return kind


def _call_is_known(network: Any, reads: str) -> bool:
    """Return whether a network's call need not be compared with the map that a view reads.

    The network itself, then its class and base classes, are searched for a method of its call (`CALL`, such as
    `forward`) or the method that the view reads. The first that defines one of them is the owner of the call. The call
    is known if the owner is a class of a library, or defines the method that the view reads. A network on the meta
    device has no numbers to compare, so its call counts as known.

    Args:
        network: the network.
        reads: name of the method that the view reads, `View.reads`.

    Example:
        >>> from torchvision.models import ResNet, resnet18
        >>> network = resnet18()
        >>> _call_is_known(network, "its parts")
        True
        >>> class Own(ResNet):
        ...     __module__ = "my_module"
        ...     def forward(self, images): ...
        >>> network.__class__ = Own
        >>> _call_is_known(network, "its parts"), _call_is_known(network, "forward")  # it is read where it is defined
        (False, True)
        >>> _call_is_known(network.to("meta"), "its parts")
        True
    """
    owners = (network, *type(network).__mro__)  # subclasses first; every module has a forward
    owner: Any = next(owner for owner in owners if {*CALL, reads} & vars(owner).keys())
    # a method that was set on the object itself is a user's, also on an object of a library
    is_of_library = owner is not network and owner.__module__.startswith(LIBRARIES)
    return is_of_library or reads in vars(owner) or device_of(network).type == "meta"


def _shows(network: nn.Module, kind: type[View]) -> bool:
    """Return whether the network's own call gives the last map of a kind of views, or a vector made from this map.

    A copy of the network gives, for one random image, the view's map and then the output of its own call, which has to
    hold the map. If the call gives a vector, such as a pooled feature or a class token, the output of any part of the
    network has to hold the map during the call. Noise is added to the copy's weights, because a user's layer that
    begins at zero would change no number.
    """
    noisy = module_copy(network, shares_tensors=False).eval()
    with random_state_kept(), torch.no_grad(), unwatched(noisy):  # without the user's hooks, which may change outputs
        draw = torch.Generator().manual_seed(0)
        for weights in noisy.parameters():
            if weights.is_floating_point():
                noise = to_device(torch.randn(weights.shape, generator=draw), weights.device).to(weights.dtype)
                weights.add_(noise * (weights.abs().mean() / 2 + 0.01))
        view: Any = kind.whole(noisy)  # a ValueError of the view, as for a transformer of one size, is raised
        sides = probe_size(view.multiple, SIZE)
        image = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0))
        image = to_device(image, device_of(noisy)).to(type_of_weights(noisy))
        expected = view.map_of(image)
        # for each part, when it ends: whether its output holds the map; the network itself ends last
        matches: list[bool] = []
        for part in list(noisy.modules()):
            part.register_forward_hook(lambda _, inputs, output: matches.append(_holds(noisy, output, expected, sides)))
        try:
            output = noisy(image)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # of the user's code; after False `kind_of` takes a `MapExtractor`, which raises it again
            return False
    is_vector = isinstance(output, Tensor) and output.shape[2:].numel() == 1  # N x C, or N x C x 1 x 1
    return any(matches) if is_vector else matches[-1]


def _holds(network: nn.Module, output: Any, expected: Tensor, sides: tuple[int, int]) -> bool:
    """Return whether a map is among the outputs of a network, or of a part of it, up to rounding.

    Args:
        network: the network, by which the output is read (`maps_in`).
        output: output of the network or of the part; maps with channels last count too.
        expected: the map `(1, C, h, w)`.
        sides: height and width of the image, pixels.

    Example:
        >>> expected = torch.rand(1, 8, 4, 6)
        >>> outputs = ([expected, expected[:, :3]], expected.permute(0, 2, 3, 1), expected + 0.1, expected.mean((2, 3)))
        >>> [_holds(nn.Identity(), output, expected, (64, 96)) for output in outputs]
        [True, True, False, False]
    """
    scale = 1e-3 * float(expected.abs().max())  # rounding moves small numbers too
    for features in filter(is_map, maps_in(network, output, sides).values()):
        for each in (features, features.permute(0, 3, 1, 2)):
            if each.shape == expected.shape and torch.allclose(each, expected, rtol=1e-2, atol=scale):
                return True
    return False
