"""Feature extractors of modules, checkpoints and named networks."""

import hashlib
import inspect
import re
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..functional.device import PendingCopy, device_of, held_networks, shared_copy
from .checkpoints import SUFFIXES, module_from_checkpoint
from .extractor import IMAGENET_MEAN, IMAGENET_STD, FeatureExtractor, MapExtractor, Normalise, RawColour, refuse_options
from .liir_encoder import LiirEncoder, LiirExtractor
from .networks import RANDOM_WEIGHTS, ResNetExtractor, build_network, is_resnet
from .trust import LIBRARIES, import_path, make, pass_gate
from .upsampling import UpsampledEncoder, build_upsampler
from .video import VideoEncoder, VideoNetwork
from .vit import ViTExtractor, is_vit

StageNames = str | list[str] | None


class Encoder(nn.Module):
    """A raw network and the RGB normalisation of its training.

    Args:
        network: see `extractor_of`.
        mean: mean of RGB in [0, 1].
        std: standard deviation of RGB in [0, 1].
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = tuple(mean), tuple(std)

    def feature_extractor(self, stage: StageNames = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the network, see `extractor_of`."""
        return extractor_of(self.network, stage, stride, self.mean, self.std, **options)


def build_encoder(
    spec: str | Path | nn.Module,
    pretrained: bool = False,
    recipe: dict | None = None,  # a bare `dict`: jsonargparse would parse a typed one
    upsample: str | None = None,
) -> Any:
    """Build the encoder of a module, a checkpoint or a name.

    Args:
        spec: see `build_feature_extractor`.
        pretrained: load the library's weights, for names of timm and torchvision.
        recipe: class and arguments of an encoder, from `encoder_hparams`: build this with fresh weights instead.
        upsample: upsampler of the features, see `build_upsampler`.

    Returns:
        An `nn.Module` with a method `feature_extractor(stage, stride)`.

    Raises:
        ValueError: for an unknown form of spec.
    """
    if upsample is not None:
        return UpsampledEncoder(build_encoder(spec, pretrained, recipe), build_upsampler(upsample), upsample)
    if recipe is not None:
        return make(pass_gate(recipe.get("class_path"), recipe.get("init_args", {}), "encoder"), "encoder")
    if gives_extractors(spec):
        return spec
    if isinstance(spec, Path) or (isinstance(spec, str) and spec.endswith(SUFFIXES)):
        return _loaded(spec)[0]
    network: Any = spec
    normalisation: dict[str, Any] = {}
    if spec == "raw_colour":
        network = RawColour()
    elif isinstance(spec, str):
        network = build_network(spec, pretrained)
        normalisation = getattr(network, "pretrained_cfg", None) or {}  # timm's record of the training
    if isinstance(network, VideoEncoder):
        return VideoNetwork(network)
    return Encoder(network, normalisation.get("mean", IMAGENET_MEAN), normalisation.get("std", IMAGENET_STD))


