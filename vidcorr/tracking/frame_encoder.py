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
from ..backbones.outputs import require_map, require_stride, settled_stride
from ..description import PROTOCOL, Input
from ..functional.device import PendingCopy, computing_in, fastest_precision, to_device
from ..functional.propagation.coding import InputSizes, Size, fit_input, input_sizes
from ..protocols.network_input import NetworkInput
from .stopwatch import Stopwatch

PIXELS_AT_ONCE = 8 * 480 * 854
"""Most pixels in a pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16

P = TypeVar("P", bound=NetworkInput)


def adapt_to_network(protocol: P, extractor: View) -> P:
    """Return the protocol with the fields that the network sets; the protocol's name shows the changes.

    The network sets the stride. Its device sets the precision, if it is "auto". If nobody states the network's input,
    the network takes RGB in [0, 1], and the protocol's mean and deviation do not apply. Changes of fields that the
    network ignores are taken back, with a warning, as for other changes that move no number.

    Raises:
        ValueError: if the protocol's name changes the stride to another one than the extractor's.

    Example:
        >>> from vidcorr import PropagationProtocol, build_feature_extractor
        >>> adapt_to_network(PropagationProtocol.named("vfs"), build_feature_extractor("raw_colour", stride=4)).name
        'vfs+feature_stride=4'
        >>> plain = build_feature_extractor(torch.nn.AvgPool2d(16))  # a module that states no input
        >>> adapt_to_network(PropagationProtocol.named("dino"), plain).name
        'dino+feature_stride=16+rgb_mean=none+rgb_std=none'
        >>> from vidcorr.backbones import Recurrent
        >>> video_encoder = Recurrent(lambda frame, state: (frame[:, ::8, ::8], state))
        >>> adapt_to_network(PropagationProtocol.named("vidcorr"), video_encoder).name
        'vidcorr+feature_stride=8'
        >>> automatic = PropagationProtocol.named("vfs+backbone_precision=auto")
        >>> adapt_to_network(automatic, plain).backbone_precision == fastest_precision("cpu")[0]
        True
    """
    stride = settled_stride(extractor)
    if stride is not None:
        protocol = protocol.brought_by_features(feature_stride=stride)
    # changed fields that the view ignores. `features` is "STAGE/STRIDE"; it is ignored if the view has others, from the
    # network's text or a benchmark, which count more than the protocol's
    ignored = {*extractor.ignores, "features"} & protocol.changes.keys()
    if protocol.features == f"{extractor.stage}/{extractor.stride}":
        ignored.discard("features")
    # an idle field, which other fields switch off, has the source's value here: if the field's own value differs from
    # it, the user changed it
    effective = protocol.effective_values()
    # field, idle or ignored → the condition under which its change would count
    conditions = protocol.idle() | dict.fromkeys(sorted(ignored), "the network reads it")
    for field, condition in conditions.items():
        if field in ignored or getattr(protocol, field) != effective[field]:
            warnings.warn(f"the change of {field} moves no number: it counts only if {condition}", stacklevel=2)
    protocol = protocol.reset(ignored)
    if protocol.backbone_precision == "auto":
        fastest, _ = fastest_precision(device_of(extractor).type)
        # never float16, whose numbers overflow
        precision = "bfloat16" if fastest == "bfloat16" else "float32"
        protocol = protocol.with_changes(backbone_precision=precision)
    if input_is_known(extractor):
        return protocol
    return protocol.with_changes(rgb_mean=None, rgb_std=None)


def input_is_known(extractor: View) -> bool:
    """Return whether the RGB that an extractor gets is known; True for a video encoder, which normalises by itself.

    Example:
        >>> from torch import nn
        >>> from vidcorr.backbones import Recurrent, build_feature_extractor
        >>> plain = build_feature_extractor(nn.AvgPool2d(16))  # a module that states no input
        >>> input_is_known(plain), input_is_known(plain.changed(input=Input(source="stated by the caller")))
        (False, True)
        >>> input_is_known(Recurrent(lambda frame, state: (frame, state)))
        True
    """
    return extractor.in_order or (extractor.normalises and bool(extractor.input.source))


def adapted(extractor: Any, protocol: Any) -> Any:
    """Return a copy of an image extractor with the RGB normalisation, positions and final norm of a protocol."""
    if extractor.in_order or not isinstance(protocol, NetworkInput):
        return extractor
    values: dict[str, Any] = {"positions": protocol.position_embedding, "final_norm": protocol.final_norm}
    mean = protocol.rgb_mean
    std = protocol.rgb_std
    if input_is_known(extractor) and (mean is not None or std is not None):
        own = extractor.input
        # what the protocol leaves open stays as the network defines it; `source`: a text on who defines the input
        values["input"] = Input(mean=mean or own.mean, std=std or own.std, source=f"{PROTOCOL}{protocol.source}")
    return extractor.changed(**values)


class FrameEncoder:
    """A network under a protocol: it computes the features of the frames of any number of videos.

    The first output of an extractor of images is checked: it must be a map of as many cells as its stride says. The
    encoder may use a copy of the extractor with folded BatchNorms, so make a new encoder after further training.

    Args:
        extractor: an extractor of images; or a video encoder, such as `Clips`, whose `encode` is called once per video.
        protocol: the protocol; the attribute `protocol` has the fields that the network sets. None: frames enter the
            network at their own size.

    Attributes:
        watch: counts the seconds by kind of work.
        network: the module that the user gave, or that was made by a name: the extractor is a view of this module.
        device: device of the extractor.
        input: the RGB that the network gets.
        constant: True once the first frame of a video had equal features in all cells, so that its scores are chance.
        multiple: divisor to which the sides of the network's input are padded.
        in_order: True if a video must be encoded in order from its first frame.
        grid: (height, width) in cells of the last map; 0 before the first.
        least_side: cells along the shorter side of the smallest map so far; infinite before the first.

    Example:
        >>> from vidcorr import build_feature_extractor
        >>> white = torch.full((3, 32, 64), 255, dtype=torch.uint8)
        >>> encoder = FrameEncoder(build_feature_extractor(torch.nn.AvgPool2d(8)))
        >>> (features,) = encoder.maps([white], may_be_constant=True)
        >>> features.shape, features.unique()  # the network sees white as 1
        (torch.Size([3, 4, 8]), tensor([1.]))
    """

    def __init__(self, extractor: Any, protocol: Any = None) -> None:
        if not isinstance(extractor, View):
            raise TypeError(f"{type(extractor).__name__} is no extractor: give build_feature_extractor(network)")
        self.extractor: Any = extractor
        # `network`: the user's own module, if the extractor is a view of one, else the extractor; a user's rule reads
        # its learnt numbers there
        (self.network,) = extractor.user_module or (extractor,)
        self.protocol: Any = protocol
        if isinstance(protocol, NetworkInput):
            self.protocol = adapt_to_network(protocol, extractor)
        self.watch = Stopwatch()
        view = adapted(extractor, self.protocol)
        self.input = view.input
        self.device = device_of(extractor)
        self.constant = False
        self.multiple = extractor.multiple
        self.in_order = extractor.in_order
        self._rules: Any = self.protocol
        # a protocol without rules for the input, or None: frames are given as the network takes them
        if not isinstance(self.protocol, NetworkInput):
            precision: Any = getattr(self.protocol, "backbone_precision", "float32")
            self._rules = NetworkInput(name="prepared", backbone_precision=precision)
        # BatchNorms are part of the convolutions before them
        self._folded: Any = view.folded()
        self._is_checked = False
        self.grid: Size = (0, 0)
        self.least_side = math.inf

    def input_sizes(self, size: Size) -> InputSizes:
        return input_sizes(size, self._rules, self.multiple)

    def maps(self, frames: Iterable[Tensor], may_be_constant: bool = False) -> Iterator[Tensor]:
        """Yield the features `(C, h, w)` float32 of a video's frames, uint8 RGB `(3, H, W)`, in order.

        On a GPU, frames are read ahead, since a pass encodes several. A first frame with equal features in all cells
        gives a warning, once per encoder.
        """
        encode = self._encode_video if self.in_order else self._encode_in_passes
        for t, features in enumerate(encode(frames)):  # (C, h, w)
            self.grid = (features.shape[1], features.shape[2])
            self.least_side = min(self.least_side, *self.grid)
            if t == 0 and not may_be_constant and not self.constant and is_constant(features):
                self.constant = True
                warnings.warn("all cells of the first frame have the same features: scores are chance", stacklevel=2)
            yield features

    def _encode_in_passes(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features `(C, h, w)` of frames by an encoder of images."""
        remaining = iter(frames)
        network_name = self.extractor.network_name
        for first in remaining:
            count = self.frames_at_once((first.shape[1], first.shape[2]))
            batch = [first, *islice(remaining, count - 1)]
            # one frame is not copied
            stacked = torch.stack(batch) if len(batch) > 1 else first[None]
            with self.watch("backbone", self.device), computing_in(self._rules.backbone_precision, self.device):
                images = fit_input(stacked, self._rules, self.multiple, self.device)
                output = features_by(self._folded, images)
                if not self._is_checked:
                    features = require_map(output, network_name)
                    require_stride(features, network_name, self.extractor.stride, (images.shape[2], images.shape[3]))
                    self._is_checked = True
                output = output.float()
            yield from output

    def frames_at_once(self, size: Size) -> int:
        """Return the number of frames of size (H, W) in a pass: several on a GPU, 1 on a CPU.

        On a CPU a second frame would only fill the cache and delay the result of the first.

        Example:
            >>> from vidcorr import build_feature_extractor
            >>> encoder = FrameEncoder(build_feature_extractor(torch.nn.AvgPool2d(8)))
            >>> encoder.frames_at_once((64, 64))
            1
            >>> encoder.device = torch.device("cuda")
            >>> sizes = [(480, 854), (8, 204_960), (8, 204_961), (64, 64), (4000, 4000)]
            >>> [encoder.frames_at_once(size) for size in sizes]
            [8, 2, 1, 16, 1]
        """
        if self.device.type != "cuda":
            return 1
        height, width = self.input_sizes(size).seen
        return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))

    def _encode_video(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features `(C, h, w)` of frames by a video encoder, which may read a window of frames ahead."""
        encoder = self._folded
        network_name = encoder.network_name
        remaining = iter(frames)
        read = 0

        def prepared_frames() -> Iterator[Tensor]:
            nonlocal read
            for frame in remaining:
                read += 1
                yield fit_input(frame[None], self._rules, self.multiple, self.device)[0]

        encoded = iter(encoder.encode(prepared_frames()))
        yielded = 0
        while True:
            with (
                self.watch("backbone", self.device),
                computing_in(self._rules.backbone_precision, self.device),
                # training could not use inference tensors that the network keeps
                torch.inference_mode(False),
                torch.no_grad(),
            ):
                output = next(encoded, None)
            # no map, and no frame left
            if output is None and yielded == read and next(remaining, None) is None:
                return
            # a frame without a map, or a map without a frame
            if output is None or yielded == read:
                amount = "fewer" if output is None else "more"
                raise ValueError(f"{network_name}: encode must yield a map for each frame, and gave {amount}")
            yielded += 1
            batch = output[None] if isinstance(output, Tensor) else output
            features = require_map(batch, network_name)[0]
            # some encoders set it with their first map
            stride = encoder.stride
            # a protocol without the field takes any stride
            expected = getattr(self.protocol, "feature_stride", stride)
            if stride not in (None, expected):
                raise ValueError(
                    f"{network_name}: its maps have {stride} px per cell, protocol {self.protocol.name!r} "
                    f"{expected}; set changes to {{feature_stride: {stride}}}"
                )
            yield to_device(features.float(), self.device)


def is_constant(features: Tensor) -> bool:
    """Return whether all cells of a map `(C, h, w)` have equal features; False for a map of a single cell.

    Example:
        >>> is_constant(torch.ones(3, 4, 4)), is_constant(torch.ones(3, 1, 1))
        (True, False)
    """
    cells = features.flatten(1)
    if cells.shape[1] < 2:
        return False
    all_equal = (cells == cells[:, :1]).all()
    # the one number that is copied from a GPU
    return bool(PendingCopy(all_equal).wait())
