"""Encoders: networks that give views of their stages, `feature_extractor(stage, stride)`; views of raw networks."""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.device import PendingCopy, device_of, networks_of, shared_copy
from .description import Network
from .extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Concatenated,
    MapExtractor,
    Normalise,
    RawColour,
    TimmExtractor,
    refuse_options,
)
from .liir_encoder import LiirEncoder
from .resnet import ResNetExtractor, is_resnet
from .trust import Recipe, import_path, own_arguments
from .vit import ViTExtractor, is_vit


def extractor_of(
    network: nn.Module,
    stage: str | None = None,
    stride: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    **options: Any,
) -> Any:
    """Return a view of a raw network that shares its weights and changes nothing in it.

    A ResNet, a ViT or another network of timm gets RGB normalised by `mean` and `std`, ImageNet's by default, also
    as the trunk of your module: give the values of its training. Another module normalises by itself.

    Args:
        network: a ResNet, a ViT or another network of timm; Liir's encoder; or a module that maps RGB
            in [0, 1] to `(N, C, h, w)`.
        stage: a name; or a combination (`block9+block12`), whose maps are concatenated along the channels.
        stride: pixels per cell.
        mean: mean of RGB in [0, 1] in the network's training.
        std: standard deviation of RGB in [0, 1] in the network's training.
        options: further options of the network's extractor, for example `dilated` of `ResNetExtractor`.

    Returns:
        The view, in eval mode; it does not know the network's name.

    Raises:
        ValueError: if the network has no such stage, stride or option.
    """
    if stage and "+" in stage:
        names = stage.split("+")
        return Concatenated([extractor_of(network, name, stride, mean, std, **options) for name in names])
    network = getattr(network, "_orig_mod", network)  # torch.compile wraps it
    if isinstance(network, RawColour):
        return RawColour(stage or "colour", stride).to(device_of(network)).eval()
    normalise = Normalise(mean, std)
    beside = next(network.parameters(), normalise.mean)  # its device, and bfloat16 under Lightning's bf16-true
    normalise.to(beside, non_blocking=True)
    if is_resnet(network):
        default_stride = None if options.get("dilated") else 8
        return ResNetExtractor(shared_copy(network), normalise, stage or "res4", stride or default_stride, **options)
    if isinstance(network, LiirEncoder):
        return network.feature_extractor(stage, stride, **options)
    refuse_options(type(network).__name__, options)
    if is_vit(network):
        return ViTExtractor(shared_copy(network), normalise, stage, stride)
    if _is_of_timm(network) and hasattr(network, "forward_features"):
        return TimmExtractor(shared_copy(network), normalise, stage, stride)
    return MapExtractor(network, stage, stride)


def gives_extractors(module: object) -> bool:
    """Return whether a module has a method `feature_extractor`; a network in an attribute of this name is none."""
    method = getattr(module, "feature_extractor", None)
    return callable(method) and not isinstance(method, nn.Module)


def normalises_itself(network: nn.Module) -> bool:
    """Return True for a user's own module, which takes RGB in [0, 1]; ResNets and networks of timm do not."""
    return not (_is_of_timm(network) or is_resnet(network) or is_vit(network))


def _is_of_timm(network: nn.Module) -> bool:
    return any(base.__module__.startswith("timm.") for base in type(network).__mro__)


class Encoder(nn.Module):
    """A network, the RGB normalisation of its training, and defaults for its views.

    Args:
        spec: a name for `build_network`, or a module that `extractor_of` takes.
        mean: mean of RGB in [0, 1] in the network's training; None is the library's.
        std: standard deviation of RGB in [0, 1] in the network's training; None is the library's.
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.
        described: description of a module that was built by name; None for a module without a name.

    Raises:
        ValueError: for an unknown name.
    """

    def __init__(
        self,
        spec: str | nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        stage: str | None = None,
        stride: int | None = None,
        described: Network | None = None,
    ) -> None:
        super().__init__()
        network: Any = spec
        if isinstance(spec, str):
            from .names import named_network

            network, described = named_network(spec)
        usual_mean, usual_std = usual_normalisation(network)
        self.network = network
        self.mean = tuple(mean or usual_mean)
        self.std = tuple(std or usual_std)
        self.default_stage = stage
        self.default_stride = stride
        self.described = described or Network.of(network)

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, **options: Any) -> Any:
        """Return a view of the network, in eval mode; None is the default stage or stride of this encoder."""
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        view = extractor_of(self.network, stage, stride, self.mean, self.std, **options)
        view.described = self.described
        return view

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that make an encoder by name again, without its weights."""
        made = {"spec": self.described.spec, "mean": list(self.mean), "std": list(self.std)}
        optional = {"stage": self.default_stage, "stride": self.default_stride}
        return made | {name: value for name, value in optional.items() if value is not None}


def usual_normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of RGB in [0, 1] in a network's training: timm's record, else ImageNet's."""
    record: Any = getattr(network, "pretrained_cfg", None) or {}
    return tuple(record.get("mean", IMAGENET_MEAN)), tuple(record.get("std", IMAGENET_STD))


def recipe_of_encoder(encoder: object) -> Recipe | None:
    """Return the recipe of an encoder of this library, without its weights; None for another, or without a name."""
    if isinstance(encoder, Encoder | LiirEncoder) and encoder.described.spec:
        return {"class_path": import_path(type(encoder)), "init_args": encoder.arguments}
    return None


def encoder_hparams(encoder: nn.Module, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: result of `build_encoder`.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe, None for an encoder without a name; `pretrained`: False, because the checkpoint has the
        weights; and the spec of a named network, where a short name would load its trained weights again.
    """
    known: dict[str, Any] = {"encoder": recipe_of_encoder(encoder), "pretrained": False}
    hparams = getattr(encoder, "hparams", None)  # a LightningModule's
    if hparams is not None:
        known["encoder"] = {"class_path": import_path(type(encoder)), "init_args": own_arguments(hparams)}
        return known
    spec = Network.of(encoder).spec
    if spec:
        known[argument] = spec
    return known


def weights_digest(module: object) -> str:
    """Return the first 12 hexadecimal digits of a digest of all weights in order: types, shapes and numbers, no names.

    For a video encoder that is not a module, digest the networks that it holds.
    """
    weights: list[Tensor] = []
    for network in networks_of(module):
        weights += [tensor.detach() for tensor in network.state_dict().values() if isinstance(tensor, Tensor)]
    forms = "; ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in weights)
    digest = hashlib.blake2b(forms.encode())
    contents = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in weights]
    for device, of_device in groupby(contents, key=attrgetter("device")):
        parts = list(of_device)
        if device.type != "cpu":
            parts = [PendingCopy(torch.cat(parts)).wait()]  # one copy, not one for each weight
        for part in parts:
            digest.update(part.numpy().data)
    return digest.hexdigest()[:12]
