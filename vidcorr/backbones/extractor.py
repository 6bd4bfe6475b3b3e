"""The extractor interface of benchmarks: images in, feature maps out; and extractors of any network that gives maps.

`resnet`, `vit` and `liir_encoder` have the other extractors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..functional.device import device_of
from .eval_mode import on_trial
from .outputs import OWN_EXTRACTOR, PROBE, measured_stride
from .trust import reason

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as in DINO's code."""
Dilated = bool | Literal["released"]
"""SiamFC's dilations in place of the strides of res4 and res5; "released": as in the released code of VFS."""

OUTPUT = "features"
"""Stage name of a network's last map."""
UNDILATED = "dilations are for ResNets: set dilated to false, and stage to null or a stage of the network"


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


class TypeOfWeights(nn.Module):
    """Give images the type of the module's weights; in the place of `Normalise` for a network that normalises RGB."""

    like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("like", torch.empty(0), persistent=False)  # changes its type with the module

    def forward(self, images: Tensor) -> Tensor:
        """Return the images in the type of the buffer."""
        return images.to(self.like.dtype)


def refuse_options(network: str, options: Mapping[str, Any]) -> None:
    """Refuse options of `feature_extractor` that a network does not have; options set to False or None are ignored.

    Raises:
        ValueError: one line that names the network and the options.
    """
    given = [name for name, value in options.items() if value]
    if given:
        raise ValueError(f"{network}: has no option {', '.join(given)}; {UNDILATED}")


def as_list(value: Any) -> list[Any]:
    """Return a list unchanged, and any other value as a list of one."""
    return value if isinstance(value, list) else [value]


