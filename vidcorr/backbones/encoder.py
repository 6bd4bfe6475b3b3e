"""Encoders: networks that give views of their stages, `feature_extractor(stage, stride)`; views of raw networks."""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from ..functional.device import PendingCopy, device_of, shared_copy
from .description import Network
from .extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Dilated,
    FeatureExtractor,
    LibraryExtractor,
    MapExtractor,
    MapOfTorchvision,
    Normalise,
    RawColour,
    eval_mode,
    last_map_of,
    networks_of,
    refuse_options,
)
from .liir_encoder import LiirEncoder
from .resnet import ResNetExtractor, is_resnet
from .trust import LIBRARIES, import_path, make, pass_gate
from .vit import ViTExtractor, is_vit

WRAPPERS = (nn.DataParallel, DistributedDataParallel, AveragedModel)
"""Modules around a network, which they hold as `module`."""
Recipe = dict[str, Any]
"""`class_path` of a class of this library and its `init_args`, plain types."""


def extractor_of(
    network: nn.Module,
    stage: str | None = None,
    stride: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    **options: Any,
) -> Any:
    """Return a view of a raw network that shares its weights and changes nothing in it.

    A ResNet, a ViT or another network of a library gets RGB normalised by `mean` and `std`, ImageNet's by default, also
    as the trunk of your module: give the values of its training. Another module normalises by itself.

    Args:
        network: a ResNet, a ViT or another network of timm or torchvision; Liir's encoder; or a module that maps RGB
            in [0, 1] to `(N, C, h, w)`.
        stage: a name; or a combination (`block9+block12`), whose maps are concatenated.
        stride: pixels per cell.
        mean: mean of RGB in [0, 1] in the network's training.
        std: standard deviation of RGB in [0, 1] in the network's training.
        options: further options of the network's extractor, for example `dilated` of `ResNetExtractor`.

    Returns:
        The view, in eval mode; it does not know the network's name.

    Raises:
        ValueError: if the network has no such stage, stride or option.
    """
    network = getattr(network, "_orig_mod", network)  # of torch.compile
    while isinstance(network, WRAPPERS):
        network = network.module
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
    library = _library_of(network)
    if library == "timm" and hasattr(network, "forward_features"):
        return LibraryExtractor(shared_copy(network), normalise, stage, stride)
    view = shared_copy(network) if library == "torchvision" else network
    last = last_map_of(view) if library == "torchvision" else None
    if last is None:
        return MapExtractor(network, stage, stride)
    extractor = LibraryExtractor(MapOfTorchvision(view, last), normalise, stage, stride)
    if extractor.stride not in (8, 16, 32):
        kind = type(network).__name__
        raise ValueError(f"{kind}: its convolutions lack padding, so its cells are not evenly spaced; take another")
    return extractor


def gives_extractors(module: object) -> bool:
    """Return whether a module has a method `feature_extractor`; a network in an attribute of this name is none."""
    method = getattr(module, "feature_extractor", None)
    return callable(method) and not isinstance(method, nn.Module)


def normalises_itself(network: nn.Module) -> bool:
    """Return True for a user's own module, which takes RGB in [0, 1]; ResNets and networks of libraries do not."""
    return not (_library_of(network) or is_resnet(network) or is_vit(network))


def _library_of(network: nn.Module) -> str:
    packages = [base.__module__.partition(".")[0] for base in type(network).__mro__]
    return next((package for package in packages if package in LIBRARIES), "")


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
        ValueError: for an unknown name or a video encoder.
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
        if not isinstance(network, nn.Module):
            raise ValueError(f"{type(network).__name__}: a video encoder cannot encode single images")
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


