"""Networks that are neither a ResNet nor a plain transformer: staged networks of timm, and a user's own module."""

from typing import Any

import torch
from torch import Tensor, nn

from .extractor import FeatureExtractor, check_map
from .networks import describe_output

PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""

OUTPUT = "features"
"""Stage name of a network's own last map."""


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
        super().__init__(stage or OUTPUT)
        self.network: Any = network
        self.normalise = normalise
        self.eval()
        kind = type(network).__name__
        known = [OUTPUT, *(f"stage{number}" for number in range(1, self._staged() + 1))]
        if unknown := [name for name in self.stages if name not in known]:
            raise ValueError(f"stage {unknown[0]!r}: {kind} has {', '.join(known)}")
        parameter = next(network.parameters(), torch.zeros(()))
        strides = []
        for name, output in zip(self.stages, self._probe(parameter.device), strict=True):
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise ValueError(
                    f"{kind}: expected a feature map (N, C, h, w), got {describe_output(output)} of a "
                    f"{PROBE[0]} x {PROBE[1]} image; take a network of timm (timm:NAME), or a "
                    "package.module:callable that makes one without its pooling"
                )
            check_map(output, PROBE, f"{kind}, {name}")
            found = {round(side / cells) for side, cells in zip(PROBE, output.shape[2:], strict=True)}
            if len(found) > 1:
                cells = " x ".join(map(str, output.shape[2:]))
                raise ValueError(
                    f"{kind}: the map of {name} has {cells} cells for a {PROBE[0]} x {PROBE[1]} image, two strides; "
                    "pad its convolutions"
                )
            if stride not in (None, *found):
                raise ValueError(f"{kind}: the stride of {name} is {max(found)}, {stride} was asked for")
            strides.append(found.pop())
        self.stride = self._in_form_of_stage(strides)
        self.multiple = max(strides) if normalise is not None else 1  # some of timm's drop a last incomplete cell

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return one map per stage, in the order asked for."""
        if self.normalise is None:
            own = self.network(images.to(next(self.network.parameters(), images).dtype))
            return [own] * len(self.stages)
        images = self.normalise(images)
        wanted = sorted({int(name.removeprefix("stage")) - 1 for name in self.stages if name != OUTPUT})
        found: dict[str, Tensor] = {}
        if wanted:
            maps = self.network.forward_intermediates(
                images, indices=wanted, stop_early=True, output_fmt="NCHW", intermediates_only=True
            )
            found = {f"stage{number + 1}": one for number, one in zip(wanted, maps, strict=True)}
        if OUTPUT in self.stages:
            last = self.network.forward_features(images)
            channels_last = str(getattr(self.network, "output_fmt", "")).endswith("NHWC")
            found[OUTPUT] = last.permute(0, 3, 1, 2) if channels_last and last.ndim == 4 else last
        return [found[name] for name in self.stages]

    def _staged(self) -> int:
        """Return the number of stages that timm describes."""
        if self.normalise is None or not hasattr(self.network, "forward_intermediates"):
            return 0
        info = getattr(self.network, "feature_info", None)
        return len(getattr(info, "info", info) or ())

    def _probe(self, device: torch.device) -> list[Tensor]:
        try:
            with torch.inference_mode():
                return self.maps(torch.zeros(1, 3, *PROBE, device=device))
        except (AssertionError, RuntimeError) as error:
            if self.normalise is None:
                raise
            raise ValueError(
                f"{type(self.network).__name__}: takes images of one size only; videos need a network of any size "
                f"({' '.join(str(error).split())[:120]})"
            ) from error
