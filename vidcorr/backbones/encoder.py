"""Encoders: a network with its input and description, which gives views of its stages."""

import copy
import hashlib
import inspect
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..description import Input as Input, Network as Network, stated_input
from ..functional.device import PendingCopy
from .copies import Held, on_device, shared_copy
from .extractor import (
    UNDILATED,
    Dilated,
    FeatureExtractor,
    MapExtractor,
    TimmExtractor,
    input_of,
)
from .hub_models import HubExtractor, is_of_transformers
from .liir_encoder import LiirEncoder, LiirExtractor
from .resnet import ResNetExtractor, is_resnet
from .trust import Recipe, import_path, own_arguments
from .video import Clips, VideoEncoder
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
    """Return whether a module has a method `feature_extractor(stage, stride)`; a network or another method is none."""
    method = getattr(module, "feature_extractor", None)
    if not callable(method) or isinstance(method, nn.Module):
        return False
    return {"stage", "stride"} <= inspect.signature(method).parameters.keys()


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


def is_of_timm(network: nn.Module) -> bool:
    """Return whether a network is one of timm that has a map before its pooling."""
    of_timm = any(base.__module__.startswith("timm.") for base in type(network).__mro__)
    return of_timm and hasattr(network, "forward_features")


def record_of(network: Any) -> Input | None:
    """Return the input in timm's record of a network's training; None without one."""
    record: Any = getattr(network, "pretrained_cfg", None) or {}
    if "mean" not in record:
        return None
    name = ".".join(filter(None, (record.get("architecture"), record.get("tag"))))
    return Input.of(record["mean"], record["std"], f"timm's record of {name}")


def own_view(network: Any, stage: str | None, stride: int | None, **dilated: Dilated) -> Any:
    """Return what the method `feature_extractor` of a module returns, as an extractor."""
    view = network.feature_extractor(stage, stride, **dilated)
    return view if isinstance(view, FeatureExtractor | VideoEncoder) else MapExtractor(view)


def settled(network: Any, stage: str | None, stride: int | None) -> Any:
    """Return an extractor itself, or raw colour at a stride.

    Raises:
        ValueError: for another stage or stride than its own.
    """
    return network.at(stage, stride)


def of_video(network: Any, stage: str | None, stride: int | None) -> Any:
    """Return a video encoder itself.

    Raises:
        ValueError: for a stage or a stride.
    """
    if stage is not None or stride is not None:
        raise ValueError("a video encoder has one stage and stride; leave both arguments out")
    return network


EXTRACTORS: list[tuple[Callable[[Any], bool], Callable[..., Any]]] = [
    (gives_extractors, own_view),
    (lambda network: isinstance(network, FeatureExtractor), settled),
    (lambda network: isinstance(network, VideoEncoder), of_video),
    (lambda network: isinstance(network, LiirEncoder), LiirExtractor),
    (is_resnet, ResNetExtractor),
    (is_vit, ViTExtractor),
    (is_of_timm, TimmExtractor),
    (gives_blocks, BlocksExtractor),
    (is_of_transformers, HubExtractor),
    (lambda network: True, MapExtractor),
]
"""Kinds of networks: a predicate, and the extractor of the networks that it accepts; the first that accepts counts.

A class of extractors is called with the network (a copy over the same tensors, unless its `takes_copy` is False), and
stage and stride or None. A kind of yours: `EXTRACTORS.insert(0, (is_mine, MyExtractor))`.
"""


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
        if self.stated is not None:
            return self.stated
        if self.extract is own_view:
            return input_of(self.view()) or Input()
        default: Input = getattr(self.extract, "input", Input())
        return input_of(self.network) or record_of(self.network) or default

    @property
    def normalises(self) -> bool:
        """True if a view made here normalises RGB, by an input that somebody states."""
        return getattr(self.extract, "normalises", False) and bool(self.input.source)

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
        default: str | None = None,
    ) -> Any:
        """Return a view of the network, which shares its weights and changes nothing in it.

        Args:
            stage: a name, or names with + between them; None is the default of this encoder.
            stride: pixels per cell; None is the default of this encoder.
            dilated: SiamFC's dilations, as `ResNetExtractor` takes them; of a ResNet only.
            default: `STAGE/STRIDE` of a protocol, for a ResNet of which nobody names a stage or a stride.

        Returns:
            A `FeatureExtractor`, in eval mode; what `feature_extractor` of the network returns; or the video encoder.

        Raises:
            ValueError: if the network has no such stage, stride or dilation, or normalises RGB by code of its own while
                the caller states its input.
        """
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        if default and self.extract is ResNetExtractor and stage is None and stride is None:
            stage, _, pixels = default.partition("/")
            stride = int(pixels)
        network = self.network
        kind = type(network).__name__
        options: dict[str, Any] = {"dilated": dilated} if dilated else {}  # a user's module has none
        if dilated and self.extract not in (own_view, ResNetExtractor):
            raise ValueError(f"{kind}: {UNDILATED}")
        takes_copy = getattr(self.extract, "takes_copy", False)
        view: Any = self.extract(shared_copy(network) if takes_copy else network, stage, stride, **options)
        is_made_here = isinstance(self.extract, type)
        if self.stated is not None:
            if not isinstance(view, FeatureExtractor | Clips):
                raise ValueError(f"{kind}: makes its input by code of its own: leave mean and deviation out")
            view = view.at_input(self.stated)
        elif is_made_here and view.normalises:
            view.input = self.input
        if view is network and not self.is_ours:  # an extractor or a video encoder of the user's stays as it is
            if self.given.module is network:
                return view
            view = copy.copy(view)
        if is_made_here or self.is_ours:
            view.described = self.described
        view.given = self.given
        return view

    def placed_view(self, **options: Any) -> Any:
        """Return a view to compute with, as `view` does: of a network that `load` made, on the GPU if there is one."""
        found = self.view(**options)
        return on_device(found) if self.is_ours else found

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
        if isinstance(network, LiirEncoder) or self.extract is own_view or not self.described.spec:
            return None
        arguments: dict[str, Any] = {"spec": self.described.spec}
        if self.normalises:
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
