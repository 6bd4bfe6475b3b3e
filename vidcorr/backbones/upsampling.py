"""Upsamplers of feature maps: interpolation, or a user's callable that the frame may guide."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ..functional.device import shared_copy
from .eval_mode import on_trial
from .extractor import FeatureExtractor, Normalise, as_list, blank
from .outputs import PROBE, describe_output
from .trust import INTERPOLATIONS, LIBRARIES, allow, import_named

Upsample = Callable[[Tensor, Tensor], Tensor]
"""A frame `(1, 3, H, W)` and its features `(1, C, h, w)` → features `(1, C', k h, k w)`; a function or a module."""


def build_upsampler(spec: str) -> Upsample:
    """Build an upsampler of features.

    Args:
        spec: `bilinear:FACTOR`, `nearest:FACTOR`, or `package.module:callable`. The callable takes a frame
            `(1, 3, H, W)` as the network saw it, resized, padded and normalised, and its features `(1, C, h, w)`, and
            returns features `(1, C', k h, k w)`. It may be a function, a module, or the class of a module without
            arguments. The weights of a module are stored in checkpoints of a `FrozenEncoder`.

    Returns:
        A function or module of a frame and its features.

    Raises:
        ValueError: for another form of spec, or if it cannot be imported.
    """
    module, separator, name = spec.partition(":")
    if module in INTERPOLATIONS and re.fullmatch("[1-9][0-9]?", name):
        return partial(_interpolated, mode=module, factor=int(name))
    if not separator or module in (*LIBRARIES, *INTERPOLATIONS):
        raise ValueError(f"upsample {spec!r}: write bilinear:2, nearest:2 or package.module:callable")
    found: Any = import_named(module, name, f"upsample {spec}")
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = found()
    if not callable(found) or isinstance(found, type):
        raise ValueError(f"upsample {spec}: expected a callable of a frame and its features, got {found!r:.80}")
    allow(spec)  # the user's call has named and run it; a file that names it has passed the gate
    upsample: Upsample = found
    return upsample


def _interpolated(frame: Tensor, features: Tensor, mode: str, factor: int) -> Tensor:
    """Upsample features `(N, C, h, w)` by torch, between the centres of cells; the frame is not used."""
    return interpolate(features, scale_factor=factor, mode=mode)


class UpsampledExtractor(FeatureExtractor):
    """A view of an encoder with upsampled maps; it shares the weights of encoder and upsampler.

    Args:
        inner: the view of the encoder.
        upsampler: result of `build_upsampler`.

    Raises:
        ValueError: for a video encoder or a view with a head (SiamFC); if the upsampler does not return a multiple of
            the grid, or the multiple does not divide the stride.
    """

    def __init__(self, inner: nn.Module, upsampler: Upsample) -> None:
        if not isinstance(inner, FeatureExtractor):
            raise ValueError(f"{type(inner).__name__}: its maps cannot be upsampled; leave the upsampling out")
        super().__init__(inner.stage, inner.parts, "the encoder")
        self.parts = self.stages  # the encoder's view has combined them
        self._parts_of = {name: [name] for name in self.stages}
        self.inner = inner
        self.multiple = inner.multiple
        self.upsampler = shared_copy(upsampler) if isinstance(upsampler, nn.Module) else upsampler
        self._factors: dict[str, int] = {}  # stage → factor, known once an image was probed
        self.eval()
        with on_trial(self):
            self.maps(blank(self, PROBE))
        coarse = dict(zip(self.stages, as_list(inner.stride), strict=True))
        for name, factor in self._factors.items():
            if coarse[name] % factor:
                raise ValueError(f"upsampling {factor} times: {factor} does not divide cells of {coarse[name]} px")
        self.set_strides({name: stride // self._factors[name] for name, stride in coarse.items()})

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the upsampled maps of the stages, under the position rule of this view."""
        frame = self._as_the_network_sees(images)
        maps = {}
        for name, coarse in zip(self.stages, self._coarse(images), strict=True):
            fine = [self.upsampler(*pair) for pair in zip(frame.split(1), coarse.split(1), strict=True)]
            if not isinstance(fine[0], Tensor) or fine[0].ndim != 4:
                raise ValueError(f"upsampler: expected a map (1, C, h, w), got {describe_output(fine[0])}")
            maps[name] = torch.cat(fine)
            height, width = coarse.shape[2:]
            factor = self._factors.setdefault(name, max(maps[name].shape[2] // height, 1))
            if maps[name].shape[2:] != (factor * height, factor * width):
                times = f"{factor} times" if factor > 1 else "a multiple of"
                raise ValueError(f"upsampler: expected {times} {height} x {width} cells, got {tuple(fine[0].shape)}")
        return maps

    def _coarse(self, images: Tensor) -> list[Tensor]:
        """Return the encoder's maps of the stages."""
        self.inner.positions = self.positions
        self.inner.final_norm = self.final_norm
        return as_list(self.inner(images))

    def _as_the_network_sees(self, images: Tensor) -> Tensor:
        """Return images normalised, if the encoder normalises, and padded to whole cells."""
        for module in self.inner.modules():
            if isinstance(module, Normalise):
                images = module(images)
                break
        height, width = images.shape[2:]
        return pad(images, (0, -width % self.multiple, 0, -height % self.multiple))

    def folded(self) -> "UpsampledExtractor":
        """Return a view with the encoder's BatchNorms folded into its convolutions."""
        view = shared_copy(self)
        view.inner = self.inner.folded()
        return view


class UpsampledEncoder(nn.Module):
    """An encoder with upsampled views.

    Args:
        encoder: result of `build_encoder`.
        upsampler: result of `build_upsampler`.
        spec: name of the upsampler, for descriptions.
    """

    def __init__(self, encoder: nn.Module, upsampler: Upsample, spec: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.upsampler = upsampler
        self.upsampling = spec

    def feature_extractor(self, stage: str | list[str] | None = None, stride: int | None = None, **options: Any) -> Any:
        """Return an upsampled view of the encoder; `stride` is the stride before the upsampling."""
        encoder: Any = self.encoder
        return UpsampledExtractor(encoder.feature_extractor(stage, stride, **options), self.upsampler)
