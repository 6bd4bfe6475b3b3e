"""Followers of masks, points and boxes: each runs a pass over a video, and combines the passes of a frame."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..functional.propagation.coding import label_doubts
from ..functional.propagation.resizing import Size, reduced_frame
from ..protocols import TrackingProtocol
from ..videos.prompts import Name
from ..videos.stream import FrameStream, GivenFrames
from .annotations import Annotations, Found, Pass, blended_labels, blended_numbers, exchanged_pairs, followed
from .frame_encoder import FrameEncoder
from .labels import MaskCoding, PointCoding, Propagator, first_only, follow_labels
from .points import follow_points
from .siamfc_tracker import SiamFCTracker


@dataclass(frozen=True)
class Follower(ABC):
    """Prompts of one kind that are followed through a video.

    Attributes:
        annotations: the prompts.
        video: the frames.
        size: (height, width) of the frames, pixels.
    """

    annotations: Annotations
    video: FrameStream | GivenFrames
    size: Size

    def follow(self) -> Iterator[tuple[Tensor, Any]]:
        """Yield the frames and their results, in order."""
        return followed(self.annotations, self.video, self.results, self.combine)

    @abstractmethod
    def results(self, a_pass: Pass) -> Iterator[Found]:
        """Yield the results of a pass, frame by frame from its prompt's frame on, for the objects that it shows."""

    @abstractmethod
    def combine(self, t: int, frame: Tensor, found: Mapping[Pass, Found]) -> Any:
        """Return the results of all objects in frame `t` from the results of the passes that cover it.

        Args:
            t: index of the frame.
            frame: the frame, uint8 RGB `(3, H, W)`.
            found: pass → its results in the frame.
        """

    def frames(self, a_pass: Pass, t: int = 0) -> Iterator[Tensor]:
        """Iterate over the frames of a pass in its order, from its frame `t` on; its frame 0 is the prompt's.

        Example:
            >>> from types import SimpleNamespace
            >>> video = SimpleNamespace(forwards=lambda t: range(t, 9), backwards=lambda t: range(t, -1, -1))
            >>> follower = SimpleNamespace(video=video)  # its frames are numbers
            >>> list(Follower.frames(follower, Pass(frame=3, step=1, first=3, end=7), t=2))
            [5, 6]
            >>> list(Follower.frames(follower, Pass(frame=5, step=-1, first=2, end=5), t=1))
            [4, 3, 2]
        """
        first = a_pass.frame + a_pass.step * t
        frames = self.video.forwards(first) if a_pass.step > 0 else self.video.backwards(first)
        length = a_pass.length()
        return islice(frames, None if length is None else length - t)

    def rows(self, a_pass: Pass) -> NDArray[np.float64]:
        """Return the numbers `(N, …)` of the points or boxes that a pass's prompt shows, a row per object."""
        prompt = self.annotations.prompts[a_pass.frame]  # its `labels` have a row for each of its `objects`
        is_shown = [name in prompt.shown for name in prompt.objects]
        return prompt.labels[is_shown]


class MaskResult(NamedTuple):
    """Masks of a frame.

    Attributes:
        ids: `(H, W)` uint8.
        doubts: object → its doubt by `label_doubts`; 0 in a frame with the object's given mask.
    """

    ids: Tensor
    doubts: Mapping[Name, float]


