"""Views of networks in memory: the features of a raw network, and modules that give views of their own."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..functional.device import device_of, shared_copy
from .extractor import IMAGENET_MEAN, IMAGENET_STD, FeatureExtractor, MapExtractor, Normalise, RawColour, refuse_options
from .liir_encoder import LiirEncoder, LiirExtractor
from .resnet import ResNetExtractor, is_resnet
from .torchvision_models import MapOfTorchvision, last_map_of
from .trust import LIBRARIES
from .vit import ViTExtractor, is_vit

StageNames = str | list[str] | None


def extractor_of(
    network: nn.Module,
    stage: StageNames = None,
    stride: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    **options: Any,
) -> FeatureExtractor:
    """Return a view of a raw network that shares its weights and changes nothing in it.

    Args:
        network: a ResNet, a ViT or another network of timm; Liir's encoder; or a module that maps RGB in [0, 1] to
            `(N, C, h, w)` and normalises by itself.
        stage: a name; a combination (`block9+block12`), whose maps are concatenated; or a list of names.
        stride: pixels per cell.
        mean: mean of RGB in [0, 1]; a module that normalises by itself ignores it.
        std: standard deviation of RGB in [0, 1]; a module that normalises by itself ignores it.
        options: further options of the network's extractor, for example `dilated` of `ResNetExtractor`.

    Returns:
        The view, in eval mode; it does not know the network's name.

    Raises:
        ValueError: if the network has no such stage, stride or option.
    """
    if isinstance(network, RawColour):
        return RawColour(stage or "colour", stride).to(device_of(network)).eval()
    normalise = Normalise(mean, std)
    view = shared_copy(network)
    beside = next(network.parameters(), normalise.mean)  # its device, and bfloat16 under Lightning's bf16-true
    normalise.to(beside, non_blocking=True)
    if is_resnet(view):
        default_stride = None if options.get("dilated") else 8
        return ResNetExtractor(view, normalise, stage or "res4", stride or default_stride, **options)
    refuse_options(type(network).__name__, options)
    if isinstance(view, LiirEncoder):
        return LiirExtractor(view, stage or "affinity", stride)
    if is_vit(view):
        return ViTExtractor(view, normalise, stage, stride)
    if _library_of(view) == "torchvision" and last_map_of(view) is not None:
        extractor = MapExtractor(MapOfTorchvision(view), stage, stride, normalise)
        if extractor.stride not in (8, 16, 32):
            kind = type(view).__name__
            raise ValueError(f"{kind}: its convolutions lack padding, so its cells are not evenly spaced; take another")
        return extractor
    of_timm = _library_of(view) == "timm" and hasattr(view, "forward_features")
    return MapExtractor(view, stage, stride, normalise if of_timm else None)


def gives_extractors(module: object) -> bool:
    """Return whether a module has a method `feature_extractor(stage, stride)`.

    A network in an attribute of this name is no such method.

    Raises:
        ValueError: for a method that does not take stage and stride.
    """
    method = getattr(module, "feature_extractor", None)
    if isinstance(method, nn.Module) or not callable(method):
        return False
    try:
        inspect.signature(method).bind(None, None)
    except TypeError as error:
        kind = type(module).__name__
        raise ValueError(
            f"{kind}.feature_extractor: {error}; benchmarks call it as feature_extractor(stage, stride)"
        ) from error
    return True


def normalises_itself(network: nn.Module) -> bool:
    """Return True for a user's own module, which takes RGB in [0, 1]; ResNets and networks of libraries do not."""
    return not (_library_of(network) or is_resnet(network) or is_vit(network))


def _library_of(network: nn.Module) -> str:
    packages = [base.__module__.partition(".")[0] for base in type(network).__mro__]
    return next((package for package in packages if package in LIBRARIES), "")
