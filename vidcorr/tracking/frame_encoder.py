"""The encoding of a video by a network under a protocol: feature maps, sizes, passes over the frames, seconds."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from ..backbones import Input, view
from ..backbones.copies import device_of, shared_copy
from ..backbones.description import PROTOCOL
from ..backbones.extractor import (
    FeatureExtractor,
    MapExtractor,
    Normalise,
    features_by,
    has_part,
    input_of,
    require_map,
    require_stride,
    set_rgb,
    stated_stride,
)
from ..backbones.video import VideoEncoder, stride_of
from ..functional.device import PendingCopy, computing_in, fastest_precision, to_device
from ..functional.propagation.coding import Size, covered_size, fit_input, input_sizes
from ..protocols.base import READ_BY_NETWORK
from ..protocols.network_input import NetworkInput, NetworkView
from .stopwatch import Stopwatch

PIXELS_AT_ONCE = 8 * 480 * 854
"""Pixels in a pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16

P = TypeVar("P", bound=NetworkView)


def adapt_to_network(protocol: P, extractor: nn.Module) -> P:
    """Return the protocol with the fields that the network sets; the protocol's name shows the changes.

    The network sets the stride; the precision, if it is "auto", by its device; and the normalisation if it has no
    `Normalise` module: it then takes RGB in [0, 1], and mean and deviation of the protocol do not apply. Changes that
    the network ignores disappear from the name.

    Raises:
        ValueError: if the protocol's name changes the stride to another one.
    """
    stride = stride_of(extractor)
    if stride is not None:
        protocol = protocol.brought_by_features(feature_stride=stride)
    protocol = protocol.reset(ignored_by(extractor, protocol))
    if protocol.backbone_precision == "auto":
        fastest, _ = fastest_precision(device_of(extractor).type)
        precision = "bfloat16" if fastest == "bfloat16" else "float32"  # never float16, whose numbers overflow
        protocol = protocol.with_changes(backbone_precision=precision)
    if normalises(extractor):
        return protocol
    return protocol.with_changes(rgb_mean=None, rgb_std=None)


def ignored_by(extractor: nn.Module, protocol: NetworkView) -> list[str]:
    """Return the fields of a protocol that move no number of an extractor: it is no transformer, or has a stage."""
    parts: list[FeatureExtractor] = []
    if not isinstance(extractor, VideoEncoder):  # no protocol changes a video encoder
        parts = [part for part in extractor.modules() if acts_on(part)]
    ignored: list[str] = []
    for field in protocol.annotated(READ_BY_NETWORK):
        if field == "features":  # a stage that text or benchmark names counts more
            is_read = protocol.features == f"{getattr(extractor, 'stage', None)}/{getattr(extractor, 'stride', None)}"
        else:
            is_read = any(field not in part.ignores for part in parts)
        if not is_read:
            ignored.append(field)
    return ignored


def acts_on(part: nn.Module) -> TypeGuard[FeatureExtractor]:
    """Return whether a protocol's view of transformers is set on a part of an extractor."""
    return isinstance(part, FeatureExtractor) and not isinstance(part, MapExtractor)


def normalises(extractor: nn.Module) -> bool:
    """Return whether an extractor declares its normalisation of RGB; a video encoder does so by its arguments."""
    return isinstance(extractor, VideoEncoder) or has_part(extractor, Normalise)


def input_rules(protocol: Any) -> NetworkInput:
    """Return the rules by which a frame enters the network; a protocol without them gets frames that are prepared."""
    if isinstance(protocol, NetworkInput):
        return protocol
    if not isinstance(protocol, NetworkView):
        return NetworkInput(name="prepared")
    fields = {name: getattr(protocol, name) for name in NetworkView.value_fields()}
    return NetworkInput(name="prepared", **fields)


def input_under(protocol: Any, extractor: nn.Module) -> Input:
    """Return the input of an extractor, with the mean and deviation of a protocol that states them.

    No protocol changes the input of a video encoder.
    """
    own = input_of(extractor)
    if isinstance(extractor, VideoEncoder):
        return own
    mean = getattr(protocol, "rgb_mean", None)
    std = getattr(protocol, "rgb_std", None)
    if mean is None and std is None:
        return own
    return Input(mean=mean or own.mean, std=std or own.std, source=f"{PROTOCOL}{protocol.source}")


