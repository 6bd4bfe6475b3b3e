"""The extractor interface of benchmarks: images in, feature maps out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as DINO's code does it."""
MIN_CELLS = 4
"""Cells along each side of a frame's map; less is a pooled feature, not a map."""
Dilated = bool | Literal["released"]
"""SiamFC's dilations in place of the strides of res4 and res5, see `ResNetExtractor`."""

UNDILATED = "for other networks set dilated to false and stage to null or one of theirs"


def refuse_options(network: str, options: Mapping[str, Any]) -> None:
    """Refuse options of `feature_extractor` that a network does not have; those set to False or None do not count.

    Raises:
        ValueError: one line that names the network and the options.
    """
    if given := [name for name, value in options.items() if value]:
        raise ValueError(
            f"{network}: has no option {', '.join(given)}; SiamFC's dilations are for ResNets; {UNDILATED}"
        )


def check_map(features: Tensor, frame: Sequence[int], name: str) -> None:
    """Refuse a map that is too coarse to distinguish positions in a frame.

    Args:
        features: `(…, h, w)`.
        frame: height and width of the frame in pixels.
        name: name of the network, for the message.

    Raises:
        ValueError: if the map has fewer than 4 × 4 cells.
    """
    height, width = features.shape[-2:]
    if min(height, width) < MIN_CELLS:
        raise ValueError(
            f"{name}: its map of a frame of {frame[0]} x {frame[1]} px has {height} x {width} cells, too few to "
            f"distinguish positions ({MIN_CELLS} x {MIN_CELLS} at least): take an earlier stage or a smaller stride"
        )


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
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to feature maps.

    `stage` is a name, and the result one map `(N, C, h, w)`; or a list of names, and the result a list of maps from
    one pass. `stride` is the number of pixels from one cell to the next, in the same form.

    Attributes:
        stage: as it was asked for.
        stride: pixels per cell; a list where `stage` is one.
        multiple: divisor that the sides of an image should have; benchmarks pad to it, and cut what they padded.
        positions: interpolation of a position embedding, for a protocol to choose; without effect on networks that
            have none.
    """

    stride: int | list[int]
    multiple: int = 1
    positions: PositionRule = "network"

    def __init__(self, stage: str | list[str]) -> None:
        super().__init__()
        self.stage = stage

    @property
    def stages(self) -> list[str]:
        """Names of the stages as a list, also where one name was asked for."""
        return [self.stage] if isinstance(self.stage, str) else self.stage

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return one map per stage, in the order asked for."""

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return one map, or a list of maps where `stage` is a list.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "feature extractor: expected float RGB (N, 3, H, W) in [0, 1], "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        maps = self.maps(images)
        return maps[0] if isinstance(self.stage, str) else maps

    def _in_form_of_stage(self, strides: list[int]) -> int | list[int]:
        return strides[0] if isinstance(self.stage, str) else strides


class RawColour(FeatureExtractor):
    """Baseline without training: the mean colour of each cell as its feature.

    A trained encoder that propagates labels no better than this has learned nothing of use for it.

    Args:
        stage: `colour`, its only one.
        stride: pixels per cell.

    Raises:
        ValueError: for another stage.
    """

    def __init__(self, stage: str | list[str] = "colour", stride: int | None = None) -> None:
        super().__init__(stage)
        if unknown := [name for name in self.stages if name != "colour"]:
            raise ValueError(f"stage {unknown[0]!r}: raw colour has one stage, colour; set stage to null")
        self.cell = stride or 8
        self.stride = self._in_form_of_stage([self.cell] * len(self.stages))
        self.normalise = Normalise()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the mean colours of cells; those at the right and lower border may be cut."""
        cells = nn.functional.avg_pool2d(self.normalise(images), self.cell, ceil_mode=True, count_include_pad=False)
        return [cells] * len(self.stages)


class WrappedExtractor(FeatureExtractor):
    """Base of extractors that change the maps of another one, whose padding and position rule they keep.

    Args:
        inner: the other extractor.
        stage: see `FeatureExtractor`.
    """

    def __init__(self, inner: FeatureExtractor, stage: str | list[str]) -> None:
        super().__init__(stage)
        self.inner = inner
        self.multiple = inner.multiple

    def inner_maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the other extractor, under the position rule of this one."""
        self.inner.positions = self.positions
        return self.inner.maps(images)


class CombinedExtractor(WrappedExtractor):
    """Several stages of one pass as one map: concatenated along the channels, or averaged.

    A stage `block9+block12` concatenates, `mean:block9+block12` averages; their maps must have one size.

    Args:
        inner: extractor of all stages that are combined, `stage` a list.
        stage: combinations, one or several; a plain name stays as it is.

    Raises:
        ValueError: if the stages that are to be combined have different strides.
    """

    def __init__(self, inner: FeatureExtractor, stage: str | list[str]) -> None:
        super().__init__(inner, stage)
        each = dict(zip(inner.stages, inner.stride, strict=True))  # type: ignore[arg-type]
        strides = []
        for name in self.stages:
            own = {each[part] for part in parts_of(name)}
            if len(own) > 1:
                raise ValueError(f"stage {name!r}: its parts have different strides, {sorted(own)}")
            strides.append(own.pop())
        self.stride = self._in_form_of_stage(strides)
        self.eval()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return one map per combination, in the order asked for."""
        found = dict(zip(self.inner.stages, self.inner_maps(images), strict=True))
        return [_combined(name, [found[part] for part in parts_of(name)]) for name in self.stages]


def parts_of(stage: str) -> list[str]:
    """Return the names that a combination is made of.

    Example:
        >>> parts_of("mean:block9+block12")
        ['block9', 'block12']
    """
    return stage.removeprefix("mean:").split("+")


def _combined(stage: str, maps: list[Tensor]) -> Tensor:
    if not stage.startswith("mean:"):
        return torch.cat(maps, dim=1) if len(maps) > 1 else maps[0]
    if len({one.shape[1] for one in maps}) > 1:
        raise ValueError(f"stage {stage!r}: maps of {[one.shape[1] for one in maps]} channels have no mean")
    return torch.stack(maps).mean(dim=0)