class FeatureExtractor(nn.Module, ABC):
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to feature maps.

    `stage` is a name, and the result a map `(N, C, h, w)`; or a list of names, and the result a list of maps from a
    single pass. `block9+block12` concatenates the maps of stages along the channels; their strides must be equal.
    `stride` is the number of pixels per cell, in the form of `stage`.

    Args:
        stage: names, as above.
        known: names of the network's single stages.
        network: name of the network in messages.

    Attributes:
        stage: the argument.
        stages: the argument as a list.
        parts: names of the single stages, without repetitions.
        stride: pixels per cell; a list if `stage` is a list.
        multiple: divisor of the sides of an image; benchmarks pad to it, and cut the result.
        positions: interpolation of a position embedding, set by a protocol; other networks ignore it.
        final_norm: apply a transformer's final norm to its maps, set by a protocol; other networks ignore it.
        dilated: SiamFC's dilations, of a ResNet.
        described: description of the named network (`Network`); None if the network has no name.

    Raises:
        ValueError: if the network has no such stage.
    """

    stride: int | list[int]
    dilated: Dilated = False
    multiple: int = 1
    positions: PositionRule = "network"
    final_norm: bool = True
    described: Any = None

    def __init__(self, stage: str | list[str], known: Collection[str], network: str) -> None:
        super().__init__()
        self.stage = stage
        self.stages = [stage] if isinstance(stage, str) else stage
        self._parts_of = {name: name.split("+") for name in self.stages}
        self.parts = list(dict.fromkeys(chain.from_iterable(self._parts_of.values())))
        for part in self.parts:
            if part not in known:
                raise ValueError(f"stage {part!r}: {network} has {', '.join(known)}; null is its default")

    def folded(self) -> "FeatureExtractor":
        """Return a copy with BatchNorms folded into convolutions; itself, for a network without them."""
        return self

    @abstractmethod
    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of `parts` from a single pass, by name."""

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return a map, or a list of maps if `stage` is a list.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            given = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be float RGB (N, 3, H, W) in [0, 1], got {given}")
        found = self.maps(images)
        maps = []
        for name in self.stages:
            parts = [found[part] for part in self._parts_of[name]]
            maps.append(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        return maps[0] if isinstance(self.stage, str) else maps

    def set_strides(self, strides: Mapping[str, int]) -> None:
        """Set `stride` from the strides of `parts`.

        Raises:
            ValueError: if a stage combines parts of different strides.
        """
        of_stages = []
        for name in self.stages:
            of_parts = {strides[part] for part in self._parts_of[name]}
            if len(of_parts) > 1:
                raise ValueError(f"stage {name!r}: its parts have strides {sorted(of_parts)}; name a list of them")
            of_stages.append(of_parts.pop())
        self.stride = of_stages[0] if isinstance(self.stage, str) else of_stages


class RawColour(FeatureExtractor):
    """Baseline without training: the feature of a cell is its mean colour.

    A trained encoder should propagate labels better than this.

    Args:
        stage: `colour`, the only stage.
        stride: pixels per cell.

    Raises:
        ValueError: for another stage.
    """

    def __init__(self, stage: str | list[str] = "colour", stride: int | None = None) -> None:
        super().__init__(stage, ["colour"], "raw colour")
        self.cell = stride or 8
        self.set_strides({"colour": self.cell})
        self.normalise = Normalise()

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the mean colours of cells; cells at the right and lower border may be cut."""
        images = self.normalise(images)
        return {"colour": nn.functional.avg_pool2d(images, self.cell, ceil_mode=True, count_include_pad=False)}


class MapExtractor(FeatureExtractor):
    """A view of a user's network that outputs a map, or of the stages of a network of timm.

    A user's module maps float RGB `(N, 3, H, W)` in [0, 1] to `(N, C, h, w)` and has a single stage, `features`. Its
    stride is that of a map of a blank image whose sides differ, or its attribute `stride`. A
    network of timm has `features`, its last map before the pooling (`forward_features`), and the stages of its
    `feature_info` as `stage1 … stageN` (ConvNeXt, Swin, EfficientNet, …).

    Args:
        network: the module. It is not copied and may be changed: pass a copy (`shared_copy`) to keep yours.
        stage: a name or several names; None is `features`.
        stride: None, or the stride of the stage.
        normalise: applied to RGB first, for a network of timm; None for a user's module.

    Raises:
        ValueError: if a stage does not exist or its stride differs, the network's output is not a map of at least 4 × 4
            cells, or the network takes images of a single size only.
    """

    def __init__(
        self,
        network: nn.Module,
        stage: str | list[str] | None = None,
        stride: int | None = None,
        normalise: nn.Module | None = None,
    ) -> None:
        kind = type(network).__name__
        known = [OUTPUT]
        if normalise is not None:
            known += [f"stage{number}" for number in range(1, _stages_of_timm(network) + 1)]
        super().__init__(stage or OUTPUT, known, kind)
        self.network: Any = network
        self.normalise = normalise
        self.eval()
        strides = {}
        for name, output in self._probed(kind).items():
            named = kind if self.normalise is None else f"{kind}, {name}"
            strides[name] = measured_stride(output, named, stated_stride(network))
            if stride not in (None, strides[name]):
                raise ValueError(f"{kind}: the stride of {name} is {strides[name]}, not {stride}; leave stride out")
        self.set_strides(strides)
        self.multiple = getattr(network, "multiple", 1)
        if normalise is not None:
            self.multiple = max(strides.values())  # some drop a last incomplete cell

    def _probed(self, kind: str) -> dict[str, Any]:
        """Return the outputs for a blank image by name.

        Raises:
            ValueError: if a user's module fails, or a network of timm takes images of a single size only.
        """
        try:
            with on_trial(self):
                return self.maps(blank(self, PROBE))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # any type, because the code is the user's or a library's
            if self.normalise is None:
                told = f"fails on a blank image {(1, 3, *PROBE)}: {type(error).__name__}: {reason(error)}"
                raise ValueError(f"{kind}: {told}; mend its forward, {OWN_EXTRACTOR}") from error
            if not self._takes_its_own_size():
                raise
            raise ValueError(f"{kind}: {reason(error)}; videos need a network for images of any size") from error

    def _takes_its_own_size(self) -> bool:
        """Return whether the network takes an image of the size that timm states; if not, another error occurred."""
        try:
            with on_trial(self):
                self.maps(blank(self, self.network.pretrained_cfg["input_size"][1:]))
        except Exception:  # any error, for example when the device is out of memory
            return False
        return True

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of `parts` by name."""
        if self.normalise is None:
            return {OUTPUT: self.network(images.to(type_of_input(self.network)))}
        images = self.normalise(images)
        wanted = sorted(int(name.removeprefix("stage")) - 1 for name in self.parts if name != OUTPUT)
        found: dict[str, Tensor] = {}
        if wanted:
            maps = self.network.forward_intermediates(
                images, indices=wanted, stop_early=True, output_fmt="NCHW", intermediates_only=True
            )
            for index, features in zip(wanted, maps, strict=True):
                found[f"stage{index + 1}"] = features
        if OUTPUT in self.parts and hasattr(self.network, "num_prefix_tokens"):  # NaFlexViT returns tokens
            found[OUTPUT] = self.network.forward_intermediates(
                images, indices=1, norm=self.final_norm, output_fmt="NCHW", intermediates_only=True
            )[0]
        elif OUTPUT in self.parts:
            last = self.network.forward_features(images)
            if str(getattr(self.network, "output_fmt", "")).endswith("NHWC") and last.ndim == 4:
                last = last.permute(0, 3, 1, 2)
            found[OUTPUT] = last
        return found


def _stages_of_timm(network: Any) -> int:
    """Return the number of stages that timm describes."""
    if not hasattr(network, "forward_intermediates"):
        return 0
    return len(getattr(network, "feature_info", None) or ())


def type_of_input(network: nn.Module) -> torch.dtype:
    """Return the type in which a network takes images: that of its weights, float32 if it normalises them as ours do.

    Our own networks convert images after the normalisation, which keeps all digits of RGB.
    """
    if isinstance(network, FeatureExtractor) or any(isinstance(part, Normalise) for part in network.modules()):
        return torch.float32
    for weights in network.parameters():
        if weights.is_floating_point():
            return weights.dtype
    return torch.float32


def features_by(network: nn.Module, images: Tensor, look: Callable[[Tensor], Any] | None = None) -> Any:
    """Return the output of a network for images, without gradients, in the type of the network's weights.

    Tensors that the network keeps, for example a table of positions, stay of use in training: they are no inference
    tensors.

    Args:
        network: an extractor, or an encoder of crops.
        images: float RGB `(N, 3, H, W)` in [0, 1].
        look: the method of the network to call; None calls the network.
    """
    with torch.inference_mode(False), torch.no_grad():
        images = images.to(type_of_input(network))
        if images.is_inference():
            images = images.clone()
        return (look or network)(images)


def stated_stride(network: object) -> int | None:
    """Return a network's attribute `stride`, pixels per cell; None if it is missing or no integer (a convolution's)."""
    stride = getattr(network, "stride", None)
    return stride if isinstance(stride, int) else None


def blank(network: nn.Module, size: Sequence[int]) -> Tensor:
    """Return a blank image `(1, 3, H, W)` on the device of a network."""
    return torch.zeros(1, 3, *size, device=device_of(network))
