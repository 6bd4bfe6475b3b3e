"""The encoding of a video by a network under a protocol: feature maps, sizes, passes over the frames, seconds."""

import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.extractor import FeatureExtractor, Normalise
from ..backbones.video import VideoEncoder
from ..functional import MatchingProtocol, PointProtocol, PropagationProtocol
from ..functional.device import PendingCopy, computing_in, device_of, shared_copy, to_device
from ..functional.propagation.coding import NetworkInput, Size, covered_size, fit_input, input_sizes

T = TypeVar("T")

MARKS = 1000
"""Measured blocks whose times are not yet added up; events of a GPU are read together."""


class Stopwatch:
    """Seconds by kind of work.

    A GPU records events in its queue, and their times are read with the sums: no block waits for the GPU.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[str, str, Any, Any]] = []  # work, the work around it, begin and end
        self._work = ""  # of the current block

    @property
    def seconds(self) -> dict[str, float]:
        """Kind of work → seconds so far; waits until a GPU has reached the last event."""
        for work, outer, first, last in self._marks:
            if isinstance(last, float):
                spent = last - first
            else:  # events of a GPU
                last.synchronize()
                spent = first.elapsed_time(last) / 1000
            self._seconds[work] += spent
            if outer:
                self._seconds[outer] -= spent
        self._marks.clear()
        return self._seconds

    @contextmanager
    def __call__(self, work: str, device: torch.device | None = None) -> Iterator[None]:
        """Count the time of a block on a device, without the time of blocks inside it; None is the CPU."""
        outer, self._work = self._work, work
        try:
            first = _moment(device)
            yield
            self._marks.append((work, outer, first, _moment(device)))
        finally:
            self._work = outer
        if len(self._marks) > MARKS:
            _ = self.seconds

    def timed(self, work: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the time to get them."""
        iterator = iter(items)
        while True:
            with self(work):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def rounded(self) -> dict[str, float]:
        """Return the seconds to two digits, for results."""
        return {work: round(value, 2) for work, value in self.seconds.items()}


def _moment(device: torch.device | None) -> Any:
    """Return the time in seconds; on a GPU an event in its queue."""
    if device is None or device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


Maps = list[Tensor]
"""Features of a frame, a tensor `(C, h, w)` float32 per map of the extractor."""

PIXELS_AT_ONCE = 8 * 480 * 854
"""Pixels in a pass of the network on a GPU: 8 frames of DAVIS."""
MOST_AT_ONCE = 16

LOWER = "set the protocol's changes to a smaller input_size or to backbone_precision bfloat16, or take a larger stride"
"""Advice for a device that runs out of memory while tracking."""

P = TypeVar("P", PropagationProtocol, PointProtocol, MatchingProtocol)


