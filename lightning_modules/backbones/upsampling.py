"""Upsamplers of feature maps: interpolation, or a user's callable that the frame may guide."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ..checkpoints.trust import INTERPOLATION, LIBRARIES, allow, import_named
from .extractor import PROBE, FeatureExtractor, blank, check_map, describe_output
from .normalise import Normalise
from .placement import shared_copy


class Upsampler(nn.Module):
    """A function as an upsampler.

    Args:
        function: maps a frame and its features to features, see `build_upsampler`.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, frame: Tensor, features: Tensor) -> Tensor:
        """Call the function."""
        return self.function(frame, features)


def build_upsampler(spec: str) -> nn.Module:
    """Build an upsampler of features.

    Args:
        spec: `bilinear:FACTOR`, `nearest:FACTOR`, or `package.module:callable`. The callable takes a frame
            `(1, 3, H, W)` as the network saw it, resized, padded and normalised, and its features `(1, C, h, w)`, and
            returns features `(1, C', k h, k w)`. It may be a function, a module, or a class or function without
            arguments that makes a module. The weights of a module are stored in checkpoints of a `FrozenEncoder`.

    Returns:
        A module of a frame and its features.

    Raises:
        ValueError: for another form of spec, or if it cannot be imported.
    """
    if match := re.fullmatch(INTERPOLATION, spec):
        return Upsampler(partial(_interpolated, mode=match[1], factor=int(match[2])))
    module, separator, name = spec.partition(":")
    if not separator or module in (*LIBRARIES, "bilinear", "nearest"):
        raise ValueError(f"upsample {spec!r}: write bilinear:2, nearest:2 or package.module:callable")
    try:
        found: Any = import_named(module, name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"upsample {spec}: cannot import it ({error}); run from the folder that holds it, or set PYTHONPATH"
        ) from error
    if not isinstance(found, nn.Module) and callable(found) and not _needs_arguments(found):
        found = found()
    if not callable(found) or isinstance(found, type):
        raise ValueError(f"upsample {spec}: expected a callable of a frame and its features, got {found!r:.80}")
    allow(spec)  # the user's call has named and run it; a file that names it has passed the gate
    return found if isinstance(found, nn.Module) else Upsampler(found)


def _interpolated(frame: Tensor, features: Tensor, mode: str, factor: int) -> Tensor:
    """Upsample features `(N, C, h, w)` by torch, between the centres of cells; the frame is not used."""
    return interpolate(features, scale_factor=factor, mode=mode)


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a built-in function without a signature
        return True
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(parameter.default is parameter.empty and parameter.kind in fixed for parameter in parameters)


class UpsampledExtractor(FeatureExtractor):
    """A view of an encoder with upsampled maps; it shares the weights of encoder and upsampler.

    Args:
        inner: the view of the encoder.
        upsampler: result of `build_upsampler`.

    Raises:
        ValueError: if the upsampler does not return a multiple of the grid, or the multiple does not divide the stride.
    """

    def __init__(self, inner: FeatureExtractor, upsampler: nn.Module) -> None:
        super().__init__(inner.stage, inner.parts, "the encoder")
        self.parts = self.stages  # the encoder's view has combined them
        self._parts_of = {name: [name] for name in self.stages}
        self.inner, self.multiple = inner, inner.multiple
        self.upsampler = shared_copy(upsampler)
        self.eval()
        strides = [inner.stride] if isinstance(inner.stride, int) else inner.stride
        with torch.inference_mode():
            self.maps(blank(self, PROBE))
        self.set_strides({name: self._fine(name, stride) for name, stride in zip(self.stages, strides, strict=True)})

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the upsampled maps of the stages, under the position rule of this view."""
        self.inner.positions = self.positions
        coarse = self.inner(images)
        frame = self._as_the_network_sees(images)
        maps = {}
        self._factors: dict[str, int] = {}
        for name, features in zip(self.stages, [coarse] if isinstance(coarse, Tensor) else coarse, strict=True):
            pairs = zip(frame.split(1), features.split(1), strict=True)
            fine = [self.upsampler(*pair) for pair in pairs]
            self._factors[name] = _factor(fine[0], features)
            maps[name] = torch.cat(fine)
            check_map(maps[name], images.shape[2:], "the upsampler")
        return maps

    def _as_the_network_sees(self, images: Tensor) -> Tensor:
        """Return images normalised, if the encoder normalises, and padded to whole cells."""
        normalise = next((module for module in self.inner.modules() if isinstance(module, Normalise)), None)
        images = images if normalise is None else normalise(images)
        return pad(images, (0, -images.shape[3] % self.multiple, 0, -images.shape[2] % self.multiple))

    def folded(self) -> "UpsampledExtractor":
        """Return a view over the encoder's folded view, if it has a folded view, see `ResNetExtractor.folded`."""
        inner: Any = self.inner
        if not hasattr(inner, "folded"):
            return self
        view = shared_copy(self)
        view.inner = inner.folded()
        return view

    def _fine(self, name: str, stride: int) -> int:
        factor = self._factors[name]
        if stride % factor:
            allowed = ", ".join(str(divisor) for divisor in range(1, stride + 1) if stride % divisor == 0)
            raise ValueError(
                f"upsampling {factor} times: cells of {stride} px would not have whole pixels; take a factor of "
                f"{allowed}"
            )
        return stride // factor


def _factor(fine: object, coarse: Tensor) -> int:
    """Return the upsampling factor of a map along each axis.

    Raises:
        ValueError: if it is no map, or not a multiple of the grid.
    """
    if not isinstance(fine, Tensor) or fine.ndim != 4:
        raise ValueError(f"the upsampler must return features (1, C, h, w), got {describe_output(fine)}")
    (height, width), (h, w) = fine.shape[2:], coarse.shape[2:]
    factor = height // h
    if factor < 1 or (height, width) != (factor * h, factor * w):
        raise ValueError(f"the upsampler must return a multiple of the grid of {h} x {w} cells, got {height} x {width}")
    return factor


class UpsampledEncoder(nn.Module):
    """An encoder with upsampled views.

    Args:
        encoder: result of `build_encoder`.
        upsampler: result of `build_upsampler`.
        spec: name of the upsampler, for descriptions.
    """

    def __init__(self, encoder: nn.Module, upsampler: nn.Module, spec: str) -> None:
        super().__init__()
        self.encoder, self.upsampler, self.upsampling = encoder, upsampler, spec

    def feature_extractor(self, stage: str | list[str] | None = None, stride: int | None = None, **options: Any) -> Any:
        """Return an upsampled view of the encoder; `stride` is the stride before the upsampling."""
        encoder: Any = self.encoder
        return upsampled_view(encoder.feature_extractor(stage, stride, **options), self.upsampler)


def upsampled_view(view: nn.Module, upsampler: nn.Module) -> UpsampledExtractor:
    """Return an upsampled view of a view of an encoder.

    Raises:
        ValueError: for a video encoder, or a view with a head (SiamFC).
    """
    if not isinstance(view, FeatureExtractor):
        raise ValueError(f"{type(view).__name__}: its maps cannot be upsampled; leave the upsampling out")
    return UpsampledExtractor(view, upsampler)
