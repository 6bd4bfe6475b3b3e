"""The encoding of a video by a network under a protocol: its maps, the sizes that it sees, and its pass over frames."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from lightning_modules.backbones.normalise import Normalise
from lightning_modules.backbones.placement import device_of
from lightning_modules.backbones.sharing import shared_copy
from lightning_modules.backbones.video import VideoEncoder
from lightning_modules.functional import PointProtocol, PropagationProtocol
from lightning_modules.functional.device import PendingCopy, to_device
from lightning_modules.functional.propagation.sizing import (
    NetworkInput,
    Size,
    backbone_autocast,
    covered_size,
    fit_input,
    resized_size,
)

from .stopwatch import Stopwatch

Maps = list[Tensor]
"""Features of a frame, `(C, h, w)` float32 for each of the extractor's maps."""

PIXELS_AT_ONCE = 8 * 480 * 854
"""Pixels of the frames of one pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16

LOWER = "set changes to a smaller input_size or to {backbone_precision: bfloat16}, or take a larger stride"
"""Advice for a device that is out of memory while it tracks."""

P = TypeVar("P", PropagationProtocol, PointProtocol)


def maps_of(extractor: nn.Module) -> list[tuple[str, int | None]]:
    """Return the feature maps that an extractor gives, in their order: the name and the stride of each.

    The name is empty for an extractor of one map. A stride is pixels per cell, None for an encoder of video that has
    not encoded yet: the protocol's own.

    Raises:
        ValueError: if it does not name the stride of each.
    """
    stride: Any = getattr(extractor, "stride", None)
    strides = stride if isinstance(stride, list) else [stride]
    unknown_yet = stride is None and isinstance(extractor, VideoEncoder)
    if not unknown_yet and not all(isinstance(item, int) for item in strides):
        raise ValueError(f"tracking needs the stride of each feature map of {type(extractor).__name__}, got {stride}")
    stages: Any = getattr(extractor, "stage", None)
    names = stages if isinstance(stages, list) else [""] * len(strides)
    return list(zip(names, strides, strict=True))


def stride_of(extractor: nn.Module) -> int | None:
    """Return the stride of an extractor that gives one map; None of an encoder of video that has not encoded yet.

    Raises:
        ValueError: if it gives several, or does not name its stride.
    """
    maps = maps_of(extractor)
    if len(maps) > 1:
        raise ValueError(f"tracking needs one map of features, got {len(maps)}; name one stage")
    return maps[0][1]


def at_stride(protocol: P, stride: int | None) -> P:
    """Return the protocol for features of a stride; where that differs from its own stride, its name shows it."""
    return protocol if stride in (None, protocol.feature_stride) else protocol.with_changes(feature_stride=stride)


def for_network(protocol: P, extractor: nn.Module, stride: int | None) -> P:
    """Return the protocol with what the network brings, which the protocol's name then shows.

    That is the stride of its features; and its normalisation, where the network has no `Normalise` of ours: it takes
    RGB in [0, 1], so the mean and deviation of the protocol cannot be set.
    """
    protocol = at_stride(protocol, stride)
    if normalises(extractor):
        return protocol
    return protocol.with_changes(**{field: None for field in ("rgb_mean", "rgb_std") if hasattr(protocol, field)})


def normalises(extractor: nn.Module) -> bool:
    """Return whether an extractor declares its normalisation of RGB; an encoder of video does so by its arguments."""
    return isinstance(extractor, VideoEncoder) or bool(normalisations(extractor))


def normalisations(extractor: nn.Module) -> list[Normalise]:
    """Return the modules of an extractor that normalise RGB, whose constants a protocol may set."""
    return [module for module in extractor.modules() if isinstance(module, Normalise)]


@dataclass(frozen=True)
class View:
    """Sizes of a video as it is and as an extractor sees it.

    Attributes:
        own: (H, W) of the frames, pixels.
        seen: size to which frames are reduced before the protocol's own sizing.
        covered: size that the map covers of a reduced frame, padding included, in pixels of the reduced frame.
        covered_of_own: the same in pixels of the frames as they are.
    """

    own: Size
    seen: Size
    covered: Size
    covered_of_own: Size

    @classmethod
    def of(cls, extractor: nn.Module, size: Size, protocol: NetworkInput, short_side: int | None = None) -> Self:
        """Return the view of an extractor under a protocol.

        Args:
            extractor: see `build_feature_extractor`.
            size: (H, W) of the frames, pixels.
            protocol: gives the sizing; one with an input size reads them at their original size.
            short_side: larger frames are reduced to this, pixels; None leaves them at their own size.

        Raises:
            ValueError: if short_side is below 1.
        """
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, or null for the frames' own size; got {short_side}")
        free = protocol.input_size is None
        factor = min(1.0, short_side / min(size)) if short_side is not None and free else 1.0
        seen = round(size[0] * factor), round(size[1] * factor)
        covered = covered_size(seen, protocol, getattr(extractor, "multiple", 1))
        of_own = round(covered[0] * size[0] / seen[0]), round(covered[1] * size[1] / seen[1])
        return cls(size, seen, covered, of_own)

    def reduce(self, frame: Tensor) -> Tensor:
        """Bring a frame, uint8 `(3, H, W)`, to the size at which it is seen."""
        import cv2

        if self.seen == self.own:
            return frame
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), self.seen[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Bring ids `(H, W)` to the covered size: nearest pixel, background in the padding."""
        if self.seen != self.own:
            ids = F.interpolate(ids[None, None], self.seen, mode="nearest-exact")[0, 0]
        return F.pad(ids, (0, self.covered[1] - self.seen[1], 0, self.covered[0] - self.seen[0]))

    def reduce_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from pixels of the frames to pixels as seen; 0 is the centre of the first pixel."""
        return points if self.seen == self.own else (points + 0.5) * self._factor - 0.5

    def restore_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from pixels as seen to pixels of the frames."""
        return points if self.seen == self.own else (points + 0.5) / to_device(self._factor, points.device) - 0.5

    @property
    def _factor(self) -> Tensor:
        return torch.tensor([self.seen[1] / self.own[1], self.seen[0] / self.own[0]], dtype=torch.float64)