@dataclass(frozen=True)
class MaskFollower(Follower):
    """Masks by label propagation: each result is a `MaskResult`.

    Attributes:
        encoder: the network under its protocol.
        seen: (H, W) to which frames are reduced for the network.
        propagator: `LabelPropagator`, or a user's rule.
    """

    encoder: FrameEncoder
    seen: Size
    propagator: Propagator

    def results(self, a_pass: Pass) -> Iterator[Found]:
        """Yield masks and soft labels; warn, once per prompt, of objects that are too small for a cell."""
        prompt = self.annotations.prompts[a_pass.frame]
        coding = self._coding(prompt.shown)
        annotated = first_only(self.frames(a_pass), torch.from_numpy(prompt.labels))
        for t, tracked in enumerate(follow_labels(annotated, coding, self.propagator)):
            if t == 0 and a_pass.step > 0:  # once per prompt: the backward pass has the same cells
                self._warn_of_small_objects(coding.objects, tracked.labels)
            # no doubt in the pass's frame 0, which has the given mask
            doubts = label_doubts(tracked.labels) if t else [0.0] * len(coding.objects)
            result = MaskResult(tracked.decoded, dict(zip(prompt.shown, doubts, strict=True)))
            yield Found(tracked.frame, result, tracked.labels)

    def _warn_of_small_objects(self, objects: list[int], labels: Tensor) -> None:
        """Warn of objects that have no cell in the labels `(1 + objects, h, w)` of their prompt's frame."""
        has_cells = labels[1:].flatten(1).any(1).tolist()  # without the background
        too_small = [str(number) for number, has in zip(objects, has_cells, strict=True) if not has]
        if too_small:
            cells = f"feature cells of {self.encoder.protocol.feature_stride} px"
            text = f"object {', '.join(too_small)} is too small for {cells} and is not followed"
            warnings.warn(text, stacklevel=3)

    def combine(self, t: int, frame: Tensor, found: Mapping[Pass, Found]) -> MaskResult:
        """Decode the blended labels; warn, in the frame before a prompt, of objects whose ids it seems to exchange.

        Objects that a prompt names in this frame have the prompt's mask, unless the protocol decodes given masks too.
        """
        ids = torch.zeros(self.size, dtype=torch.uint8)
        doubts: dict[Name, float] = {}
        prompt: Any = self.annotations.prompts.get(t)
        # a prompt of this very frame: its mask is kept as it is, not decoded from its labels
        keeps_given = prompt is not None and self.encoder.protocol.first_frame != "decoded"
        if t + 1 in self.annotations.prompts:  # where passes from both sides meet
            for name, other in exchanged_pairs(self.annotations, t, found):
                text = f"objects {name} and {other} seem exchanged in the mask of frame {self.video.start + t + 1}"
                warnings.warn(f"{text}: an id is the same object in all masks", stacklevel=2)
        if found:  # else all objects have left, and no pass reads this frame
            labels = blended_labels(self.annotations, t, found)
            doubts = dict(zip(self.annotations.objects, label_doubts(labels), strict=True))
            if keeps_given:
                # `objects` of a prompt: those that it shows, and those that it says have left
                is_named = [name in prompt.objects for name in self.annotations.objects]
                labels[1:][is_named] = 0  # named objects are where the given mask shows them, or have left
            # `None`: decode labels only; the given mask is laid over the result below
            ids = self._coding(self.annotations.objects).decode(t, labels, None, frame)
        if keeps_given:
            given_ids = torch.from_numpy(prompt.labels)
            ids = torch.where(given_ids > 0, given_ids, ids)
            doubts |= dict.fromkeys(prompt.shown, 0.0)
        return MaskResult(ids, doubts)

    def _coding(self, objects: tuple[Any, ...]) -> MaskCoding:
        """Return the coding of objects, ids of masks, that all start in frame 0 of a pass."""
        return MaskCoding(self.encoder, self.size, self.seen, dict.fromkeys(objects, 0))


@dataclass(frozen=True)
class PointFollower(Follower):
    """Points by propagated heat-maps: results are x, y, score `(K, 3)`.

    Attributes:
        encoder: the network under its protocol.
        seen: (H, W) to which frames are reduced for the network.
        propagator: `LabelPropagator`, or a user's rule.
    """

    encoder: FrameEncoder
    seen: Size
    propagator: Propagator

    def results(self, a_pass: Pass) -> Iterator[Found]:
        """Yield positions by the heat-maps, and as scores the heat-maps' peaks as fractions of their first peaks."""
        annotated = first_only(self.frames(a_pass), torch.from_numpy(self.rows(a_pass)))
        coding = PointCoding(self.encoder, self.size, self.seen)
        first_peaks = None
        for tracked in follow_labels(annotated, coding, self.propagator):
            peaks = tracked.labels.flatten(1).amax(1)
            points = tracked.decoded.double()
            if first_peaks is None:
                first_peaks = peaks.clamp_min(1e-12)  # a point outside the picture has no peak to divide by
            else:
                points[peaks <= 0] = torch.nan  # no label has reached this frame
            scores = (peaks / first_peaks).double()
            yield Found(tracked.frame, torch.cat([points, scores[:, None]], dim=1))

    def combine(self, t: int, frame: Tensor, found: Mapping[Pass, Found]) -> Tensor:
        """Blend positions and scores: x, y, score `(K, 3)`."""
        return torch.from_numpy(blended_numbers(self.annotations, 3, t, found))


