"""Feature extractors, the view of a network that benchmarks use: images in, feature maps out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
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


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation, channel by channel; the constants stay out of checkpoints.

    Args:
        mean: of the channels of RGB in [0, 1].
        std: of the channels of RGB in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` in [0, 1] → the same shape, normalised, in the constants' type, channels last in memory."""
        normalised = (images - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)


class FeatureExtractor(nn.Module, ABC):
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to feature maps.

    `stage` is a name, and the result one map `(N, C, h, w)`; or a list of names, and the result a list of maps from
    one pass. `stride` is the number of pixels from one cell to the next, in the same form.

    Attributes:
        stage: what was asked for.
        stride: pixels per cell; a list where `stage` is one.
        multiple: the sides of an image should be a multiple of this; benchmarks pad to it, and cut what they padded.
    """

    stride: int | list[int]
    multiple: int = 1

    def __init__(self, stage: str | list[str]) -> None:
        super().__init__()
        self.stage = stage

    @property
    def stages(self) -> list[str]:
        """The stages as a list, also where one name was asked for."""
        return [self.stage] if isinstance(self.stage, str) else self.stage

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """One map per stage, in the order asked for."""

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return the feature map of images, as the class describes it."""
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
    """The baseline that has learned nothing: the mean colour of each cell as its feature.

    A trained encoder that propagates labels no better than this has learned nothing of use for it.

    Args:
        stage: only named in results.
        stride: pixels per cell.
    """

    def __init__(self, stage: str | list[str] = "colour", stride: int | None = None) -> None:
        super().__init__(stage)
        self.cell = stride or 8
        self.stride = self._in_form_of_stage([self.cell] * len(self.stages))
        self.normalise = Normalise()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature map of images; cells at the right and lower border may be cut."""
        cells = nn.functional.avg_pool2d(self.normalise(images), self.cell, ceil_mode=True, count_include_pad=False)
        return [cells] * len(self.stages)