class FrameEncoder:
    """An extractor under a protocol, which gives one list of maps for each frame of a video, in order.

    The trackers see these maps only.

    Args:
        extractor: see `build_feature_extractor`; a folded copy is used where it can fold, see `view_for`. Or an encoder
            of video, such as `Clips`: each call of `encode` is then one video, from its first frame on.
        rules: say what the network sees.
        stopwatch: counts the seconds of "backbone".

    Attributes:
        device: that of the extractor.
        multiple: sides of the network's input are padded to a multiple of it.
        constant: True once the first frame of a video had the same features in all cells.
        in_order: True where the frames of a video must be encoded in their order, from the first one on.
    """

    def __init__(self, extractor: nn.Module, rules: NetworkInput, stopwatch: Stopwatch) -> None:
        self.device = device_of(extractor)
        self.multiple: int = getattr(extractor, "multiple", 1)
        self.in_order = isinstance(extractor, VideoEncoder)
        self._view: Any = extractor if self.in_order else view_for(extractor, rules)
        self._rules, self._watch, self.constant = rules, stopwatch, False
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __call__(self, frames: Sequence[Tensor]) -> list[Maps]:
        """Return the maps of each frame.

        Args:
            frames: uint8 RGB `(3, H, W)`, of one size.
        """
        stacked = torch.stack(list(frames)) if len(frames) > 1 else frames[0][None]
        with self._watch("backbone", self.device), backbone_autocast(self._rules, self.device):
            output = self._view(fit_input(stacked, self._rules, self.multiple, self.device))
            maps = [each.float() for each in ([output] if isinstance(output, Tensor) else output)]
        return [[each[number] for each in maps] for number in range(len(frames))]

    def frames_at_once(self, size: Size) -> int:
        """Return how many frames of size (H, W) a pass takes: several on a GPU, elsewhere one.

        On a CPU a second frame in a pass only costs cache, and results are then there frame by frame.
        """
        height, width = resized_size(size, self._rules, self.multiple)
        wanted = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))
        return wanted if self.device.type == "cuda" else 1

    def encode(self, frames: Iterable[Tensor], at_once: int = 1) -> Iterator[Maps]:
        """Yield the maps of each frame of a video, in order.

        Args:
            frames: uint8 RGB `(3, H, W)`, of one size; read one by one.
            at_once: frames in one pass of the network. With several, the next pass is started before the maps of the
                current one are used, so that a GPU never waits; frames are read that far ahead.

        Warns:
            Once, if the first frame of a video has the same features in all cells.
        """
        for t, maps in enumerate(self._encoded(frames, at_once)):
            if t == 0 and not self.constant and any(map(is_constant, maps)):
                self.constant = True
                warnings.warn("the first frame has the same features in all cells: scores are chance", stacklevel=2)
            yield maps

    def _encoded(self, frames: Iterable[Tensor], at_once: int) -> Iterator[Maps]:
        if self.in_order:
            yield from self._encode_video(frames)
            return
        if at_once == 1:  # nothing to overlap with: give each frame before the next is read
            for frame in frames:
                yield from self([frame])
            return
        frames = iter(frames)
        waiting: Callable[[], list[Maps]] = list  # nothing yet
        while chunk := list(islice(frames, at_once)):
            begun = self._begin(chunk)
            yield from waiting()
            waiting = begun
        yield from waiting()

    def _encode_video(self, frames: Iterable[Tensor]) -> Iterator[Maps]:
        """Yield the maps of an encoder of video, which reads as many frames ahead as its windows are long."""
        encoder = self._view
        images = (fit_input(frame[None], self._rules, self.multiple, self.device)[0] for frame in frames)
        encoded = iter(encoder.encode(images))
        while True:
            with self._watch("backbone", self.device), backbone_autocast(self._rules, self.device):
                output = next(encoded, None)
            if output is None:
                return
            stride, own = getattr(encoder, "stride", None), getattr(self._rules, "feature_stride", None)
            if isinstance(stride, int) and own not in (None, stride):
                raise ValueError(
                    f"{type(encoder).__name__}: its maps have {stride} px per cell, protocol {self._rules.name!r} "
                    f"{own}; set changes to {{feature_stride: {stride}}}"
                )
            maps = [output] if isinstance(output, Tensor) else output
            yield [to_device(each.float(), self.device) for each in maps]

    def _begin(self, frames: Sequence[Tensor]) -> Callable[[], list[Maps]]:
        """Start a pass, on a GPU in parallel with what the current stream does; return what waits for its maps."""
        if self._stream is None:
            encoded = self(frames)
            return lambda: encoded
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result, done = self(frames), torch.cuda.Event()
            done.record(self._stream)

        def hand_over() -> list[Maps]:
            current.wait_event(done)  # the stream waits, the CPU does not
            for maps in result:
                for each in maps:
                    each.record_stream(current)  # its memory is free when that stream has used it
            return result

        return hand_over


