"""Encoders: a network with its normalisation and description, which gives views of its stages."""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..functional.device import PendingCopy
from .copies import device_of, shared_copy
from .description import Network
from .extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    UNDILATED,
    Dilated,
    FeatureExtractor,
    MapExtractor,
    Normalise,
    RawColour,
    TimmExtractor,
)
from .liir_encoder import AFFINITY, LiirEncoder, LiirExtractor
from .networks import NamedNetwork
from .resnet import ResNetExtractor, is_resnet
from .trust import Recipe, import_path, own_arguments
from .video import VideoEncoder
from .vit import ViTExtractor, is_vit

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
"""Wrappers of torch whose network is their `module`."""


def unwrapped(network: Any) -> Any:
    """Return the network inside torch.compile's, DataParallel's or AveragedModel's wrapper; else the network."""
    inner = getattr(network, "_orig_mod", network)
    if isinstance(inner, WRAPPERS):
        return unwrapped(inner.module)
    return inner


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
    """A network with the RGB normalisation of its training, its description, and defaults for its views.

    Args:
        spec: the name of a network, or a `NamedNetwork`; or a module: a network, one with its own method
            `feature_extractor(stage, stride)`, or a video encoder.
        mean: mean of RGB in [0, 1] in the network's training; None is the library's.
        std: standard deviation of RGB in [0, 1] in the network's training; None is the library's.
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.

    Attributes:
        network: the network.
        described: its name and the source of its weights.

    Raises:
        ValueError: for an unknown name.
    """

    def __init__(
        self,
        spec: Any,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        stage: str | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        described: Network | None = None  # of a module: its own
        if isinstance(spec, str):
            spec = NamedNetwork(spec)
        if isinstance(spec, NamedNetwork):
            stage = stage or spec.stage
            stride = stride or spec.stride
            spec, described = spec.build()
        network = unwrapped(spec)
        if not isinstance(network, nn.Module):
            raise ValueError(f"expected a network by name, file or module, got a {type(network).__name__}")
        record: Any = getattr(network, "pretrained_cfg", None) or {}  # timm's, of the network's training
        self.network: Any = network
        self.mean = tuple(mean or record.get("mean", IMAGENET_MEAN))
        self.std = tuple(std or record.get("std", IMAGENET_STD))
        self.default_stage = stage
        self.default_stride = stride
        self.described = described or Network.of(network)

    def view(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Any:
        """Return a view of the network, which shares its weights and changes nothing in it.

        Each kind of network has its extractor here, and nowhere else.

        Args:
            stage: a name, or names with + between them; None is the default of this encoder.
            stride: pixels per cell; None is the default of this encoder.
            dilated: SiamFC's dilations, as `ResNetExtractor` takes them; of a ResNet only.

        Returns:
            A `FeatureExtractor`, in eval mode; what `feature_extractor` of the network returns; or the video encoder.

        Raises:
            ValueError: if the network has no such stage, stride or dilation.
        """
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        network = self.network
        view: Any
        if gives_extractors(network):
            options = {"dilated": dilated} if dilated else {}  # a user's module has none
            view = network.feature_extractor(stage, stride, **options)
        elif isinstance(network, VideoEncoder):
            if stage is not None or stride is not None or dilated:
                raise ValueError("a video encoder has one stage and stride; leave both arguments out")
            return network
        elif is_resnet(network):
            own_stride = None if dilated else 8
            view = ResNetExtractor(
                shared_copy(network), self._normalise(), stage or "res4", stride or own_stride, dilated
            )
            view.left_to_protocol = stage is None and stride is None
        elif dilated:
            raise ValueError(f"{type(network).__name__}: {UNDILATED}")
        elif isinstance(network, RawColour):
            view = RawColour(stage or "colour", stride).to(device_of(network)).eval()
        elif isinstance(network, LiirEncoder):
            view = LiirExtractor(shared_copy(network), stage or AFFINITY, stride)
        elif is_vit(network):
            view = ViTExtractor(shared_copy(network), self._normalise(), stage, stride)
        elif _is_of_timm(network) and hasattr(network, "forward_features"):
            view = TimmExtractor(shared_copy(network), self._normalise(), stage, stride)
        else:
            view = MapExtractor(network, stage, stride)
        if isinstance(view, FeatureExtractor):
            view.described = self.described
        return view

    def _normalise(self) -> Normalise:
        """Return the normalisation of the network's input, on its device and in its type."""
        normalise = Normalise(self.mean, self.std)
        beside = next(self.network.parameters(), normalise.mean)  # in bfloat16 under Lightning's bf16-true
        return normalise.to(beside, non_blocking=True)

    @property
    def recipe(self) -> Recipe | None:
        """Recipe of the encoder without its weights; None without a name, or for a module with features of its own."""
        network = self.network
        view = {"stage": self.default_stage, "stride": self.default_stride}
        defaults = {name: value for name, value in view.items() if value is not None}
        if isinstance(network, LiirEncoder) and not defaults:
            return {"class_path": import_path(LiirEncoder), "init_args": network.arguments}
        if isinstance(network, LiirEncoder) or gives_extractors(network) or not self.described.spec:
            return None
        arguments: dict[str, Any] = {"spec": self.described.spec}
        if not normalises_itself(network):
            arguments |= {"mean": list(self.mean), "std": list(self.std)}
        return {"class_path": import_path(Encoder), "init_args": arguments | defaults}


def extractor_of(
    network: nn.Module,
    stage: str | None = None,
    stride: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dilated: Dilated = False,
) -> Any:
    """Return a view of a network, which shares its weights and changes nothing in it.

    A ResNet, a ViT or another network of timm gets RGB normalised by `mean` and `std`, ImageNet's by default, also
    as the trunk of your module: give the values of its training. Another module normalises by itself.

    Args:
        network: as `Encoder` takes a module: a ResNet, a ViT or another network of timm; Liir's encoder; a module that
            maps RGB in [0, 1] to `(N, C, h, w)`.
        stage: a name; or a combination (`block9+block12`), whose maps are concatenated along the channels.
        stride: pixels per cell.
        mean: mean of RGB in [0, 1] in the network's training.
        std: standard deviation of RGB in [0, 1] in the network's training.
        dilated: SiamFC's dilations, as `ResNetExtractor` takes them; of a ResNet only.

    Returns:
        As `Encoder.view`.

    Raises:
        ValueError: if the network has no such stage, stride or dilation.
    """
    return Encoder(network, mean, std).view(stage, stride, dilated)


def encoder_hparams(encoder: Encoder, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: the encoder.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe, None for an encoder without a name; `pretrained`: False, because the checkpoint has the
        weights; and the spec of a named network, where a short name would load its trained weights again.
    """
    known: dict[str, Any] = {"encoder": encoder.recipe, "pretrained": False}
    hparams = getattr(encoder.network, "hparams", None)  # a LightningModule's
    if known["encoder"] is None and hparams is not None:
        recipe = {"class_path": import_path(type(encoder.network)), "init_args": own_arguments(hparams)}
        return known | {"encoder": recipe}
    if encoder.described.spec:
        known[argument] = encoder.described.spec
    return known


def weights_digest(module: nn.Module) -> str:
    """Return 12 hexadecimal digits, a digest of all weights in order: types, shapes and numbers, no names."""
    weights = [tensor.detach() for tensor in module.state_dict().values() if isinstance(tensor, Tensor)]
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