POINT_NUMBERS = ("x", "y", "score", "occluded")
"""Columns of the results of `QueryFollower`."""


@dataclass(frozen=True)
class QueryFollower(Follower):
    """Points by a point protocol: results are x, y, score, occluded (0 or 1) `(K, 4)`; the score is the similarity.

    Attributes:
        encoder: the network under its protocol.
        seen: (H, W) to which frames are reduced for the network.

    Raises:
        ValueError: for a video that is read only once.
    """

    encoder: FrameEncoder
    seen: Size

    def __post_init__(self) -> None:
        if self.video.is_read_once:
            name = self.encoder.protocol.name
            raise ValueError(f"point protocol {name!r} reads a video several times: give a file, a folder or a list")

    @cached_property
    def _count(self) -> int:
        """Number of frames of the video, counted by reading it once."""
        return sum(1 for _ in self.video.forwards())

    def results(self, a_pass: Pass) -> Iterator[Found]:
        """Track the points of a prompt through the pass's frames; then read the frames again, and yield both."""
        count = a_pass.length(self._count)  # frames of the pass, of all frames of the video
        assert count is not None
        # x, y: pixels of the frame per pixel of the raster in which the protocol counts
        scale = torch.tensor(self.size[::-1], dtype=torch.float64) / self.encoder.protocol.scored_size
        in_raster = (torch.from_numpy(self.rows(a_pass)) + 0.5) / scale  # a prompt's 0 is the first pixel's centre
        x, y = in_raster.T
        queries = torch.stack([torch.zeros_like(y), y, x], dim=1)  # all points start in frame 0 of the pass

        def reduced_frames_from(t: int) -> Iterator[Tensor]:
            """Return the frames of the pass from its frame `t` on, reduced to `seen`."""
            return map(partial(reduced_frame, size=self.seen), self.frames(a_pass, t))

        tracks = follow_points(self.encoder, reduced_frames_from, count, self.seen, queries.numpy())
        positions = tracks.points * scale - 0.5  # x, y `(K, T, 2)` from the raster to pixels of the frame
        for t, frame in enumerate(self.frames(a_pass)):
            x, y = positions[:, t].T
            yield Found(frame, torch.stack([x, y, tracks.similarity[:, t], tracks.occluded[:, t]], dim=1))

    def combine(self, t: int, frame: Tensor, found: Mapping[Pass, Found]) -> Tensor:
        """Blend positions and scores; a point is hidden if it is hidden in the pass of the nearer prompt.

        If both prompts are equally near, it is hidden only if it is hidden in both passes.
        """
        numbers = blended_numbers(self.annotations, len(POINT_NUMBERS), t, found)
        occluded = POINT_NUMBERS.index("occluded")
        numbers[:, occluded] = numbers[:, occluded].round()  # the nearer prompt has the larger weight; 0.5 becomes 0
        return torch.from_numpy(numbers)


@dataclass(frozen=True)
class BoxFollower(Follower):
    """Boxes by SiamFC: results are left, top, width, height, response `(N, 5)`.

    Attributes:
        extractor: the extractor.
        protocol: sizes, scales and penalties of the tracker.

    Raises:
        ValueError: for a video encoder.
    """

    extractor: Any
    protocol: TrackingProtocol

    def __post_init__(self) -> None:
        SiamFCTracker(self.extractor, self.protocol)  # to refuse a video encoder now; each pass makes its own tracker

    def results(self, a_pass: Pass) -> Iterator[Found]:
        """Track the boxes of the pass's prompt with a new tracker.

        Yields:
            Of each frame left, top, width, height and response `(N, 5)`, a row per box.
        """
        tracker = SiamFCTracker(self.extractor, self.protocol)
        first_pixel = np.array([1.0, 1.0, 0.0, 0.0])  # the tracker counts pixels from one, a prompt from zero
        for frame, boxes in tracker.track(self.frames(a_pass), self.rows(a_pass) + first_pixel):
            responses = [track.response for track in tracker.tracks]
            yield Found(frame, np.column_stack([boxes - first_pixel, responses]))

    def combine(self, t: int, frame: Tensor, found: Mapping[Pass, Found]) -> NDArray[np.float64]:
        """Blend the boxes and their responses `(N, 5)`."""
        return blended_numbers(self.annotations, 5, t, found)
