"""Liir's encoder: a ResNet-18 of stride 4 with a position map."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..description import Input, Network
from ..functional.colour import normalised_lab
from ..functional.device import to_device
from ..functional.position import resized_position, sinusoidal_position
from .extractor import Dilated
from .resnet import LAYER_OF_STAGE, convolutions_of
from .views import NetworkView

Position = Literal["1dape", "2dape", "2dspe", "none"]
AFFINITY = "affinity"
Modulation = Callable[[Tensor], Tensor]
"""Function from a position map `(C, h, w)` to displaced maps, one per frame, `(N, C, h, w)`."""


class PositionMap(nn.Module):
    """The map P that is added to the features of the first layer; learned maps start at zero.

    Paper: Liir, section 3.2.

    Args:
        kind: "1dape": a free parameter per cell and channel; "2dape": a learned embedding of the column in the first
            half of the channels and of the row in the second; "2dspe": the same with fixed sines; "none": zero.
        channels: number of channels of the map.
        size: height and width of a learned map in cells; the map is interpolated (bicubic) to other sizes.

    Example:
        >>> PositionMap("1dape", 64, 16)((8, 8)).shape, PositionMap("none")((8, 8))
        (torch.Size([64, 8, 8]), None)
    """

    def __init__(self, kind: Position, channels: int = 64, size: int = 128) -> None:
        super().__init__()
        self.kind = kind
        self.channels = channels
        if kind == "1dape":
            self.places = nn.Parameter(torch.zeros(channels, size, size))
        elif kind == "2dape":
            self.columns = nn.Parameter(torch.zeros(channels // 2, size))
            self.rows = nn.Parameter(torch.zeros(channels // 2, size))

    def forward(self, size: tuple[int, int]) -> Tensor | None:
        """Return the map at a size (h, w): `(C, h, w)`, or None for the kind "none"."""
        if self.kind == "none":
            return None
        if self.kind == "2dspe":
            return sinusoidal_position(self.channels, *size)
        if self.kind == "1dape":
            return resized_position(self.places, size)
        # "2dape": half of the channels depend on the column alone, the others on the row
        side = self.rows.shape[1]
        columns = self.columns[:, None].expand(-1, side, -1)
        rows = self.rows[:, :, None].expand(-1, -1, side)
        return resized_position(torch.cat([columns, rows]), size)


class LiirEncoder(nn.Module):
    """ResNet-18 without max-pooling, of stride 4, with a position map and a 3×3 convolution to the affinity's features.

    A 7×7 Conv-BN-ReLU at stride 2; the position map, added to its output; stages of 64, 128 (stride 2), 256 and 256
    channels; `affinity_dim` channels for the affinity. Residual blocks start at zero.
    Paper: Liir, section 3.3, following MAST (Lai et al., CVPR 2020).

    Args:
        position: kind of the position map: "1dape", "2dape" (learned), "2dspe" (sines) or "none".
        position_size: height and width of a learned map in cells; 128 for frames of 256 px.
        affinity_dim: channels of the compared features: 64 in the public code, 256 in the paper (section 3.3).
        stages: 4; 3 leaves out the last stage.

    Attributes:
        made_with: arguments of the constructor.

    Example:
        >>> LiirEncoder(position_size=16)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 64, 16, 16])
    """

    described = Network(name="LiirEncoder", spec="vidcorr.backbones:LiirEncoder")
    stages_of_call: ClassVar[dict[str, str]] = {AFFINITY: ""}

    def __init__(
        self, position: Position = "1dape", position_size: int = 128, affinity_dim: int = 64, stages: Literal[3, 4] = 4
    ) -> None:
        super().__init__()
        # kept so that a checkpoint can name them
        self.made_with: dict[str, Any] = {"position": position, "position_size": position_size}
        self.made_with |= {"affinity_dim": affinity_dim, "stages": stages}
        self.position = PositionMap(position, 64, position_size)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, stride=1)
        self.layer2 = _stage(64, 128, stride=2)
        self.layer3 = _stage(128, 256, stride=1)
        self.layer4 = _stage(256, 256, stride=1) if stages == 4 else nn.Sequential()
        self.affinity = nn.Conv2d(256, affinity_dim, 3, padding=1)
        for convolution in convolutions_of(self):
            if convolution is not self.affinity:  # keeps torch's start: it is no layer of the ResNet
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def stem(self, lab: Tensor, modulate: Modulation | None = None) -> Tensor:
        """Return the maps `(N, 64, H/2, W/2)` of the first layer, with the position map added.

        Args:
            lab: normalised Lab `(N, 3, H, W)`, the result of `functional.colour.normalised_lab`.
            modulate: displaces the position map frame by frame; None: all frames get the same map.
        """
        lab = lab.to(self.affinity.weight.dtype).contiguous(memory_format=torch.channels_last)
        x = self.bn1(self.conv1(lab)).relu_()
        position = self.position((x.shape[2], x.shape[3]))
        if position is None:
            return x
        position = to_device(position, x.device).to(x.dtype)
        return x + (position if modulate is None else modulate(position))

    def forward(self, lab: Tensor, modulate: Modulation | None = None) -> Tensor:
        """Encode normalised Lab as features for dot products, `(N, affinity_dim, H/4, W/4)`.

        Args: as `stem`.
        """
        x = self.stem(lab, modulate)
        for layer in LAYER_OF_STAGE.values():
            x = self.get_submodule(layer)(x)
        return self.affinity(x)

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Any:
        """Return a view of RGB; its stages are `affinity`, the default, and those of a ResNet."""
        return LiirView(self, stage, stride, dilated)


class LiirView(NetworkView):
    """A view of Liir's encoder, which turns RGB in [0, 1] to normalised Lab; sides are padded to multiples of 4."""

    input = Input(source="which Liir converts to Lab")
    normalises = False
    multiple = 4

    def _call(self, images: Tensor) -> Any:
        return self.network(normalised_lab(images))


def _stage(channels: int, width: int, stride: int) -> nn.Sequential:
    """Return a stage of two basic blocks of torchvision, whose residual branches start at zero."""
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride != 1 or channels != width:
        shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    blocks = BasicBlock(channels, width, stride, shortcut), BasicBlock(width, width)
    for block in blocks:
        nn.init.zeros_(block.bn2.weight)
    return nn.Sequential(*blocks)