def encoder_hparams(encoder: nn.Module, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: result of `build_encoder`.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe, None if the name is enough; `pretrained`: False, because the checkpoint has the weights;
        and the spec of a named network, where a short name would load its trained weights again.
    """
    recipe = None
    if (hparams := getattr(encoder, "hparams", None)) is not None:  # a LightningModule's
        arguments = {name: value for name, value in hparams.items() if not name.startswith("_")}
        recipe = {"class_path": import_path(type(encoder)), "init_args": arguments}
    known: dict[str, Any] = {"encoder": recipe, "pretrained": False}
    if recipe is None and (spec := architecture_of(path_to_network(encoder)[-1])):
        known[argument] = spec
    return known


def build_feature_extractor(
    spec: str | Path | nn.Module,
    stage: StageNames = None,
    stride: int | None = None,
    pretrained: bool = False,
    upsample: str | None = None,
) -> nn.Module:
    """Turn a module, a checkpoint or a name into a feature extractor.

    Args:
        spec: a LightningModule with `feature_extractor`, or the path of its checkpoint; `timm:NAME`;
            `torchvision:NAME`; `package.module:callable`; or `raw_colour`, the baseline without training. An object
            with `encode` (see `VideoEncoder`), or a callable that returns it, is a video encoder, returned with its
            networks in eval mode.
        stage: a name or a list of names, see `FeatureExtractor`; None takes res4 of a ResNet, the last block of a ViT.
        stride: pixels per cell, before the upsampling; None takes 8 for a ResNet and the patch of a ViT.
        pretrained: load the library's weights, for names of timm and torchvision.
        upsample: `bilinear:2`, `nearest:2` or `package.module:callable`, see `build_upsampler`.

    Returns:
        A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`.

    Raises:
        ValueError: for an unknown form of spec, or a stage or stride that the network does not have.

    Example:
        >>> import torch
        >>> extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
        >>> extractor(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    extractor: nn.Module = build_encoder(spec, pretrained, upsample=upsample).feature_extractor(stage, stride)
    return extractor


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
        stage: a name, a combination (`block9+block12`, see `FeatureExtractor`), or a list of names.
        stride: pixels per cell.
        mean: mean of RGB in [0, 1]; a module that normalises by itself ignores it.
        std: standard deviation of RGB in [0, 1]; a module that normalises by itself ignores it.
        options: further options of the network's extractor, for example `dilated` of `ResNetExtractor`.

    Returns:
        The view, in eval mode.

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


def architecture_of(module: object) -> str:
    """Return the name by which `build_network` made a network; empty for a network without one."""
    return getattr(module, "architecture", None) or ""


def path_to_network(module: nn.Module | VideoEncoder) -> list[nn.Module | VideoEncoder]:
    """Return the chain of wrapped modules, down to the named network (see `build_network`) or the innermost module."""
    path = [module]
    while not architecture_of(path[-1]):
        # getattr: a compiled module gives the parts of the module inside it
        parts = (getattr(path[-1], name, None) for name in ("backbone", "encoder", "network", "inner"))
        if (inner := next((part for part in parts if isinstance(part, nn.Module)), None)) is None:
            break
        path.append(inner)
    return path


class NetworkDescription(NamedTuple):
    """The network that a module holds, and the origin of its weights.

    Attributes:
        name: its architecture, for example "ResNet-18".
        weights: for example "random weights", "weights of timm" or "300 steps of training"; empty if unknown.
        spec: argument of `build_network`; empty for a network without a name.
        seed: seed of random weights, or of the draws of a user's callable; None otherwise.
        loaded: False if the weights are known to be random.
        upsampling: upsampler of the features; empty: none.
    """

    name: str
    weights: str
    spec: str
    seed: int | None
    loaded: bool
    upsampling: str


def describe_network(module: nn.Module | VideoEncoder) -> NetworkDescription:
    """Describe the network in a module, and the origin of its weights.

    Args:
        module: a method, a `FrozenEncoder`, a result of `build_encoder`, or a view of it.

    Example:
        >>> describe_network(build_encoder("raw_colour")).name
        'raw colour'
    """
    path = path_to_network(module)
    spec = architecture_of(path[-1])
    name = (spec or type(path[-1]).__name__).rpartition(":")[2]
    name = "raw colour" if name == "RawColour" else re.sub(r"^resnet(\d+)$", r"ResNet-\1", name)
    named = getattr(module, "upsampling", "")
    upsampling = named if isinstance(named, str) else ""  # a user's module may hold an upsampler under this name
    name += f" upsampled by {upsampling}" if upsampling else ""
    *loaded, of_network = (getattr(part, "weights_origin", None) for part in path)
    steps = getattr(module, "global_step", 0)  # of a LightningModule: 0 without a Trainer
    trained = f"{steps} steps of training" if steps else None
    weights = next((text for text in (*loaded, trained, of_network) if isinstance(text, str)), "")
    seed = getattr(path[-1], "weights_seed", None) if weights == of_network else None
    return NetworkDescription(name, weights, spec, seed, weights != RANDOM_WEIGHTS, upsampling)


def weights_digest(module: object) -> str:
    """Return the first 12 hexadecimal digits of a digest of all weights in order: types, shapes and numbers, no names.

    For a video encoder that is not a module, digest the networks in its attributes.
    """
    networks = [module] if isinstance(module, nn.Module) else held_networks(module).values()
    states = [network.state_dict().values() for network in networks]
    weights = [tensor.detach() for state in states for tensor in state if isinstance(tensor, torch.Tensor)]
    digest = hashlib.blake2b("; ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in weights).encode())
    contents = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in weights]
    for device, of_device in groupby(contents, key=attrgetter("device")):
        parts = list(of_device)
        if device.type != "cpu":
            parts = [PendingCopy(torch.cat(parts)).wait()]  # one copy, not one for each weight
        for part in parts:
            digest.update(part.numpy().data)
    return digest.hexdigest()[:12]


def trainable_network(spec: str) -> nn.Module:
    """Build the network that a method trains: fresh, or with the weights of a checkpoint.

    Args:
        spec: a name for `build_network`; or a checkpoint of ours, for example from `vidcorr convert`.

    Returns:
        The network; `build_network` can make it again from its `architecture`.

    Raises:
        ValueError: for an unknown form of spec, or a checkpoint with a part of a network.
    """
    if not spec.endswith(SUFFIXES):
        return build_network(spec)
    module, network = _loaded(spec)
    if isinstance(network, FeatureExtractor | LiirEncoder) or not architecture_of(network):
        raise ValueError(f"{spec}: {type(module).__name__} has no full network to train")
    trainable: nn.Module = network.requires_grad_(True).train()
    return trainable


def _loaded(path: str | Path) -> tuple[Any, Any]:
    """Return the module of a checkpoint, and the network in it, whose views then know the origin of its weights."""
    module: Any = module_from_checkpoint(path)
    network: Any = path_to_network(module)[-1]
    network.weights_origin, network.weights_seed = module.weights_origin, None
    return module, network
