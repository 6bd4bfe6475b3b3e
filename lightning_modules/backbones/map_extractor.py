"""Networks that are neither a ResNet nor a plain transformer: timm's staged ones, a user's own module or head."""

from typing import Any

import torch
from torch import Tensor, nn

from .extractor import FeatureExtractor, check_map
from .networks import LIBRARIES, describe_output, imported, shared_copy

PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""

OUTPUT = "features"
"""Stage name of a network's own last map."""


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
                return self.maps(_blank(self))
        except (AssertionError, IndexError, RuntimeError) as error:
            if self.normalise is None:
                raise
            raise ValueError(
                f"{type(self.network).__name__}: takes images of one size only; videos need a network of any size "
                f"({' '.join(str(error).split())[:120]})"
            ) from error


def _staged(network: Any) -> int:
    """Return the number of stages that timm describes."""
    info = getattr(network, "feature_info", None) if hasattr(network, "forward_intermediates") else None
    return len(getattr(info, "info", info) or ())


def _blank(network: nn.Module) -> Tensor:
    return torch.zeros(1, 3, *PROBE, device=next(network.parameters(), torch.zeros(())).device)


def build_head(spec: str) -> nn.Module:
    """Build a head over features.

    Args:
        spec: `package.module:callable`, called without arguments. It gives a module that maps features `(N, C, h, w)`
            and the images they are of, float RGB `(N, 3, H, W)` in [0, 1], to features `(N, C', h', w')`.

    Raises:
        ValueError: if it cannot be imported or gives no module.
    """
    module, separator, name = spec.partition(":")
    if not separator or module in LIBRARIES:
        raise ValueError(f"head {spec!r}: write package.module:callable")
    return imported(module, name)


class HeadExtractor(FeatureExtractor):
    """A view of an encoder with a head over each of its maps; it shares the weights of both.

    Args:
        inner: the view of the encoder.
        head: result of `build_head`.

    Raises:
        ValueError: if the head's output is not a map of at least 4 × 4 cells with one stride in both directions.
    """

    def __init__(self, inner: FeatureExtractor, head: nn.Module) -> None:
        super().__init__(inner.stage, inner.parts, "the encoder")
        self.inner, self.multiple = inner, inner.multiple
        self.head = shared_copy(head)
        self.eval()
        with torch.inference_mode():
            outputs = self(_blank(self))
        outputs = [outputs] if isinstance(self.stage, str) else outputs
        each = [measured_stride(output, f"head {type(head).__name__}") for output in outputs]
        self.stride = each[0] if isinstance(self.stage, str) else each

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the encoder's maps, under the position rule of this view."""
        self.inner.positions = self.positions
        return self.inner.maps(images)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return the head's map of each stage, in the form of `stage`."""
        maps = super().forward(images)
        return self.head(maps, images) if isinstance(maps, Tensor) else [self.head(one, images) for one in maps]
