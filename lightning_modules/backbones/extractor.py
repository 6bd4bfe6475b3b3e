"""The extractor interface of benchmarks, images in, feature maps out; views of networks that give maps, and heads.

ResNets, plain transformers and Liir's encoder have views of their own.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..checkpoints.trust import reason
from .normalise import Normalise
from .placement import device_of
from .sharing import describe_output

PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as DINO's code does it."""
MIN_CELLS = 4
"""Cells along each side of a frame's map; less is a pooled feature, not a map."""
Dilated = bool | Literal["released"]
"""SiamFC's dilations in place of the strides of res4 and res5, see `ResNetExtractor`."""

PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""
OUTPUT = "features"
"""Stage name of a network's own last map."""
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


class FeatureExtractor(nn.Module, ABC):
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to feature maps.

    `stage` is a name, and the result one map `(N, C, h, w)`; or a list of names, and the result a list of maps from
    one pass. `block9+block12` concatenates the maps of stages along the channels, `mean:block9+block12` averages them;
    their strides must be equal. `stride` is the number of pixels from one cell to the next, in the form of `stage`.

    Args:
        stage: names, as above.
        known: names of the network's single stages.
        network: what the network is called in messages.

    Attributes:
        stage: as it was asked for.
        stages: the same as a list, also where one name was asked for.
        parts: the single stages that are needed, each once.
        stride: pixels per cell; a list where `stage` is one.
        multiple: divisor that the sides of an image should have; benchmarks pad to it, and cut what they padded.
        positions: interpolation of a position embedding, for a protocol to choose; without effect on networks that
            have none.

    Raises:
        ValueError: if the network has no such stage.
    """

    stride: int | list[int]
    multiple: int = 1
    positions: PositionRule = "network"

    def __init__(self, stage: str | list[str], known: Collection[str], network: str) -> None:
        super().__init__()
        self.stage = stage
        self.stages = [stage] if isinstance(stage, str) else stage
        self._parts_of = {name: name.removeprefix("mean:").split("+") for name in self.stages}
        self.parts = list(dict.fromkeys(part for parts in self._parts_of.values() for part in parts))
        if unknown := [part for part in self.parts if part not in known]:
            raise ValueError(f"stage {unknown[0]!r}: {network} has {', '.join(known)}; null is its default")

    @abstractmethod
    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the map of each of `parts`, from one pass."""

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return one map, or a list of maps where `stage` is a list.

        Raises:
            ValueError: if the images are not float RGB of four dimensions, or maps to be averaged differ in channels.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "feature extractor: expected float RGB (N, 3, H, W) in [0, 1], "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        found = self.maps(images)
        maps = []
        for name in self.stages:
            parts = [found[part] for part in self._parts_of[name]]
            if len(parts) == 1:
                maps += parts
            elif not name.startswith("mean:"):
                maps.append(torch.cat(parts, dim=1))
            elif len(channels := {one.shape[1] for one in parts}) == 1:
                maps.append(torch.stack(parts).mean(dim=0))
            else:
                raise ValueError(f"stage {name!r}: maps of {sorted(channels)} channels have no mean")
        return maps[0] if isinstance(self.stage, str) else maps

    def set_strides(self, strides: Mapping[str, int]) -> None:
        """Set `stride` by that of each of `parts`.

        Raises:
            ValueError: if stages that are to be combined have different strides.
        """
        each = []
        for name in self.stages:
            own = {strides[part] for part in self._parts_of[name]}
            if len(own) > 1:
                raise ValueError(f"stage {name!r}: its parts have different strides, {sorted(own)}")
            each.append(own.pop())
        self.stride = each[0] if isinstance(self.stage, str) else each


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
        super().__init__(stage, ["colour"], "raw colour")
        self.cell = stride or 8
        self.set_strides({"colour": self.cell})
        self.normalise = Normalise()

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the mean colours of cells; those at the right and lower border may be cut."""
        images = self.normalise(images)
        return {"colour": nn.functional.avg_pool2d(images, self.cell, ceil_mode=True, count_include_pad=False)}


def measured_stride(output: object, name: str) -> int:
    """Return the pixels per cell of a map of the blank image.

    Raises:
        ValueError: if it is not a map of at least 4 × 4 cells with one stride in both directions.
    """
    frame = f"{PROBE[0]} x {PROBE[1]}"
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise ValueError(
            f"{name}: expected a feature map (N, C, h, w), got {describe_output(output)} of a {frame} image; take a "
            "network of timm (timm:NAME), or a package.module:callable that makes one without its pooling"
        )
    check_map(output, PROBE, name)
    height, width = output.shape[2:]
    strides = {max(round(PROBE[0] / height), 1), max(round(PROBE[1] / width), 1)}
    if len(strides) > 1:
        raise ValueError(f"{name}: {height} x {width} cells for a {frame} image, two strides; pad its convolutions")
    return strides.pop()


class MapExtractor(FeatureExtractor):
    """A view of a network whose output is a map, or of the stages of a network of timm.

    A user's own module maps float RGB `(N, 3, H, W)` in [0, 1] to `(N, C, h, w)` by itself and has one stage,
    `features`. A network of timm has `features` too, its last map before the pooling (`forward_features`), and the
    stages of its `feature_info` as `stage1 … stageN` (ConvNeXt, Swin, EfficientNet, …).

    Args:
        network: the module, taken over by this view.
        stage: one of those names, or several; None is `features`.
        stride: None, or the stage's own.
        normalise: applied to RGB first, for a network of timm; None for a user's own.

    Raises:
        ValueError: if a stage does not exist, its stride differs, the network's output is not a map of at least 4 × 4
            cells, or the network takes images of one size only.
    """

    def __init__(
        self,
        network: nn.Module,
        stage: str | list[str] | None = None,
        stride: int | None = None,
        normalise: nn.Module | None = None,
    ) -> None:
        kind = type(network).__name__
        known = [OUTPUT, *(f"stage{number}" for number in range(1, (_staged(network) if normalise else 0) + 1))]
        super().__init__(stage or OUTPUT, known, kind)
        self.network: Any = network
        self.normalise = normalise
        self.eval()
        strides = {}
        for name, output in self._probe().items():
            strides[name] = own = measured_stride(output, f"{kind}, {name}")
            if stride not in (None, own):
                raise ValueError(f"{kind}: the stride of {name} is {own}, {stride} was asked for")
        self.set_strides(strides)
        self.multiple = max(strides.values()) if normalise is not None else 1  # some drop a last incomplete cell

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the map of each of `parts`."""
        if self.normalise is None:
            return {OUTPUT: self.network(images.to(next(self.network.parameters(), images).dtype))}
        images = self.normalise(images)
        wanted = sorted(int(name.removeprefix("stage")) - 1 for name in self.parts if name != OUTPUT)
        found: dict[str, Tensor] = {}
        if wanted:
            maps = self.network.forward_intermediates(
                images, indices=wanted, stop_early=True, output_fmt="NCHW", intermediates_only=True
            )
            found = {f"stage{number + 1}": one for number, one in zip(wanted, maps, strict=True)}
        if OUTPUT in self.parts and hasattr(self.network, "num_prefix_tokens"):  # NaFlexViT, whose output are tokens
            found[OUTPUT] = self.network.forward_intermediates(
                images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
            )[0]
        elif OUTPUT in self.parts:
            last = self.network.forward_features(images)
            channels_last = str(getattr(self.network, "output_fmt", "")).endswith("NHWC")
            found[OUTPUT] = last.permute(0, 3, 1, 2) if channels_last and last.ndim == 4 else last
        return found

    def _probe(self) -> dict[str, Tensor]:
        try:
            with torch.inference_mode():
                return self.maps(blank(self, PROBE))
        except (AssertionError, IndexError, RuntimeError) as error:
            if self.normalise is None or not self._takes_its_own_size():
                raise
            raise ValueError(
                f"{type(self.network).__name__}: takes images of one size only; videos need a network of any size "
                f"({reason(error)})"
            ) from error

    def _takes_its_own_size(self) -> bool:
        """Return whether the network takes an image of the size that timm states; if not, the size is not at fault."""
        try:
            with torch.inference_mode():
                self.maps(blank(self, self.network.pretrained_cfg["input_size"][1:]))
        except Exception:  # whatever it raises, for example when the device is out of memory
            return False
        return True


def _staged(network: Any) -> int:
    """Return the number of stages that timm describes."""
    info = getattr(network, "feature_info", None) if hasattr(network, "forward_intermediates") else None
    return len(getattr(info, "info", info) or ())


def blank(network: nn.Module, size: Sequence[int]) -> Tensor:
    """Return a blank image `(1, 3, H, W)` on the device of a network."""
    return torch.zeros(1, 3, *size, device=device_of(network))
