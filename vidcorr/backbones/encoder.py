"""Encoders: a network with its input and description, which gives views of its stages."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..functional.device import PendingCopy
from .copies import Held, device_of, shared_copy
from .description import IMAGENET_MEAN, IMAGENET_STD, Input, Network, stated_input
from .extractor import (
    UNDILATED,
    Dilated,
    FeatureExtractor,
    MapExtractor,
    Normalise,
    RawColour,
    TimmExtractor,
    at_input,
    has_part,
    input_of,
    normalisation,
    stated_stride,
)
from .liir_encoder import AFFINITY, LiirEncoder, LiirExtractor
from .resnet import ResNetExtractor, is_resnet
from .trust import Recipe, import_path, own_arguments
from .video import VideoEncoder, frames_at_input
from .vit import BlocksExtractor, ViTExtractor, gives_blocks, is_vit

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


def inner_network(network: Any) -> Any:
    """Return the network inside a wrapper of torch, or inside a module that has no forward pass of its own.

    Such a module, for example a LightningModule, holds its network as `encoder` or `backbone`.

    Raises:
        ValueError: if neither or both attributes hold a network.
    """
    inner = unwrapped(network)
    if not isinstance(inner, nn.Module):
        return inner
    class_of_forward = next(kind for kind in type(inner).__mro__ if "forward" in vars(kind))
    # by name: the library imports neither Lightning
    has_own_forward = class_of_forward is not nn.Module and class_of_forward.__name__ != "LightningModule"
    if has_own_forward:
        return inner
    if gives_extractors(inner) or isinstance(inner, VideoEncoder) or gives_blocks(inner):  # needs no forward
        return inner
    found: list[nn.Module] = []
    for name in ("encoder", "backbone"):
        part = getattr(inner, name, None)
        if isinstance(part, nn.Module):
            found.append(part)
    if len(found) != 1:
        raise ValueError(
            f"{type(inner).__name__}: has no forward, and {len(found)} of encoder and backbone: give it a method "
            "feature_extractor(stage, stride) that returns vidcorr.build_feature_extractor(self.trunk, stage, stride)"
        )
    return inner_network(found[0])


def is_extractor(network: object) -> bool:
    """Return whether a module is an extractor already, whose stage and stride are settled."""
    is_of_siamfc = hasattr(network, "exemplar")  # its extractor encodes exemplars by a method of this name
    return isinstance(network, FeatureExtractor) or is_of_siamfc


def is_of_timm(network: nn.Module) -> bool:
    """Return whether a network is one of timm that has a map before its pooling."""
    of_timm = any(base.__module__.startswith("timm.") for base in type(network).__mro__)
    return of_timm and hasattr(network, "forward_features")


def _resnet(
    network: nn.Module, normalise: nn.Module, stage: str | None, stride: int | None, dilated: Dilated = False
) -> FeatureExtractor:
    """Return a view of a ResNet, by default of res4 at stride 8."""
    view = ResNetExtractor(network, normalise, stage or "res4", stride or 8, dilated)
    view.left_to_protocol = stage is None and stride is None
    return view


def _liir(network: Any, normalise: nn.Module | None, stage: str | None, stride: int | None) -> FeatureExtractor:
    return LiirExtractor(network, stage or AFFINITY, stride)


def _colour(network: Any, normalise: nn.Module | None, stage: str | None, stride: int | None) -> FeatureExtractor:
    """Return raw colour itself; for another stride a new one."""
    if stage in (None, network.stage) and stride in (None, network.stride):
        return network
    return RawColour(stage or network.stage, stride or network.stride).to(device_of(network)).eval()


def _settled(network: Any, normalise: nn.Module | None, stage: str | None, stride: int | None) -> Any:
    """Return an extractor itself.

    Raises:
        ValueError: for another stage or stride than its own.
    """
    own = {"stage": getattr(network, "stage", None), "stride": stated_stride(network)}
    for name, wanted in (("stage", stage), ("stride", stride)):
        if wanted not in (None, own[name]):
            raise ValueError(
                f"{type(network).__name__}: has {name} {own[name]}, not {wanted}: give its network instead"
            )
    return network


EXTRACTORS: list[tuple[Callable[[Any], bool], Callable[..., FeatureExtractor]]] = [
    (lambda network: isinstance(network, RawColour), _colour),
    (is_extractor, _settled),
    (lambda network: isinstance(network, LiirEncoder), _liir),
    (is_resnet, _resnet),
    (is_vit, ViTExtractor),
    (is_of_timm, TimmExtractor),
    (gives_blocks, BlocksExtractor),
    (lambda network: True, MapExtractor),
]
"""Kinds of networks: a predicate, and the extractor of the networks that it accepts; the first that accepts counts.

