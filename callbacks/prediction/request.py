"""Prompts for a video, and the protocol by which they are tracked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream, placed_prompts
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from lightning_modules.functional import PointProtocol, PropagationProtocol
from lightning_modules.functional.box_protocol import TrackingProtocol

from ..tracking.label_tracker import LabelTracker
from ..tracking.siamfc_tracker import SiamFCTracker
from ..tracking.stopwatch import Stopwatch
from .follow import follow_boxes, follow_masks, follow_points_by_heatmaps, protocol_for
from .plan import Leg, plan_legs, prompted_frames

AnyProtocol = PropagationProtocol | TrackingProtocol | PointProtocol

Follow = Callable[[int, Iterator[Tensor]], Iterator[tuple[Tensor, Any]]]
"""Index of a prompted frame, frames from it on in either direction → frames and what is found: ids
`(H, W)`, boxes `(N, 4)` or x, y, score `(K, 3)` of the objects of that prompt."""


@dataclass(frozen=True)
class Request:
    """Prompts for frames of a video, and the protocol by which they are tracked.

    Attributes:
        stream: the video.
        prompts: all of one kind, see `placed_prompts`.
        rules: protocol of the engine that follows them.
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

    @property
    def names(self) -> list[int | str]:
        """The objects, in the order of their first prompts."""
        return list(prompted_frames(self.objects))

    @cached_property
    def legs(self) -> list[Leg]:
        """Passes of the engine."""
        return plan_legs(self.objects)

    def mask(self, index: int) -> MaskPrompt:
        """Return the masks of a frame as one."""
        first, *others = (prompt for prompt in self.by_frame[index] if isinstance(prompt, MaskPrompt))
        ids = first.ids.copy()
        for other in others:
            ids[other.ids > 0] = other.ids[other.ids > 0]
        return replace(first, ids=ids)

    def boxes(self, index: int) -> list[BoxPrompt]:
        """Return the boxes of a frame."""
        return [prompt for prompt in self.by_frame[index] if isinstance(prompt, BoxPrompt)]

    def points(self, index: int) -> PointPrompt:
        """Return the points of a frame as one prompt."""
        given = [prompt for prompt in self.by_frame[index] if isinstance(prompt, PointPrompt)]
        names = tuple(name for prompt in given for name in prompt.names)
        return replace(given[0], names=names, points=np.concatenate([p.points for p in given]))

    def palette(self) -> NDArray[np.uint8]:
        """Return the palette (256, 3) of all masks: of the first, and of each later one for the objects it brings."""
        masks = [prompt for prompt in self.prompts if isinstance(prompt, MaskPrompt)]
        palette = masks[0].palette.copy()
        for mask in reversed(masks[1:]):
            brought = [number for number in mask.objects if number not in masks[0].objects]
            palette[brought] = mask.palette[brought]
        return palette

    def metadata(self) -> Any:
        """Return the prompts for the record: one, or a list."""
        found = [prompt.metadata() for prompt in self.prompts]
        return found[0] if len(found) == 1 else found


def follower(extractor: nn.Module, request: Request, watch: Stopwatch) -> Follow:
    """Return the function that carries the prompts of one frame in one direction.

    Raises:
        ValueError: if the extractor does not suit the rules.
    """
    rules = request.rules
    if isinstance(rules, TrackingProtocol):
        targets = SiamFCTracker(extractor, rules, watch)
        return lambda index, frames: follow_boxes(targets, frames, request.boxes(index))
    assert isinstance(rules, PropagationProtocol)
    tracker = LabelTracker(extractor, rules, watch)
    view = tracker.view(request.stream.size, request.short_side)
    if isinstance(request.prompts[0], MaskPrompt):
        return lambda index, frames: follow_masks(tracker, frames, request.mask(index), view)
    return lambda index, frames: follow_points_by_heatmaps(tracker, frames, request.points(index), view)


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