class SiameseExtractor(nn.Module):
    """Extractor of search-region features, with `exemplar` for the exemplars' features.

    Attributes:
        stride: pixels per cell.
        described: description of the encoder that gave this view; None: that of its backbone.
    """

    described: Network | None = None

    def __init__(self, backbone: nn.Module, exemplar_conv: nn.Module, search_conv: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.exemplar_conv = exemplar_conv
        self.search_conv = search_conv
        self.stride: Any = backbone.stride
        self.stage: Any = getattr(backbone, "stage", None)  # a user's view may have a stride alone
        self.dilated: Dilated = getattr(backbone, "dilated", False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features of search regions: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`."""
        features: Tensor = self.search_conv(self.backbone(images))
        return features

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return features of exemplar crops, float RGB in [0, 1]: `(N, 3, a, a)` → `(N, C, h, w)`."""
        features: Tensor = self.exemplar_conv(self.backbone(crops))
        return features

    def folded(self) -> "SiameseExtractor":
        """Return a copy with the backbone's BatchNorms folded into its convolutions, if the backbone can fold them."""
        fast = self.backbone.folded() if isinstance(self.backbone, FeatureExtractor) else self.backbone
        return SiameseExtractor(fast, self.exemplar_conv, self.search_conv)


class SiameseEncoder(nn.Module):
    """A frozen view and a 1 × 1 convolution each for exemplars and search regions: what SiamFC's fine-tune trains.

    Paper: VFS (Xu and Wang, ICCV 2021), section 4.2.

    Args:
        encoder: recipe of the encoder.
        stage: stage of the correlated features; None is the network's default.
        stride: pixels per feature cell, if `dilated` is False.
        dilated: SiamFC's dilations in place of the strides of res4 and res5.
    """

    def __init__(
        self, encoder: Recipe, stage: str | None = None, stride: int | None = None, dilated: Dilated = False
    ) -> None:
        super().__init__()
        self.arguments = {"encoder": encoder, "stage": stage, "stride": stride, "dilated": dilated}
        self.backbone: Any = from_recipe(encoder).feature_extractor(stage, stride, dilated=dilated)
        self.described = Network.of(self.backbone)
        width = map_width(self.backbone)
        self.exemplar_conv = nn.Conv2d(width, width, 1)
        self.search_conv = nn.Conv2d(width, width, 1)

    def feature_extractor(
        self, stage: str | None = None, stride: int | None = None, *, dilated: Dilated = False, **options: Any
    ) -> nn.Module:
        """Return the features that the tracker correlates, as a `SiameseExtractor` that shares the weights.

        Args:
            stage: None or the trained stage.
            stride: None or the trained stride.
            dilated: False or the trained dilation.
            options: options of other encoders, which are refused.

        Raises:
            ValueError: for another stage, stride or dilation.
        """
        refuse_options("SiamFC", options)
        view = siamese_view(self.backbone, self.exemplar_conv, self.search_conv, (stage, stride, dilated))
        view.described = self.described
        return view


def siamese_view(
    backbone: nn.Module,
    exemplar_conv: nn.Module,
    search_conv: nn.Module,
    wanted: tuple[str | None, int | None, Dilated],
) -> SiameseExtractor:
    """Return a `SiameseExtractor` that shares the weights, in eval mode.

    Args:
        backbone: the frozen view.
        exemplar_conv: convolution for exemplars.
        search_conv: convolution for search regions.
        wanted: stage, stride and dilation that a caller asks for; None and False take the trained values.

    Raises:
        ValueError: for other values than the trained values.
    """
    view = SiameseExtractor(backbone, exemplar_conv, search_conv)
    made = view.stage, view.stride, view.dilated
    if tuple(asked or own for asked, own in zip(wanted, made, strict=True)) != made:
        raise ValueError(f"SiamFC was trained at (stage, stride, dilated) {made}; for others take its encoder")
    return shared_copy(view).eval()


def map_width(view: nn.Module) -> int:
    """Return the number of channels of a view's map, by a pass of a blank 64 × 64 image."""
    with eval_mode(view), torch.no_grad():
        return int(view(torch.zeros(1, 3, 64, 64)).shape[1])


def recipe_of_encoder(encoder: object) -> Recipe | None:
    """Return the recipe of an encoder of this library, without its weights; None for another, or without a name."""
    is_named = isinstance(encoder, Encoder) and bool(encoder.described.spec)
    if is_named or isinstance(encoder, LiirEncoder | SiameseEncoder):
        return {"class_path": import_path(type(encoder)), "init_args": encoder.arguments}  # type: ignore[union-attr]
    return None


def from_recipe(recipe: Recipe, source: str = "encoder") -> Any:
    """Build the encoder of a recipe, with fresh weights.

    Raises:
        ValueError: if the recipe names code that is not allowed, or its class refuses the arguments.
    """
    return make(pass_gate(recipe.get("class_path"), recipe.get("init_args", {}), source), source)


def encoder_hparams(encoder: nn.Module, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: result of `build_encoder`.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe, None if the name is enough; `pretrained`: False, because the checkpoint has the weights;
        and the spec of a named network, where a short name would load its trained weights again.
    """
    known: dict[str, Any] = {"encoder": None, "pretrained": False}
    hparams = getattr(encoder, "hparams", None)  # a LightningModule's
    if hparams is not None:
        arguments = {name: value for name, value in hparams.items() if not name.startswith("_")}
        known["encoder"] = {"class_path": import_path(type(encoder)), "init_args": arguments}
        return known
    if not _name_suffices(encoder):
        known["encoder"] = recipe_of_encoder(encoder)
    spec = Network.of(encoder).spec
    if spec:
        known[argument] = spec
    return known


def _name_suffices(encoder: object) -> bool:
    """Return whether `build_encoder` makes an encoder again from its network's name alone."""
    if not isinstance(encoder, Encoder) or encoder.arguments.keys() - {"spec", "mean", "std"}:
        return False
    return (encoder.mean, encoder.std) == usual_normalisation(encoder.network)


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
