"""Views of networks in memory, and encoders: networks that give views, built by name or from a checkpoint's recipe."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from ..functional.device import device_of, shared_copy
from .description import Network
from .eval_mode import on_trial
from .extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Dilated,
    FeatureExtractor,
    MapExtractor,
    Normalise,
    RawColour,
    refuse_options,
)
from .liir_encoder import LiirEncoder, LiirExtractor
from .networks import named_network
from .resnet import ResNetExtractor, is_resnet
from .torchvision_models import MapOfTorchvision, last_map_of
from .trust import LIBRARIES, import_path, make, pass_gate
from .video import VideoEncoder, VideoNetwork
from .vit import ViTExtractor, is_vit

StageNames = str | list[str] | None
"""Stage of a view: a name, a list of names for several maps, or None for the default."""
WRAPPERS = (nn.DataParallel, DistributedDataParallel, AveragedModel)
"""Modules around a network, which they hold as `module`."""
Recipe = dict[str, Any]
"""`class_path` of a class of this library and its `init_args`, plain types."""


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
    while isinstance(network, WRAPPERS):
        network = network.module
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


class Encoder(nn.Module):
    """A raw network, the RGB normalisation of its training, and defaults for its views.

    Args:
        network: a ResNet, a ViT or another network of timm, Liir's encoder, or a module that maps RGB in [0, 1] to a
            map and normalises by itself.
        mean: mean of RGB in [0, 1].
        std: standard deviation of RGB in [0, 1].
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.

    Attributes:
        described: description of the network; None for a network without a name.
        weights_origin: source of weights that were loaded later, "weights of FILE"; None otherwise.
    """

    described: Network | None = None
    weights_origin: str | None = None

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        stage: str | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.default_stage = stage
        self.default_stride = stride

    def feature_extractor(self, stage: StageNames = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the network, in eval mode; None is the default stage or stride of this encoder."""
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        view = extractor_of(self.network, stage, stride, self.mean, self.std, **options)
        if self.described is not None:
            view.described = Network.of(self)
        return view


class NamedEncoder(Encoder):
    """An encoder by its network's name.

    Args:
        spec: a name for `build_network`, or `raw_colour`.
        arguments: arguments of `LiirEncoder`, if the spec names it.
        mean: mean of RGB in [0, 1] in the network's training; None is the library's.
        std: standard deviation of RGB in [0, 1] in the network's training; None is the library's.
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.
        built: the network of the name and its description, if they are built already.

    Attributes:
        arguments: arguments that make the encoder again, without its weights.

    Raises:
        ValueError: for an unknown name or a video encoder.
    """

    def __init__(
        self,
        spec: str,
        arguments: dict[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        stage: str | None = None,
        stride: int | None = None,
        built: tuple[nn.Module, Network | None] | None = None,
    ) -> None:
        network, described = built or _network_of(spec, arguments)
        if not isinstance(network, nn.Module) or isinstance(network, VideoEncoder):
            raise ValueError(f"{spec}: a video encoder cannot encode single images; name an encoder of images")
        usual_mean, usual_std = usual_normalisation(network)
        super().__init__(network, mean or usual_mean, std or usual_std, stage, stride)
        self.described = described
        self._spec = described.spec if described else spec
        self._arguments = arguments

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that make the encoder again, without its weights."""
        made = {"spec": self._spec, "mean": list(self.mean), "std": list(self.std)}
        optional = {
            "arguments": self._arguments,
            "stage": self.default_stage,
            "stride": self.default_stride,
        }
        return made | {name: value for name, value in optional.items() if value is not None}


def usual_normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of RGB in [0, 1] in a network's training: timm's record, else ImageNet's."""
    record: Any = getattr(network, "pretrained_cfg", None) or {}
    return tuple(record.get("mean", IMAGENET_MEAN)), tuple(record.get("std", IMAGENET_STD))


def _network_of(
    spec: str, arguments: dict[str, Any] | None = None, pretrained: bool = False
) -> tuple[Any, Network | None]:
    """Return a network by its name, and its description; the baseline of raw colour has none."""
    if spec == "raw_colour":
        return RawColour(), None
    if spec == LiirEncoder.architecture and arguments is not None:
        return LiirEncoder(**arguments), LiirEncoder.described
    return named_network(spec, pretrained)


def encoder_by_name(spec: str, pretrained: bool = False) -> Any:
    """Return the encoder of a named network: a `NamedEncoder`, or a `VideoNetwork` for a video encoder."""
    network, described = _network_of(spec, pretrained=pretrained)
    if isinstance(network, VideoEncoder):
        video = VideoNetwork(network)
        if isinstance(network, nn.Module):
            video.described = described
        return video
    return NamedEncoder(spec, built=(network, described))


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

    weights_origin: str | None = None

    def __init__(
        self, encoder: Recipe, stage: str | None = None, stride: int | None = None, dilated: Dilated = False
    ) -> None:
        super().__init__()
        self.arguments = {"encoder": encoder, "stage": stage, "stride": stride, "dilated": dilated}
        self.backbone: Any = from_recipe(encoder).feature_extractor(stage, stride, dilated=dilated)
        width = map_width(self.backbone)
        self.exemplar_conv = nn.Conv2d(width, width, 1)
        self.search_conv = nn.Conv2d(width, width, 1)

    def feature_extractor(
        self, stage: StageNames = None, stride: int | None = None, *, dilated: Dilated = False, **options: Any
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
        view.described = Network.of(self)
        return view


def siamese_view(
    backbone: nn.Module,
    exemplar_conv: nn.Module,
    search_conv: nn.Module,
    wanted: tuple[StageNames, int | None, Dilated],
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
    with on_trial(view):
        return int(view(torch.zeros(1, 3, 64, 64)).shape[1])


def recipe_of_encoder(encoder: object) -> Recipe | None:
    """Return the recipe of an encoder of this library, without its weights; None for another module."""
    if isinstance(encoder, NamedEncoder | SiameseEncoder):
        return {"class_path": import_path(type(encoder)), "init_args": encoder.arguments}
    return None


def from_recipe(recipe: Recipe, source: str = "encoder") -> Any:
    """Build the encoder of a recipe, with fresh weights.

    Raises:
        ValueError: if the recipe names code that is not allowed, or its class refuses the arguments.
    """
    return make(pass_gate(recipe.get("class_path"), recipe.get("init_args", {}), source), source)
