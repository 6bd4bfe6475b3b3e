"""A request to `predict`: prompts for frames of a video, the protocol to follow them by, and the passes it takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from datamodules.prompted_video import FrameStream, placed_prompts
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from lightning_modules.backbones import LiirExtractor
from lightning_modules.functional import PointProtocol, PropagationProtocol, TrackingProtocol

from ..tracking.frame_encoder import at_stride, stride_of

AnyProtocol = PropagationProtocol | TrackingProtocol | PointProtocol


class Pass(NamedTuple):
    """One pass of a tracker over a video: from a prompted frame in one direction.

    Attributes:
        start: index of the prompted frame.
        step: 1 forwards, -1 backwards.
        last: index of the last frame that is wanted; None: the video's end.
    """

    start: int
    step: int
    last: int | None


@dataclass(frozen=True)
class Request:
    """Prompts for frames of a video, and the protocol by which they are followed.

    Attributes:
        stream: the video.
        prompts: all of one kind, see `placed_prompts`.
        rules: protocol of the tracker that follows them.
        short_side: see `propagate_masks`.
    """

    stream: FrameStream
    prompts: tuple[Prompt, ...]
    rules: AnyProtocol
    short_side: int | None

    @classmethod
    def of(
        cls,
        extractor: nn.Module,
        stream: FrameStream,
        prompts: Prompt | Iterable[Prompt],
        protocol: str | None,
        changes: dict[str, Any] | None,
        short_side: int | None,
    ) -> "Request":
        """Build a request from the arguments of `predict_video`; raises as it does."""
        placed = placed_prompts(prompts, stream)
        return cls(stream, placed, _rules(extractor, placed[0], protocol, changes), short_side)

    @cached_property
    def by_frame(self) -> dict[int, list[Prompt]]:
        """Index of a frame in the stream → its prompts."""
        found: dict[int, list[Prompt]] = {}
        for prompt in self.prompts:
            found.setdefault(self.stream.part.index(int(prompt.frame or 0)), []).append(prompt)
        return found

    @cached_property
    def objects(self) -> dict[int, list[int | str]]:
        """Index of a prompted frame → its objects."""
        return {index: [name for each in given for name in each.objects] for index, given in self.by_frame.items()}

    @cached_property
    def prompted(self) -> dict[int | str, list[int]]:
        """Object → indices of its prompted frames, ascending; objects in the order of their first prompts."""
        return prompted_frames(self.objects)

    @cached_property
    def passes(self) -> list[Pass]:
        """Passes of the tracker."""
        return plan_passes(self.objects)

    def given(self, index: int) -> NDArray[Any]:
        """Return what the prompts of a frame say: ids `(H, W)`, boxes `(N, 4)`, or points x, y `(K, 2)`."""
        prompts: list[Any] = self.by_frame[index]
        if isinstance(prompts[0], BoxPrompt):
            return np.array([[box.x, box.y, box.width, box.height] for box in prompts])
        if isinstance(prompts[0], PointPrompt):
            return np.concatenate([prompt.points for prompt in prompts])
        ids = prompts[0].ids.copy()
        for mask in prompts[1:]:
            ids[mask.ids > 0] = mask.ids[mask.ids > 0]
        return np.asarray(ids)

    def palette(self) -> NDArray[np.uint8]:
        """Return the palette (256, 3) of all masks: of the first, and of each later one for the objects it brings."""
        masks = [prompt for prompt in self.prompts if isinstance(prompt, MaskPrompt)]
        palette = masks[0].palette.copy()
        for mask in reversed(masks):
            palette[list(mask.objects)] = mask.palette[list(mask.objects)]
        return palette

    def metadata(self) -> Any:
        """Return the prompts for the record: one, or a list."""
        found = [prompt.metadata() for prompt in self.prompts]
        return found[0] if len(found) == 1 else found


def nearest_prompt(prompted: Sequence[int], t: int) -> int:
    """Return which of an object's prompted frames is nearest to frame `t`; the earlier of two equally near.

    Example:
        >>> nearest_prompt([0, 120], 60), nearest_prompt([0, 120], 61), nearest_prompt([40], 0)
        (0, 120, 40)
    """
    return min(prompted, key=lambda frame: (abs(t - frame), frame))


def prompted_frames(objects: Mapping[int, Iterable[int | str]]) -> dict[int | str, list[int]]:
    """Return the prompted frames of each object, ascending, given the objects of each prompted frame."""
    frames: dict[int | str, list[int]] = {}
    for frame in sorted(objects):
        for name in objects[frame]:
            frames.setdefault(name, []).append(frame)
    return frames


def plan_passes(objects: Mapping[int, Iterable[int | str]]) -> list[Pass]:
    """Return the passes that follow each object to every frame from its nearest prompt, see `nearest_prompt`.

    A pass reaches as far as any object of its prompt is followed by it; a prompted frame itself belongs to the pass
    forwards.

    Args:
        objects: prompted frame → the objects that it shows.

    Example:
        >>> plan_passes({0: [1], 120: [1]})
        [Pass(start=0, step=1, last=60), Pass(start=120, step=1, last=None), Pass(start=120, step=-1, last=61)]
    """
    frames = prompted_frames(objects)
    passes: list[Pass] = []
    for frame in sorted(objects):
        prompted = [frames[name] for name in objects[frame]]
        later = [min((other for other in own if other > frame), default=None) for own in prompted]
        earlier = [max((other for other in own if other < frame), default=None) for own in prompted]
        ends = [(frame + other) // 2 for other in later if other is not None]
        passes.append(Pass(frame, 1, max(ends) if len(ends) == len(later) else None))
        first = min(0 if other is None else (frame + other) // 2 + 1 for other in earlier)
        if first < frame:
            passes.append(Pass(frame, -1, first))
    return passes


def protocol_for(
    extractor: nn.Module, benchmark: str, protocol: str | PropagationProtocol | None = None
) -> PropagationProtocol:
    """Return a benchmark's protocol adapted to a user's own video, at the stride of the extractor.

    Args:
        extractor: its kind says which protocol is the default, see `propagate_masks`.
        benchmark: "davis" for masks, "jhmdb" for points.
        protocol: a protocol is taken as it is but for the stride.

    Raises:
        ValueError: if there is no such protocol, or the extractor gives several maps.
    """
    stride = stride_of(extractor)
    if not isinstance(protocol, PropagationProtocol):
        default = "liir" if isinstance(extractor, LiirExtractor) and benchmark == "davis" else "vidcorr"
        protocol = PropagationProtocol.named(protocol or default, benchmark).with_changes(resized_data=None)
        if benchmark == "jhmdb":
            protocol = protocol.with_changes(input_size=None)
            if protocol.keypoint_unit == "pixel" and stride not in (None, protocol.feature_stride):
                protocol = protocol.with_changes(keypoint_sigma=(stride or protocol.feature_stride) / 2)
    return at_stride(protocol, stride)


def _rules(extractor: nn.Module, prompt: Prompt, name: str | None, changes: dict[str, Any] | None) -> AnyProtocol:
    """Return the protocol of a run, at the extractor's stride."""
    protocol: AnyProtocol
    if isinstance(prompt, BoxPrompt):
        if name is not None:
            raise ValueError(f"protocol {name!r} is for masks and points; a box is tracked by SiamFC, see changes")
        protocol = TrackingProtocol()
    elif isinstance(prompt, PointPrompt) and name is not None and name in PointProtocol.sources():
        protocol = PointProtocol.named(name).with_changes(feature_stride=extractor.stride)
    else:
        protocol = protocol_for(extractor, "davis" if isinstance(prompt, MaskPrompt) else "jhmdb", name)
    try:
        protocol = protocol.with_changes(**changes) if changes else protocol
    except TypeError as error:
        raise ValueError(f"changes: {error}") from error
    if isinstance(protocol, TrackingProtocol):
        return protocol.at_features(int(extractor.stride), getattr(extractor, "dilated", False))  # type: ignore[arg-type]
    return protocol