def is_constant(features: Tensor) -> bool:
    """Return whether all cells of a map `(C, h, w)`, at least two, have the same features."""
    cells = features.flatten(1)
    return cells.shape[1] > 1 and bool(PendingCopy((cells == cells[:, :1]).all()).wait())


@torch.no_grad()
def frame_features(extractor: nn.Module, frames: Tensor, protocol: NetworkInput) -> tuple[Tensor, Size]:
    """Return the features of frames as a tracker under the protocol takes them, and what their map covers of a frame.

    Args:
        extractor: see `build_feature_extractor`; of several maps the last is taken.
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        protocol: size, padding, normalisation and precision of what the network sees.

    Returns:
        Float32 `(T, C, h, w)` on the extractor's device, and `covered_size` of a frame.
    """
    encoder = FrameEncoder(extractor, protocol, Stopwatch())
    maps = [of_frame[-1] for of_frame in encoder.encode(frames)]
    height, width = frames.shape[-2:]
    return torch.stack(maps), covered_size((height, width), protocol, getattr(extractor, "multiple", 1))


def view_for(extractor: nn.Module, protocol: NetworkInput) -> nn.Module:
    """Return the extractor as a protocol wants it: with the protocol's RGB normalisation, and BatchNorms folded.

    The extractor itself stays as it is. A folded view has its own copy of the weights.

    Args:
        extractor: see `build_feature_extractor`.
        protocol: its `rgb_mean` and `rgb_std` replace those of every `Normalise` of the extractor; an extractor without
            any gets RGB in [0, 1]. The position embedding of a transformer is interpolated by the protocol's rule.
    """
    view: Any = extractor
    if protocol.position_embedding == "dino" and hasattr(extractor, "positions"):  # of a transformer
        view = shared_copy(extractor)
        view.positions = "dino"
    constants = {"mean": protocol.rgb_mean, "std": protocol.rgb_std}
    if wanted := {name: constant for name, constant in constants.items() if constant is not None}:
        view = shared_copy(view)
        for module in normalisations(view):
            for name, constant in wanted.items():
                setattr(module, name, getattr(module, name).new_tensor(constant).view(-1, 1, 1))
    folded: nn.Module = view.folded() if hasattr(view, "folded") else view
    return folded
