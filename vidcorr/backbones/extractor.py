"""The extractor interface of benchmarks: images in, a feature map out; extractors of any network that gives maps.

`resnet`, `vit` and `liir_encoder` have the other extractors, `video` the encoders of video.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input
from ..errors import message_of
from ..functional.device import random_state_kept, to_device
from .copies import device_of

PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as in DINO's code."""
Dilated = bool | Literal["released"]
"""SiamFC's dilations in place of the strides of res4 and res5; "released": as in the released code of VFS."""

OUTPUT = "features"
"""Stage name of a network's last map."""
NCHW = {"output_fmt": "NCHW", "intermediates_only": True}
"""Arguments of timm's `forward_intermediates`: maps alone."""
UNDILATED = "dilations are for ResNets: set dilated to false, and stage to null or a stage of the network"
VIEW_OF_TRANSFORMERS = ("position_embedding", "final_norm")
"""Fields of a protocol that act on transformers alone."""
MIN_CELLS = 4
"""Least height and width of a map in cells; a smaller output is a pooled feature."""
MOST_LEADING = 16
"""Largest number of tokens before those of the cells."""
PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation, channel by channel; the constants stay out of checkpoints.

    Args:
        mean: mean of the channels of RGB in [0, 1].
        std: standard deviation of the channels of RGB in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)` in [0, 1], to the constants' type, channels last in memory."""
        normalised = (images - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)


class FeatureExtractor(nn.Module, ABC):
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to a feature map `(N, C, h, w)`.

    Args:
        stage: name of the map; or names with + between them, whose maps are concatenated along the channels.
        known: names of the network's maps.
        network: name of the network in messages.

    Attributes:
        stage: the argument.
        stages: its names.
        stride: pixels per cell.
        multiple: divisor of the sides of an image; benchmarks pad to it, and cut the result.
        positions: interpolation of a position embedding, set by a protocol; other networks ignore it.
        final_norm: apply a transformer's final norm to its maps, set by a protocol; other networks ignore it.
        dilated: SiamFC's dilations, of a ResNet.
        given: holds the user's module of which this is a view; None for an extractor made by its class.
        described: description of the named network (`Network`); None if the network has no name.
        input: the RGB that the network gets; of a class the default of its networks.
        normalises: `forward` normalises RGB by `input`; False for a network that makes its input by code of its own.

    Raises:
        ValueError: if the network has no such stage.
    """

    stride: int
    dilated: Dilated = False
    multiple: int = 1
    positions: PositionRule = "network"
    final_norm: bool = True
    given: Any = None
    described: Any = None
    input: Input = Input()
    normalises: bool = True
    ignores: Collection[str] = ()
    """Fields of a protocol that move no number of these maps: `position_embedding`, `final_norm`."""
    takes_copy: bool = True
    """An encoder gives the constructor a copy of the network over the same tensors, which it may change."""

    def __init__(self, stage: str, known: Collection[str], network: str) -> None:
        super().__init__()
        self.stage = stage
        self.stages = stage.split("+")
        self.require_stages(known, network)

    def require_stages(self, known: Collection[str], network: str) -> None:
        """Refuse stages that a network does not have.

        Raises:
            ValueError: with the names that it has.
        """
        for name in self.stages:
            if name not in known:
                raise ValueError(f"stage {name!r}: {network} has {', '.join(known)}; null is its default")

    def set_stride(self, stride: int, wanted: int | None) -> None:
        """Set the stride of a network that has no choice of it.

        Raises:
            ValueError: if another one is wanted.
        """
        if wanted not in (None, stride):
            raise ValueError(f"the stride of {self.stage} is {stride}, not {wanted}; leave stride out")
        self.stride = stride

    def common_stride(self, strides: Sequence[int]) -> int:
        """Return the stride of the stages' maps, which are concatenated.

        Raises:
            ValueError: if they differ.
        """
        if len(set(strides)) > 1:
            raise ValueError(f"stage {self.stage!r}: its parts have strides {list(strides)}")
        return strides[0]

    def joined(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the maps `(N, C, h, w)` of the stages, along the channels."""
        chosen = [maps[name] for name in self.stages]
        return chosen[0] if len(chosen) == 1 else torch.cat(chosen, dim=1)

    def folded(self) -> "FeatureExtractor":
        """Return a copy with BatchNorms folded into convolutions; itself, for a network without them."""
        return self

    def at(self, stage: str | None, stride: int | None) -> "FeatureExtractor":
        """Return this view, whose stage and stride are settled.

        Raises:
            ValueError: for another stage or stride.
        """
        for name, own, wanted in (("stage", self.stage, stage), ("stride", self.stride, stride)):
            if wanted not in (None, own):
                raise ValueError(f"{type(self).__name__}: has {name} {own}, not {wanted}: give its network instead")
        return self

    def at_input(self, stated: Input) -> "FeatureExtractor":
        """Return a view of the same network that normalises RGB by another input.

        Raises:
            ValueError: if the network makes its input by code of its own.
        """
        if not self.normalises:
            raise ValueError(f"{type(self).__name__}: makes its input by code of its own: leave mean and deviation out")
        return self.adapted(input=stated)

    def adapted(self, **values: Any) -> "FeatureExtractor":
        """Return a view of the same network with other values of `input`, `positions` or `final_norm`."""
        view = copy.copy(self)
        for name, value in values.items():
            setattr(view, name, value)
        return view

    def take_facts_of(self, inner: "FeatureExtractor") -> None:
        """Take what another extractor states of its maps and input, for an extractor around it."""
        self.stride = inner.stride
        self.dilated = inner.dilated
        self.multiple = inner.multiple
        self.positions = inner.positions
        self.final_norm = inner.final_norm
        self.input = inner.input
        self.normalises = inner.normalises
        self.ignores = inner.ignores

    @abstractmethod
    def map_of(self, images: Tensor) -> Tensor:
        """Return the map of images that `forward` has checked, normalised and given the type of the weights."""

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of SiamFC's exemplars; a fine-tuned extractor has another one than of search regions."""
        features: Tensor = self(crops)
        return features

    def prepared(self, images: Tensor) -> Tensor:
        """Return images as the network takes them: normalised by `input`, then in the type of its weights.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            given = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be float RGB (N, 3, H, W) in [0, 1], got {given}")
        if not self.normalises:
            return images
        if not self.input.is_unit:
            images = normalised(images, self.input).contiguous(memory_format=torch.channels_last)
        return images.to(type_of_weights(self))

    def forward(self, images: Tensor) -> Tensor:
        """Return the map.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        return self.map_of(self.prepared(images))


def normalised(images: Tensor, stated: Input) -> Tensor:
    """Return RGB `(…, 3, H, W)` in [0, 1], minus a mean and divided by a deviation, in float32 or finer."""
    constants = to_device(torch.tensor([stated.mean, stated.std], dtype=torch.float32), images.device)
    mean, std = constants.view(2, 3, 1, 1)
    return (images - mean) / std


def type_of_weights(network: nn.Module) -> torch.dtype:
    """Return the type of a network's weights, in which it takes images; float32 without weights."""
    for weights in network.parameters():
        if weights.is_floating_point():
            return weights.dtype
    return torch.float32


def input_of(module: object) -> Input | None:
    """Return the input that a network, an extractor or a video encoder states; None if it states none.

    Raises:
        ValueError: if it states a mean without a deviation.
    """
    kind = type(module).__name__
    mean = getattr(module, "input_mean", None)
    std = getattr(module, "input_std", None)
    if (mean is None) != (std is None):
        raise ValueError(f"{kind}: states one of input_mean and input_std: state both")
    if mean is not None and std is not None:
        return Input.of(mean, std, f"stated by {kind}")
    stated = getattr(module, "input", None)
    return stated if isinstance(stated, Input) else None


class RawColour(FeatureExtractor):
    """Baseline without training: the feature of a cell is its mean colour.

    A trained encoder should propagate labels better than this.

    Args:
        stage: `colour`, the only stage.
        stride: pixels per cell.

    Raises:
        ValueError: for another stage.
    """

    input = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="of raw colour")
    ignores = VIEW_OF_TRANSFORMERS

    def __init__(self, stage: str = "colour", stride: int | None = None) -> None:
        super().__init__(stage, ["colour"], "raw colour")
        self.stride = stride or 8

    def at(self, stage: str | None, stride: int | None) -> "RawColour":
        """Return raw colour at a stride; this view itself for its own."""
        if stage in (None, self.stage) and stride in (None, self.stride):
            return self
        return RawColour(stage or self.stage, stride or self.stride).eval()

    def map_of(self, images: Tensor) -> Tensor:
        """Return the mean colours of cells; cells at the right and lower border may be cut."""
        return nn.functional.avg_pool2d(images, self.stride, ceil_mode=True)


def measured_stride(view: nn.Module, kind: str, function: Callable[[Tensor], Any] | None = None) -> int:
    """Return the stride of a network's map of a blank image.

    Args:
        view: an extractor without a stride, or a video encoder.
        kind: name of the network, for messages.
        function: makes the map; None is the view itself.

    Raises:
        ValueError: as `output_of_blank` and `stride_of_blank`.
    """
    output, size = output_of_blank(view, kind, function or view)
    return stride_of_blank(output, kind, size)


def output_of_blank(view: nn.Module, kind: str, function: Callable[[Tensor], Any]) -> tuple[Any, tuple[int, int]]:
    """Return the output of a function of an extractor or a video encoder for a blank image, and the image's size.

    Raises:
        ValueError: if the network fails on this image, whose size it may not take.
    """
    multiple = getattr(view, "multiple", 1)
    height, width = (-(-side // multiple) * multiple for side in PROBE)  # rounded up to a multiple
    blank = torch.zeros(1, 3, height, width, device=device_of(view))
    with eval_mode(view), random_state_kept():
        try:
            return features_by(function, blank), (height, width)
        except Exception as error:  # of a user's code
            said = message_of(error) or type(error).__name__
            tubelet = getattr(getattr(view, "network", None), "tubelet_size", 1)
            if tubelet != 1:
                wrapper = f"vidcorr.backbones.Clips(network, tubelet={tubelet})"
                raise ValueError(f"{kind}: takes clips, not a single frame: give {wrapper}: {said}") from error
            raise ValueError(
                f"{kind}: no map of a blank image of {height} x {width}, which measures its stride (if it takes only "
                "images of its own size: give a network that takes others, or a wrapper that resizes images or "
                f"interpolates positions): {said}"
            ) from error


def stride_of_blank(output: Any, kind: str, size: tuple[int, int]) -> int:
    """Return the stride of a map of a blank image.

    Raises:
        ValueError: if the output is not a map of at least 4 × 4 cells of its stride.
    """
    features = require_map(output, kind)
    stride = max(round(size[0] / features.shape[2]), 1)
    require_stride(features, kind, stride, size)
    check_map(features, kind)
    return stride


class MapExtractor(FeatureExtractor):
    """A view of a user's module, which maps float RGB `(N, 3, H, W)` to `(N, C, h, w)`: `features`.

    Of several maps, in a dictionary, a list or a tuple, the stage names one, or several with + between them: a key, the
    name of timm's `features_only`, or the place from 0. Of one map no stage is needed.

    Its stride is its attribute `stride`, or that of a map of a blank image whose sides differ; its attribute
    `multiple`, if it has one, divides the sides of its images. Tokens `(N, cells, C)` of a known patch (attribute
    `patch_size` of the module, its `patch_embed` or `config`) become a map; leading tokens of no cell are left out. A
    network of clips, which states its `tubelet_size`, gets each frame as a clip `(N, 3, 1, H, W)`.

    Args:
        network: the module. It is not copied: it is put into eval mode for each pass, and put back.
        stage: None or `features`; of several maps a key.
        stride: None, or the stride of the map.

    Attributes:
        kind: the module's class.

    Raises:
        ValueError: for another stage or stride, or if the output, of a module that states no stride, is not a map of at
            least 4 × 4 cells.
    """

    ignores = VIEW_OF_TRANSFORMERS
    takes_copy = False

    def __init__(self, network: nn.Module, stage: str | None = None, stride: int | None = None) -> None:
        kind = type(network).__name__
        stages = stage or OUTPUT
        super().__init__(stages, stages.split("+"), kind)  # which there are is known with the first output
        self.network = network
        self.training = False  # not by `eval`, as in other views, which would set the user's own network too
        self.patch = patch_of(network)
        self.multiple = getattr(network, "multiple", self.patch or 1)
        self.kind = kind
        own_stride = stated_stride(network)
        if own_stride is None or stages != OUTPUT:
            output, size = output_of_blank(self, kind, lambda images: self._output_of(network, self.prepared(images)))
            own_stride = stride_of_blank(self._chosen(output, size), kind, size)
        self.set_stride(own_stride, stride)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the map of the stage in the network's output, tokens as a map."""
        features: Tensor = self._chosen(self._output_of(self.network, images), images.shape[2:])
        return features

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of exemplars: of a network with a method `exemplar` the output of this method."""
        function = getattr(self.network, "exemplar", self.network)
        features: Tensor = self._chosen(self._output_of(function, self.prepared(crops)), crops.shape[2:])
        return features

    def _output_of(self, function: Callable[[Tensor], Any], images: Tensor) -> Any:
        given = images[:, :, None] if hasattr(self.network, "tubelet_size") else images  # a clip of one frame
        with eval_mode(self.network):
            return function(given)

    def _chosen(self, output: Any, size: Sequence[int]) -> Any:
        """Return the map of the stage; an output without a map as it is.

        Raises:
            ValueError: if the output has several maps and none is chosen, or not the chosen one.
        """
        maps = maps_in(output, self.network, self.patch, size)
        if self.stage == OUTPUT:
            if OUTPUT in maps:
                return maps[OUTPUT]
            if len(maps) > 1:
                shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in maps.items())
                raise ValueError(f"{self.kind}: gives several maps, choose one as stage: {shapes}")
            return next(iter(maps.values()), output)
        self.require_stages(maps, self.kind)
        self.common_stride([round(size[0] / maps[name].shape[2]) for name in self.stages])
        return self.joined(maps)


def maps_in(output: Any, network: object, patch: int | None, size: Sequence[int]) -> dict[str, Any]:
    """Return the maps of a network's output by their names: of a dictionary its keys, of a list timm's or the places.

    Args:
        output: of the network; what is not in a container is named `features`.
        network: the network, whose timm record may name the members of a list.
        patch: side of a patch, pixels; None if it is unknown.
        size: height and width of the images, pixels.
    """
    if hasattr(output, "last_hidden_state") or not isinstance(output, Mapping | list | tuple):
        return {OUTPUT: map_of_tokens(output, patch, size)}
    names: Iterable[Any] = range(len(output))
    members = output
    if isinstance(output, Mapping):
        names = output.keys()
        members = list(output.values())
    elif hasattr(getattr(network, "feature_info", None), "module_name"):
        names = network.feature_info.module_name()  # type: ignore[attr-defined]  # of timm's features_only
    maps: dict[str, Any] = {}
    for name, member in zip(names, members, strict=False):
        found = map_of_tokens(member, patch, size)
        if isinstance(found, Tensor) and found.ndim == 4:
            maps[str(name)] = found
    return maps


def stage_names(prefix: str, count: int) -> list[str]:
    """Return the names of stages that are numbered from 1: block1, block2, …"""
    return [f"{prefix}{number}" for number in range(1, count + 1)]


def stage_indices(stages: Iterable[str], prefix: str) -> list[int]:
    """Return the places of stages in `stage_names`, from 0, ascending, each once; other stages are left out."""
    return sorted({int(name.removeprefix(prefix)) - 1 for name in stages if name.startswith(prefix)})


class TimmExtractor(FeatureExtractor):
    """A view of a network of timm that is neither a ResNet nor a transformer with blocks.

    `features` is the last map before the pooling; most also have the stages of their `feature_info`, `stage1 … stageN`
    (ConvNeXt, Swin, EfficientNet, …).

    Args:
        network: of timm. It is not copied: pass a copy (`shared_copy`) to keep yours.
        stage: a name; None is `features`.
        stride: None, or the stride of the stage.

    Raises:
        ValueError: if a stage does not exist or its stride differs, or the network takes images of one size only.
    """

    input = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="the default of timm's networks")

    def __init__(self, network: nn.Module, stage: str | None = None, stride: int | None = None) -> None:
        kind = type(network).__name__
        known = [OUTPUT]
        if hasattr(network, "forward_intermediates"):
            known += stage_names("stage", len(getattr(network, "feature_info", None) or ()))
        super().__init__(stage or OUTPUT, known, kind)
        gives_tokens = OUTPUT in self.stages and hasattr(network, "num_prefix_tokens")
        self.ignores = ("position_embedding",) if gives_tokens else VIEW_OF_TRANSFORMERS
        self.network: Any = network
        self.eval()
        self.set_stride(measured_stride(self, kind), stride)
        self.multiple = self.stride  # some drop a last incomplete cell

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the stages, or the last map before the pooling."""
        maps: dict[str, Tensor] = {}
        indices = stage_indices(self.stages, "stage")
        if indices:
            found = self.network.forward_intermediates(images, indices=indices, stop_early=True, **NCHW)
            for index, each in zip(indices, found, strict=True):
                maps[f"stage{index + 1}"] = each
        if OUTPUT in self.stages:
            maps[OUTPUT] = self._last_map(images)
        self.common_stride([round(images.shape[2] / each.shape[2]) for each in maps.values()])  # refuses several
        return self.joined(maps)

    def _last_map(self, images: Tensor) -> Tensor:
        """Return the map before the pooling, of normalised images."""
        features: Tensor
        if hasattr(self.network, "num_prefix_tokens"):  # NaFlexViT returns tokens
            last_blocks = 1
            (features,) = self.network.forward_intermediates(images, indices=last_blocks, norm=self.final_norm, **NCHW)
            return features
        features = self.network.forward_features(images)
        if str(getattr(self.network, "output_fmt", "")).endswith("NHWC") and features.ndim == 4:
            features = features.permute(0, 3, 1, 2)
        return features


def patch_of(network: object) -> int | None:
    """Return the side of a network's patches, pixels: `patch_size` of it, its `patch_embed` or `config`; else None."""
    for holder in (network, getattr(network, "patch_embed", None), getattr(network, "config", None)):
        patch = getattr(holder, "patch_size", None)
        if isinstance(patch, tuple | list) and len(set(patch[-2:])) == 1:  # a third number counts frames
            patch = patch[-1]
        if isinstance(patch, int):
            return patch
    return None


def map_of_tokens(output: Any, patch: int | None, size: Sequence[int]) -> Any:
    """Return tokens `(N, cells, C)` as a map `(N, C, h, w)`; another output, or tokens of another number, as it is.

    Args:
        output: of a network; a Hugging Face model's has `last_hidden_state`.
        patch: side of a patch, pixels; None if it is unknown.
        size: height and width of the images, pixels.
    """
    tokens = getattr(output, "last_hidden_state", output)
    if isinstance(tokens, Tensor) and tokens.ndim == 4:
        return tokens
    if patch is None or not isinstance(tokens, Tensor) or tokens.ndim != 3:
        return output
    rows, columns = size[0] // patch, size[1] // patch
    leading = tokens.shape[1] - rows * columns  # class and register tokens
    if not 0 <= leading <= MOST_LEADING:
        return output
    return tokens[:, leading:].mT.unflatten(2, (rows, columns))


def features_by(function: Callable[[Tensor], Any], images: Tensor) -> Any:
    """Return the output of a network for images, without gradients.

    Tensors that the network keeps, for example a table of positions, stay of use in training: they are no inference
    tensors.

    Args:
        function: an extractor, or a method of a network.
        images: float RGB `(N, 3, H, W)` in [0, 1].
    """
    with torch.inference_mode(False), torch.no_grad():
        return function(images.clone() if images.is_inference() else images)


def stated_stride(network: object) -> int | None:
    """Return a network's attribute `stride`, pixels per cell; None if it is missing or no integer (a convolution's)."""
    stride = getattr(network, "stride", None)
    return stride if isinstance(stride, int) else None


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Set a module to eval mode during a block, and restore the mode of every submodule.

    BatchNorm then takes its running statistics and does not update them, so weights and buffers stay as they were.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout().eval())
        >>> with eval_mode(network):
        ...     print(network[0].training)
        False
        >>> network[0].training, network[1].training
        (True, False)
    """
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        # `train`, which a user may have overridden, also sets the mode of all parts: theirs is restored last
        for part, was_training in modes.items():
            if part.training != was_training:
                part.train(was_training)
        for part, was_training in modes.items():
            part.training = was_training


def check_map(features: Tensor, name: str) -> None:
    """Refuse a map that is too coarse to distinguish positions.

    Args:
        features: `(…, h, w)`.
        name: name of the network, for the message.

    Raises:
        ValueError: if the map has fewer than 4 × 4 cells.
    """
    height, width = features.shape[-2:]
    if min(height, width) < MIN_CELLS:
        raise ValueError(f"{name}: {height} x {width} cells, too few to distinguish positions: take a finer stage")


def require_map(output: object, name: str) -> Tensor:
    """Return an output of a network, if it is a map.

    Raises:
        ValueError: for anything but a tensor `(N, C, h, w)` of real numbers.
    """
    if isinstance(output, Tensor) and output.ndim == 4 and not output.is_complex():
        return output
    given = type(output).__name__
    if isinstance(output, Tensor):
        given = f"{'complex ' if output.is_complex() else ''}{tuple(output.shape)}"
    found = f"{name}: expected a map (N, C, h, w), got {given}"
    first = output[0] if isinstance(output, tuple | list) and output else output
    if hasattr(output, "last_hidden_state") or (isinstance(first, Tensor) and first.ndim == 3):
        raise ValueError(
            f"{found}: tokens become a map by an attribute patch_size of the network, or in six lines, docs/extend.md, "
            "section 'A network of tokens'"
        )
    raise ValueError(
        f"{found}: leave pooling and classifier out, or give it a method feature_extractor(stage, stride) that returns "
        "vidcorr.build_feature_extractor(self.trunk, stage, stride)"
    )


def require_stride(features: Tensor, name: str, stride: int, size: tuple[int, int]) -> None:
    """Refuse a map with other cells than its stride gives: they would not lie where the stride places them.

    Args:
        features: `(N, C, h, w)`.
        name: name of the network, for the message.
        stride: pixels per cell.
        size: height and width of the image, pixels.

    Raises:
        ValueError: naming both sizes.
    """
    if fits(features.shape[2:], stride, size):
        return
    rows, columns = features.shape[1:3]
    of_rows = max(round(size[0] / rows), 1)
    if min(rows, columns) >= MIN_CELLS and fits((rows, columns), of_rows, size):
        given = tuple(features.shape)
        raise ValueError(f"{name}: gives channels last, {given}: return its map with .permute(0, 3, 1, 2)")
    height, width = features.shape[2:]
    found = f"{height} x {width} cells for a {size[0]} x {size[1]} image"
    remedy = "cut its padding or pad its convolutions"
    raise ValueError(f"{name}: {found} are not those of stride {stride}: {remedy}")


def fits(cells: Sequence[int], stride: int, size: Sequence[int]) -> bool:
    """Return whether rows and columns are those of a stride; a last incomplete cell may be dropped or kept."""
    return all(count in (side // stride, -(-side // stride)) for count, side in zip(cells, size, strict=True))