def maps_of(extractor: nn.Module) -> list[tuple[str, int | None]]:
    """Return name and stride of the feature maps of an extractor, in their order.

    A single map has an empty name. Strides are pixels per cell; None for a video encoder that has not encoded yet.

    Raises:
        ValueError: if the extractor does not name all strides.
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
    """Return the stride of an extractor with a single map; None for a video encoder that has not encoded yet.

    Raises:
        ValueError: if the extractor gives several maps, or does not name its stride.
    """
    maps = maps_of(extractor)
    if len(maps) > 1:
        raise ValueError(f"tracking needs one map of features, got {len(maps)}; name one stage")
    return maps[0][1]


def adapt_to_network(protocol: P, extractor: nn.Module, stride: int | None) -> P:
    """Return the protocol with the fields that the network sets; the protocol's name shows the changes.

    The network sets the stride; and the normalisation if it has no `Normalise` module: it then takes RGB in [0, 1], and
    mean and deviation of the protocol do not apply.

    Raises:
        ValueError: if the protocol's name changes the stride to another one.
    """
    if stride is not None:
        protocol = protocol.brought_by_features(feature_stride=stride)
    if normalises(extractor):
        return protocol
    return protocol.with_changes(**{field: None for field in ("rgb_mean", "rgb_std") if hasattr(protocol, field)})


def normalises(extractor: nn.Module) -> bool:
    """Return whether an extractor declares its normalisation of RGB; a video encoder does so by its arguments."""
    return isinstance(extractor, VideoEncoder) or any(isinstance(part, Normalise) for part in extractor.modules())


@dataclass(frozen=True)
class View:
    """Sizes of a video's frames and of the input of the network, (H, W).

    Attributes:
        own: size of the original frames, pixels.
        seen: size of reduced frames, before the protocol's sizing.
        covered: size that the feature map covers, padding included, in pixels of the reduced frame.
        covered_of_own: the same in pixels of the original frame.
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
            protocol: the sizing; a protocol with an input size ignores `short_side`.
            short_side: short side to which larger frames are reduced, pixels; None keeps the original size.

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
        """Resize a frame, uint8 `(3, H, W)`, to `seen`."""
        import cv2

        if self.seen == self.own:
            return frame
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), self.seen[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Resize ids `(H, W)` to `covered`: nearest pixel, background in the padding."""
        if self.seen != self.own:
            ids = F.interpolate(ids[None, None], self.seen, mode="nearest-exact")[0, 0]
        return F.pad(ids, (0, self.covered[1] - self.seen[1], 0, self.covered[0] - self.seen[0]))

    def reduce_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from original to reduced pixels; 0 is the centre of the first pixel."""
        return points if self.seen == self.own else (points + 0.5) * self._factor - 0.5

    def restore_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from reduced to original pixels."""
        return points if self.seen == self.own else (points + 0.5) / to_device(self._factor, points.device) - 0.5

    @property
    def _factor(self) -> Tensor:
        return torch.tensor([self.seen[1] / self.own[1], self.seen[0] / self.own[0]], dtype=torch.float64)


class FrameEncoder:
    """An extractor under a protocol; gives the maps of a video's frames, in order.

    The trackers see these maps only.

    Args:
        extractor: see `build_feature_extractor`; folded if possible, see `view_for`. Or a video encoder, such as
            `Clips`: a call of `encode` is then a whole video.
        rules: size, padding, normalisation and precision of the network's input.
        stopwatch: counts the seconds of "backbone".

    Attributes:
        device: device of the extractor.
        multiple: sides of the network's input are padded to a multiple of it.
        constant: True once the first frame of a video had equal features in all cells.
        in_order: True if a video must be encoded in order from its first frame.
    """

    def __init__(self, extractor: nn.Module, rules: NetworkInput, stopwatch: Stopwatch) -> None:
        self.device = device_of(extractor)
        self.multiple: int = getattr(extractor, "multiple", 1)
        self.in_order = isinstance(extractor, VideoEncoder)
        self._view: Any = extractor if self.in_order else view_for(extractor, rules)
        self._rules, self._watch, self.constant = rules, stopwatch, False
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __call__(self, frames: Sequence[Tensor]) -> list[Maps]:
        """Return the maps, frame by frame.

        Args:
            frames: uint8 RGB `(3, H, W)`, of equal size.
        """
        stacked = torch.stack(list(frames)) if len(frames) > 1 else frames[0][None]
        with self._watch("backbone", self.device), computing_in(self._rules.backbone_precision, self.device):
            output = self._view(fit_input(stacked, self._rules, self.multiple, self.device))
            maps = [batch.float() for batch in ([output] if isinstance(output, Tensor) else output)]
        return [[batch[index] for batch in maps] for index in range(len(frames))]

    def frames_at_once(self, size: Size) -> int:
        """Return the number of frames of size (H, W) in a pass: several on a GPU, 1 on a CPU.

        On a CPU a second frame in a pass only costs cache, and delays the results of the first.
        """
        (height, width), _ = input_sizes(size, self._rules, self.multiple)
        wanted = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))
        return wanted if self.device.type == "cuda" else 1

    def encode(
        self, frames: Iterable[T], at_once: int = 1, image: Callable[[T], Any] = lambda frame: frame
    ) -> Iterator[tuple[T, Maps]]:
        """Yield the frames of a video with their maps.

        Args:
            frames: uint8 RGB `(3, H, W)`, of equal size; or any items of which `image` gives such a frame.
            at_once: frames in a pass of the network. With several, the next pass starts before the maps of the current
                pass are used, so that a GPU never waits; it reads `at_once` frames ahead.
            image: item of `frames` → the frame to encode.

        Warns:
            Once, if the first frame of a video has equal features in all cells.
        """
        encoded = self._encode_video(frames, image) if self.in_order else self._encode_images(frames, at_once, image)
        for t, (frame, maps) in enumerate(encoded):
            if t == 0 and not self.constant and any(map(is_constant, maps)):
                self.constant = True
                warnings.warn("all cells of the first frame have the same features: scores are chance", stacklevel=2)
            yield frame, maps

    def _encode_images(self, frames: Iterable[T], at_once: int, image: Callable[[T], Any]) -> Iterator[tuple[T, Maps]]:
        """Yield frames and maps of an image encoder."""
        if at_once == 1:  # nothing overlaps: yield a frame's maps before the next frame is read
            for frame in frames:
                yield frame, self([image(frame)])[0]
            return
        frames = iter(frames)
        waiting: Iterable[tuple[T, Maps]] = ()
        while chunk := list(islice(frames, at_once)):
            begun = zip(chunk, self._begin([image(frame) for frame in chunk]), strict=True)
            yield from waiting
            waiting = begun
        yield from waiting

    def _encode_video(self, frames: Iterable[T], image: Callable[[T], Any]) -> Iterator[tuple[T, Maps]]:
        """Yield frames and maps of a video encoder; it reads a window of frames ahead."""
        encoder, ahead = self._view, deque[T]()

        def images() -> Iterator[Tensor]:
            for frame in frames:
                ahead.append(frame)
                yield fit_input(image(frame)[None], self._rules, self.multiple, self.device)[0]

        encoded = iter(encoder.encode(images()))
        while True:
            with self._watch("backbone", self.device), computing_in(self._rules.backbone_precision, self.device):
                output = next(encoded, None)
            if output is None:
                return
            stride, expected = getattr(encoder, "stride", None), getattr(self._rules, "feature_stride", None)
            if isinstance(stride, int) and expected not in (None, stride):
                raise ValueError(
                    f"{type(encoder).__name__}: its maps have {stride} px per cell, protocol {self._rules.name!r} "
                    f"{expected}; set changes to {{feature_stride: {stride}}}"
                )
            maps = [output] if isinstance(output, Tensor) else output
            yield ahead.popleft(), [to_device(features.float(), self.device) for features in maps]

    def _begin(self, frames: Sequence[Tensor]) -> Iterable[Maps]:
        """Start a pass, on a GPU in parallel with the current stream; iterating over the maps waits for them."""
        if self._stream is None:
            return self(frames)
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result, done = self(frames), torch.cuda.Event()
            done.record(self._stream)

        def handed_over() -> Iterator[Maps]:
            current.wait_event(done)  # the stream waits, the CPU does not
            for maps in result:
                for features in maps:
                    features.record_stream(current)  # frees their memory only after that stream has used them
                yield maps

        return handed_over()


def is_constant(features: Tensor) -> bool:
    """Return whether all cells of a map `(C, h, w)`, at least two, have equal features."""
    cells = features.flatten(1)
    return cells.shape[1] > 1 and bool(PendingCopy((cells == cells[:, :1]).all()).wait())


@torch.no_grad()
def frame_features(extractor: nn.Module, frames: Tensor, protocol: NetworkInput) -> tuple[Tensor, Size]:
    """Return the features by which a tracker follows the frames, and the size that their map covers.

    Args:
        extractor: see `build_feature_extractor`; of several maps the last is taken.
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        protocol: size, padding, normalisation and precision of the network's input.

    Returns:
        Float32 `(T, C, h, w)` on the extractor's device, and `covered_size` of a frame.
    """
    encoder = FrameEncoder(extractor, protocol, Stopwatch())
    maps = [of_frame[-1] for _, of_frame in encoder.encode(frames)]
    height, width = frames.shape[-2:]
    return torch.stack(maps), covered_size((height, width), protocol, getattr(extractor, "multiple", 1))


def view_for(extractor: nn.Module, protocol: NetworkInput) -> nn.Module:
    """Return a view of the extractor with the protocol's RGB normalisation and with folded BatchNorms.

    The extractor stays unchanged. A folded view copies the weights.

    Args:
        extractor: see `build_feature_extractor`.
        protocol: its `rgb_mean` and `rgb_std` replace the constants of every `Normalise` of the extractor; an extractor
            without `Normalise` gets RGB in [0, 1]. `position_embedding` and `final_norm` act on transformers.
    """
    view: Any = extractor
    own_rules = protocol.position_embedding == "network" and protocol.final_norm
    if isinstance(extractor, FeatureExtractor) and not own_rules:  # of a transformer
        view = shared_copy(extractor)
        view.positions = protocol.position_embedding
        view.final_norm = protocol.final_norm
    constants = {"mean": protocol.rgb_mean, "std": protocol.rgb_std}
    if wanted := {name: constant for name, constant in constants.items() if constant is not None}:
        view = shared_copy(view)
        for module, (name, constant) in product(view.modules(), wanted.items()):
            if isinstance(module, Normalise):
                own: Tensor = getattr(module, name)
                setattr(module, name, to_device(torch.tensor(constant, dtype=own.dtype), own.device).view(-1, 1, 1))
    folded: nn.Module = view.folded() if hasattr(view, "folded") else view
    return folded