An extractor is called with the network (a copy over the same tensors, unless its `takes_copy` is False), a module that
normalises RGB in [0, 1], and stage and stride or None. A kind of yours: `EXTRACTORS.insert(0, (is_mine, MyExtractor))`.
"""
WITH_OWN_INPUT = (_colour, _settled, _liir)
"""Extractors that normalise RGB by themselves."""


class Encoder(nn.Module):
    """A network with its input, its description, and defaults for its views.

    Args:
        network: a network; a module with its own method `feature_extractor(stage, stride)`; an extractor; a video
            encoder; one of them in a wrapper of torch, or as `encoder` or `backbone` of a module without `forward`.
        stated: the RGB that the network gets, if the caller knows it; None: as the module, its package's record or its
            library states.
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.
        described: name and source of the weights; None is the module's own description.

    Attributes:
        network: the network.
        given: holds the module that was given, which may be one around the network.
        extract: the extractor of its kind.
        described: its name and the source of its weights.
        is_ours: True if `load` made the network, so that nobody else holds its tensors.

    Raises:
        ValueError: for anything but a module.
    """

    is_ours = False

    def __init__(
        self,
        network: Any,
        stated: Input | None = None,
        stage: str | None = None,
        stride: int | None = None,
        described: Network | None = None,
    ) -> None:
        super().__init__()
        outer = unwrapped(network)
        inner = inner_network(outer)
        if not isinstance(inner, nn.Module):
            raise ValueError(f"expected a network by name, file or module, got a {type(inner).__name__}")
        if stated is None and hasattr(outer, "input_mean"):  # the module around the network may state it
            stated = input_of(outer)
        self.network: Any = inner
        self.given = Held(outer)
        self.extract: Any = next(extract for accepts, extract in EXTRACTORS if accepts(inner))
        self.stated = stated if stated is not None and stated.source else None  # without a source nobody states it
        self.default_stage = stage
        self.default_stride = stride
        self.described = described or Network.of(outer)

    @property
    def input(self) -> Input:
        """The RGB that the network gets: stated by caller or module, of timm's record, or the default of its kind.

        A module with its own views gets the RGB of these views: its training may normalise otherwise.
        """
        network = self.network
        if self.stated is None and gives_extractors(network):
            return input_of(network.feature_extractor(self.default_stage, self.default_stride))
        stated = self.stated or input_of(network)
        if stated.source:
            return stated
        record: Any = getattr(network, "pretrained_cfg", None) or {}  # timm's, of the network's training
        if "mean" in record:
            name = ".".join(filter(None, (record.get("architecture"), record.get("tag"))))
            return Input.of(record["mean"], record["std"], f"timm's record of {name}")
        source = ""
        if is_resnet(network):
            source = "the default of ResNets, as torchvision's"
        elif is_vit(network) or is_of_timm(network):
            source = "the default of timm's networks"
        return Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source=source) if source else stated

    def state_input(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        """Set the input that a caller knows; None for both changes nothing.

        Raises:
            ValueError: as `stated_input`.
        """
        self.stated = stated_input(mean, std) or self.stated

    def view(
        self,
        stage: str | None = None,
        stride: int | None = None,
        dilated: Dilated = False,
        features: str | None = None,
    ) -> Any:
        """Return a view of the network, which shares its weights and changes nothing in it.

        Args:
            stage: a name, or names with + between them; None is the default of this encoder.
            stride: pixels per cell; None is the default of this encoder.
            dilated: SiamFC's dilations, as `ResNetExtractor` takes them; of a ResNet only.
            features: `STAGE/STRIDE` of a protocol, for a ResNet of which nobody names a stage or a stride.

        Returns:
            A `FeatureExtractor`, in eval mode; what `feature_extractor` of the network returns; or the video encoder.

        Raises:
            ValueError: if the network has no such stage, stride or dilation, or normalises RGB by code of its own while
                the caller states its input.
        """
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        network = self.network
        options: dict[str, Any] = {"dilated": dilated} if dilated else {}  # a user's module has none
        view: Any
        if gives_extractors(network):
            view = network.feature_extractor(stage, stride, **options)
            if not is_extractor(view) and not isinstance(view, VideoEncoder):
                view = MapExtractor(view)
            if self.stated is not None:
                view = at_input(view, self.stated)
        elif isinstance(network, VideoEncoder):
            if stage is not None or stride is not None or dilated:
                raise ValueError("a video encoder has one stage and stride; leave both arguments out")
            view = network if self.stated is None else frames_at_input(network, self.stated)
        else:
            view = self._extracted(stage, stride, options)
        is_network_itself = view is network  # an extractor or a video encoder, whose stage is settled
        if is_network_itself and self.given.module is network:
            return view
        if is_network_itself:
            view = copy.copy(view)  # the user's network stays as it is
        elif features and getattr(view, "left_to_protocol", False):
            layer, _, pixels = features.partition("/")
            return self.view(layer, int(pixels))
        view.given = self.given
        return view

    def _extracted(self, stage: str | None, stride: int | None, options: Mapping[str, Any]) -> Any:
        """Return the view of a network of images by the extractor of its kind, with the stated input.

        Raises:
            ValueError: for dilations of another network than a ResNet; as the extractor.
        """
        network = self.network
        if options and self.extract is not _resnet:
            raise ValueError(f"{type(network).__name__}: {UNDILATED}")
        returns_network_itself = self.extract in (_colour, _settled)
        takes_copy = getattr(self.extract, "takes_copy", not returns_network_itself)
        normalise = normalisation(network, self.input) if self.takes_normalised else None
        view = self.extract(shared_copy(network) if takes_copy else network, normalise, stage, stride, **options)
        if normalise is None and self.stated is not None:
            view = at_input(view, self.stated)
        if view is not network or self.is_ours:  # an extractor of the user's stays as it is
            view.input = self.input
            view.described = self.described
        return view

    @property
    def takes_normalised(self) -> bool:
        """True if a view normalises RGB before the network gets it.

        Not for a network with views or an input of its own; for a user's module if its input is stated, and no part of
        it normalises.
        """
        if gives_extractors(self.network) or isinstance(self.network, VideoEncoder) or self.extract in WITH_OWN_INPUT:
            return False
        if self.extract is not MapExtractor:
            return True
        return self.stated is not None and not has_part(self.network, Normalise)

    @property
    def recipe(self) -> Recipe | None:
        """Recipe of the encoder without its weights.

        None without a name, for a module with features of its own, or for Liir's encoder with a default stage or
        stride, which the arguments of its class cannot hold.
        """
        network = self.network
        defaults: dict[str, Any] = {}
        if self.default_stage is not None:
            defaults["stage"] = self.default_stage
        if self.default_stride is not None:
            defaults["stride"] = self.default_stride
        if isinstance(network, LiirEncoder) and not defaults:
            return {"class_path": import_path(LiirEncoder), "init_args": network.arguments}
        if isinstance(network, LiirEncoder) or gives_extractors(network) or not self.described.spec:
            return None
        arguments: dict[str, Any] = {"spec": self.described.spec}
        if self.takes_normalised:
            arguments |= {"mean": list(self.input.mean), "std": list(self.input.std)}
        return {"class_path": import_path(Encoder), "init_args": arguments | defaults}


def encoder_hparams(encoder: Encoder, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: the encoder.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe; of a LightningModule without one that of the module; None for another encoder without a
        name; `pretrained`: False, because the checkpoint has the weights; and the spec of a named network, where a
        short name would load its trained weights again.
    """
    hparams: dict[str, Any] = {"encoder": encoder.recipe, "pretrained": False}
    module_arguments = getattr(encoder.network, "hparams", None)  # a LightningModule's
    if hparams["encoder"] is None and module_arguments is not None:
        kind = import_path(type(encoder.network))
        return hparams | {"encoder": {"class_path": kind, "init_args": own_arguments(module_arguments)}}
    if encoder.described.spec:
        hparams[argument] = encoder.described.spec
    return hparams


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
