"""The encoding of a video by a network under a protocol: feature maps, sizes, passes over the frames, seconds."""

import math
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..backbones.copies import device_of
from ..backbones.extractor import View, features_by
from ..backbones.outputs import require_map, require_stride
from ..backbones.video import settled_stride
from ..description import PROTOCOL, Input
from ..functional.device import PendingCopy, computing_in, fastest_precision, to_device
from ..functional.propagation.coding import InputSizes, Size, fit_input, input_sizes
from ..protocols.network_input import NetworkInput, NetworkView
from .stopwatch import Stopwatch

PIXELS_AT_ONCE = 8 * 480 * 854
"""Pixels in a pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16

P = TypeVar("P", bound=NetworkView)


def adapt_to_network(protocol: P, extractor: View) -> P:
    """Return the protocol with the fields that the network sets; the protocol's name shows the changes.

    The network sets the stride; the precision, if it is "auto", by its device; and the normalisation if nobody
    states its input: it then takes RGB in [0, 1], and mean and deviation of the protocol do not apply. Fields that the
    network ignores get their default again, so that their changes disappear from the name.

    Raises:
        ValueError: if the protocol's name changes the stride to another one.

    Warns:
        For each change that moves no number.
    """
    stride = settled_stride(extractor)
    if stride is not None:
        protocol = protocol.brought_by_features(feature_stride=stride)
    ignored = {*extractor.ignores, "features"} & protocol.changes.keys()
    if protocol.features == f"{extractor.stage}/{extractor.stride}":  # a stage that text or benchmark names counts more
        ignored.discard("features")
    effective = protocol.effective_values()
    conditions = protocol.idle() | dict.fromkeys(sorted(ignored), "the network reads it")
    for field, condition in conditions.items():
        if field in ignored or getattr(protocol, field) != effective[field]:
            warnings.warn(f"the change of {field} moves no number: it counts only if {condition}", stacklevel=2)
    protocol = protocol.reset(ignored)
    if protocol.backbone_precision == "auto":
        fastest, _ = fastest_precision(device_of(extractor).type)
        precision = "bfloat16" if fastest == "bfloat16" else "float32"  # never float16, whose numbers overflow
        protocol = protocol.with_changes(backbone_precision=precision)
    if input_is_stated(extractor):
        return protocol
    return protocol.with_changes(rgb_mean=None, rgb_std=None)


def input_is_stated(extractor: View) -> bool:
    """Return whether mean and deviation of an extractor's input are known; a video encoder normalises by itself."""
    return extractor.in_order or (extractor.normalises and bool(extractor.input.source))


def adapted(extractor: Any, protocol: Any) -> Any:
    """Return an extractor with a protocol's RGB normalisation, positions and final norm; the given one does not change.

    No protocol changes a video encoder, nor the input of an extractor whose input nobody states.
    """
    if extractor.in_order or not isinstance(protocol, NetworkView):
        return extractor
    values: dict[str, Any] = {"positions": protocol.position_embedding, "final_norm": protocol.final_norm}
    mean = protocol.rgb_mean
    std = protocol.rgb_std
    if input_is_stated(extractor) and (mean is not None or std is not None):
        own = extractor.input
        values["input"] = Input(mean=mean or own.mean, std=std or own.std, source=f"{PROTOCOL}{protocol.source}")
    return extractor.changed(**values)


class FrameEncoder:
    """A network under a protocol: the features of the frames of any number of videos.

    The first output of an extractor of images is checked: a map with the cells of its stride. The encoder may use a
    copy of the extractor with folded BatchNorms, so make a new one after further training.

    Args:
        extractor: an extractor, whose BatchNorms are folded if possible; or a video encoder, such as `Clips`: a call of
            `encode` is then a whole video.
        protocol: the protocol; it gets the fields that the network sets. None: frames enter the network as they are.

    Raises:
        TypeError: for a network in place of its extractor.

    Attributes:
        watch: counts the seconds by kind of work.
        network: the module that the user gave, or that was made by its name: the extractor is a view of it.
        device: device of the extractor.
        input: the RGB that the network gets.
        constant: True once the first frame of a video had equal features in all cells, so that its scores are chance.
        multiple: sides of the network's input are padded to a multiple of it.
        in_order: True if a video must be encoded in order from its first frame.
        grid: (height, width) in cells of the last map; 0 before the first.
        least_side: cells along the shorter side of the smallest map so far; infinite before the first.
    """

    def __init__(self, extractor: Any, protocol: Any = None) -> None:
        if not isinstance(extractor, View):
            raise TypeError(f"{type(extractor).__name__} is no extractor: give build_feature_extractor(network)")
        self.extractor: Any = extractor
        reference = extractor.user_module
        self.network: Any = extractor if reference is None else reference.module
        self.protocol: Any = protocol
        if isinstance(protocol, NetworkView):
            self.protocol = adapt_to_network(protocol, extractor)
        self.watch = Stopwatch()
        seen = adapted(extractor, self.protocol)
        self.input = seen.input
        self.device = device_of(extractor)
        self.constant = False
        self.multiple = extractor.multiple
        self.in_order = extractor.in_order
        self._rules: Any = self.protocol
        if not isinstance(self.protocol, NetworkInput):  # frames are given as the network takes them
            precision: Any = getattr(self.protocol, "backbone_precision", "float32")
            self._rules = NetworkInput(name="prepared", backbone_precision=precision)
        self._folded: Any = seen.folded()
        self._is_checked = False
        self.grid: Size = (0, 0)
        self.least_side = math.inf

    def input_sizes(self, size: Size) -> InputSizes:
        """Return the sizes of a frame of (H, W) pixels on its way into the network."""
        return input_sizes(size, self._rules, self.multiple)

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
            self.least_side = min(self.least_side, *self.grid)
            if t == 0 and not may_be_constant and not self.constant and is_constant(features):
                self.constant = True
                warnings.warn("all cells of the first frame have the same features: scores are chance", stacklevel=2)
            yield features

    def _encode_in_passes(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features of an encoder of images."""
        remaining = iter(frames)
        kind = self.extractor.network_name
        for first in remaining:
            count = self.frames_at_once((first.shape[1], first.shape[2]))
            batch = [first, *islice(remaining, count - 1)]
            stacked = torch.stack(batch) if len(batch) > 1 else first[None]  # one frame is not copied
            with self.watch("backbone", self.device), computing_in(self._rules.backbone_precision, self.device):
                images = fit_input(stacked, self._rules, self.multiple, self.device)
                output = features_by(self._folded, images)
                if not self._is_checked:
                    features = require_map(output, kind)
                    require_stride(features, kind, self.extractor.stride, (images.shape[2], images.shape[3]))
                    self._is_checked = True
                output = output.float()
            yield from output

    def frames_at_once(self, size: Size) -> int:
        """Return the number of frames of size (H, W) in a pass: several on a GPU, 1 on a CPU.

        On a CPU a second frame in a pass only costs cache, and delays the results of the first.
        """
        if self.device.type != "cuda":
            return 1
        height, width = self.input_sizes(size).seen
        return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))

    def _encode_video(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features of a video encoder; it reads a window of frames ahead."""
        encoder = self._folded
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
            kind = encoder.network_name
            batch = output[None] if isinstance(output, Tensor) else output
            features = require_map(batch, kind)[0]
            stride = encoder.stride
            expected = getattr(self.protocol, "feature_stride", stride)
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