class FrameEncoder:
    """A network under a protocol: the features of the frames of any number of videos.

    The first output of an extractor of images is checked: a map with the cells of its stride. The encoder may use a
    copy of the extractor with folded BatchNorms, so make a new one after further training.

    Args:
        extractor: a network, as `load` takes it, or its extractor, whose BatchNorms are folded if possible. Or a video
            encoder, such as `Clips`: a call of `encode` is then a whole video.
        protocol: the protocol; it gets the fields that the network sets. None if nothing is tracked.

    Attributes:
        watch: counts the seconds by kind of work.
        device: device of the extractor.
        input: the RGB that the network gets.
        constant: True once the first frame of a video had equal features in all cells, so that its scores are chance.
        multiple: sides of the network's input are padded to a multiple of it.
        in_order: True if a video must be encoded in order from its first frame.
        grid: (height, width) in cells of the last map; 0 before the first.
    """

    def __init__(self, extractor: Any, protocol: Any = None) -> None:
        extractor = view(extractor, features=getattr(protocol, "features", None))
        self.extractor: Any = extractor
        self.protocol: Any = protocol
        if isinstance(protocol, NetworkView):
            self.protocol = adapt_to_network(protocol, extractor)
        self.watch = Stopwatch()
        self.input = input_under(self.protocol, extractor)
        self.device = device_of(extractor)
        self.constant = False
        self.multiple: int = getattr(extractor, "multiple", 1)
        self.in_order = isinstance(extractor, VideoEncoder)
        self._rules = input_rules(self.protocol)
        self._network: Any = extractor if self.in_order else extractor_under(extractor, self._rules)
        self._is_checked = False
        self.grid: Size = (0, 0)

    @property
    def network(self) -> Any:
        """The module that the user gave, or that was made by its name: an extractor is a view of it."""
        given = getattr(self.extractor, "given", None)
        return self.extractor if given is None else given.module

    def features(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the map `(C, h, w)` of each frame on the extractor's device, without rules of a protocol.

        Args:
            frames: uint8 RGB `(3, H, W)`; the extractor sees it as float in [0, 1].
        """
        for frame in frames:
            image = to_device(frame, self.device).float() / 255
            yield features_by(self.extractor, image[None])[0]

    def covered(self, size: Size) -> Size:
        """Return the size that the map of a frame of size (H, W) covers, padding included, in pixels of the frame."""
        return covered_size(size, self._rules, self.multiple)

    def maps(self, frames: Iterable[Tensor], may_be_constant: bool = False) -> Iterator[Tensor]:
        """Yield the features `(C, h, w)` float32 of a video's frames, in order.

        Args:
            frames: uint8 RGB `(3, H, W)`, of equal size; a GPU encodes several in a pass, so they are read ahead.
            may_be_constant: accept equal features in all cells without a warning.

        Warns:
            Once, if the first frame of a video has equal features in all cells.
        """
        encode = self._encode_video if self.in_order else self._encode_in_passes
        for t, features in enumerate(encode(frames)):
            self.grid = (features.shape[1], features.shape[2])
            if t == 0 and not may_be_constant and not self.constant and is_constant(features):
                self.constant = True
                warnings.warn("all cells of the first frame have the same features: scores are chance", stacklevel=2)
            yield features

    def _encode_in_passes(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features of an encoder of images."""
        remaining = iter(frames)
        kind = getattr(self.extractor, "kind", type(self.extractor).__name__)
        for first in remaining:
            count = self.frames_at_once((first.shape[1], first.shape[2]))
            batch = [first, *islice(remaining, count - 1)]
            stacked = torch.stack(batch) if len(batch) > 1 else first[None]  # one frame is not copied
            with self.watch("backbone", self.device), computing_in(self._rules.backbone_precision, self.device):
                images = fit_input(stacked, self._rules, self.multiple, self.device)
                output = features_by(self._network, images)
                if not self._is_checked:
                    features = require_map(output, kind)
                    require_stride(features, kind, self.protocol.feature_stride, (images.shape[2], images.shape[3]))
                    self._is_checked = True
                output = output.float()
            yield from output

    def frames_at_once(self, size: Size) -> int:
        """Return the number of frames of size (H, W) in a pass: several on a GPU, 1 on a CPU.

        On a CPU a second frame in a pass only costs cache, and delays the results of the first.
        """
        if self.device.type != "cuda":
            return 1
        (height, width), _ = input_sizes(size, self._rules, self.multiple)
        return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))

    def _encode_video(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features of a video encoder; it reads a window of frames ahead."""
        encoder = self._network
        images = (fit_input(frame[None], self._rules, self.multiple, self.device)[0] for frame in frames)
        encoded = iter(encoder.encode(images))
        while True:
            with (
                self.watch("backbone", self.device),
                computing_in(self._rules.backbone_precision, self.device),
                torch.inference_mode(False),  # tensors that the network keeps stay of use in training
                torch.no_grad(),
            ):
                output = next(encoded, None)
            if output is None:
                return
            kind = getattr(encoder, "kind", type(encoder).__name__)
            batch = output[None] if isinstance(output, Tensor) else output
            features = require_map(batch, kind)[0]
            stride = stated_stride(encoder)
            expected = self.protocol.feature_stride
            if stride not in (None, expected):
                raise ValueError(
                    f"{kind}: its maps have {stride} px per cell, protocol {self.protocol.name!r} "
                    f"{expected}; set changes to {{feature_stride: {stride}}}"
                )
            yield to_device(features.float(), self.device)


def is_constant(features: Tensor) -> bool:
    """Return whether all cells of a map `(C, h, w)`, at least two, have equal features."""
    cells = features.flatten(1)
    if cells.shape[1] < 2:
        return False
    all_equal = (cells == cells[:, :1]).all()
    return bool(PendingCopy(all_equal).wait())


def extractor_under(extractor: nn.Module, protocol: NetworkInput) -> nn.Module:
    """Return the extractor with the protocol's RGB normalisation and with folded BatchNorms.

    The given extractor stays unchanged. With folded BatchNorms the result copies the weights, otherwise it shares them.

    Args:
        extractor: float RGB `(N, 3, H, W)` in [0, 1] → a map `(N, C, h, w)`.
        protocol: its `rgb_mean` and `rgb_std` replace the constants of every `Normalise` of the extractor; an extractor
            without `Normalise` gets RGB in [0, 1]. `position_embedding` and `final_norm` act on transformers, also
            inside a user's module.
    """
    adapted: Any = extractor
    changes_view = protocol.position_embedding != "network" or not protocol.final_norm
    changes_rgb = protocol.rgb_mean is not None or protocol.rgb_std is not None
    has_parts = any(acts_on(part) or isinstance(part, Normalise) for part in extractor.modules())
    if has_parts and (changes_view or changes_rgb):  # else the extractor itself, without a copy
        adapted = shared_copy(extractor)
        set_rgb(adapted, protocol.rgb_mean, protocol.rgb_std)
        for part in filter(acts_on, adapted.modules()):
            part.positions = protocol.position_embedding
            part.final_norm = protocol.final_norm
    folded: nn.Module = adapted.folded() if hasattr(adapted, "folded") else adapted
    return folded
