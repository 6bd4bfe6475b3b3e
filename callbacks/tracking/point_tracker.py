"""Points queried at any frame of a video, followed by the features of an extractor."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_modules.functional.points import PointProtocol, PointTracks, track_points
from lightning_modules.functional.propagation.sizing import Size, resized_size

from .. import signals
from .frame_encoder import FrameEncoder, Maps, frames_at_once
from .stopwatch import Stopwatch
from .view import at_stride, maps_of

KEPT_FEATURES = 512 * 2**20
"""Bytes of a video's features that are kept; those of further frames are computed each time they are needed."""


class PointTracker:
    """An extractor with a point protocol for each of its maps, ready to follow points through any number of videos.

    Where the extractor can fold its BatchNorms a folded copy is used, so make a new tracker when it has learned.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: taken at the stride of each map; where that differs from its own stride, its name shows it.
        stopwatch: counts the seconds of "decode", "backbone" and "track".
        kept: bytes of features that are kept of a video.
        at_once: frames per pass of the network; None: as the device wants, see `frames_at_once`.

    Attributes:
        stages: names of the maps; one empty name for an extractor of one map.
        protocols: one for each map.
        grids: (height, width) in cells of each map, of the last video.

    Raises:
        ValueError: if the extractor does not name its stride, or lacks the normalisation that the protocol changes.
    """

    def __init__(
        self,
        extractor: nn.Module,
        protocol: PointProtocol,
        stopwatch: Stopwatch | None = None,
        kept: int = KEPT_FEATURES,
        at_once: int | None = None,
    ) -> None:
        maps = maps_of(extractor)
        self.stages = [stage for stage, _ in maps]
        self.protocols = [at_stride(protocol, stride) for _, stride in maps]
        self.watch, self.kept, self.at_once = stopwatch or Stopwatch(), kept, at_once
        self.encoder = FrameEncoder(extractor, protocol, self.watch)
        self.device = self.encoder.device
        self.grids: list[tuple[int, int]] = []

    @torch.inference_mode()
    def track(
        self,
        frame: Callable[[int], Tensor],
        frames: int,
        queries: NDArray[Any],
        both_directions: bool = True,
    ) -> list[PointTracks]:
        """Follow points through one video.

        Args:
            frame: number of a frame → uint8 RGB `(3, H, W)`, all of one size; asked for in order, and again where the
                features of the video do not fit into `kept`.
            frames: their number.
            queries: `(N, 3)` t, y, x; x and y in raster pixels of the protocol's scored size.
            both_directions: also follow points back from their query to frame 0.

        Returns:
            The tracks for each map, in pixels of the scored size.
        """
        features = _Features(self, frame, frames)
        first = features.maps(0)
        self.grids = [(maps.shape[1], maps.shape[2]) for maps in first]
        height, width = features.padding
        tracks = []
        for number, protocol in enumerate(self.protocols):
            side = protocol.scored_size
            before = self.watch.seconds["backbone"] + self.watch.seconds["decode"]
            with self.watch("track", self.device):
                tracks.append(
                    track_points(
                        features.of(number),
                        frames,
                        torch.as_tensor(queries, dtype=torch.float64),
                        protocol,
                        (side * height, side * width),
                        both_directions=both_directions,
                    )
                )
            self.watch.seconds["track"] -= self.watch.seconds["backbone"] + self.watch.seconds["decode"] - before
        return tracks


class _Features:
    """Features of a video's frames; the first ones that fit are kept.

    Attributes:
        padding: height and width that the maps cover, as multiples of the picture's.
    """

    def __init__(self, tracker: PointTracker, frame: Callable[[int], Tensor], frames: int) -> None:
        self._tracker, self._frame, self._frames = tracker, frame, frames
        self._kept: dict[int, Maps] = {}
        self._newest: dict[int, Maps] = {}
        self._room = tracker.kept
        self._seen: set[int] = set()
        self._video: Iterator[Maps] = iter(())
        self._next = frames  # of the video that an encoder of video is encoding
        self._size: Size = (1, 1)
        self.padding = (1.0, 1.0)

    def of(self, number: int) -> Callable[[int], Tensor]:
        """Return frame number → features `(C, h, w)` of one of the extractor's maps."""
        return lambda t: self.maps(t)[number]

    def maps(self, t: int) -> Maps:
        """Return the features of frame `t` for each map."""
        signals.check()
        if t not in self._kept and t not in self._newest:
            self._encode(t)
        return self._kept[t] if t in self._kept else self._newest[t]

    def _encode(self, t: int) -> None:
        """Encode frame `t`, and in the same pass the frames after it, up to the first that was encoded before."""
        tracker = self._tracker
        if tracker.encoder.in_order:
            self._encode_in_order(t)
            return
        with tracker.watch("decode"):
            frames = [self._frame(t)]
            size = resized_size((frames[0].shape[1], frames[0].shape[2]), tracker.protocols[0])
            at_once = tracker.at_once or frames_at_once(tracker.device, size)
            later = range(t + 1, min(t + at_once, self._frames))
            new = list(itertools.takewhile(lambda number: number not in self._seen, later))
            frames += [self._frame(number) for number in new]
        self._newest = dict(zip((t, *new), tracker.encoder(frames), strict=True))
        self._keep(size)

    def _encode_in_order(self, t: int) -> None:
        """Encode a video up to frame `t`; from frame 0 again where that was passed and could not be kept."""
        tracker = self._tracker
        if t < self._next:
            _, *own = self._frame(0).shape
            self._size = resized_size((own[0], own[1]), tracker.protocols[0])
            self._video, self._next = tracker.encoder.encode(map(self._frame, range(self._frames))), 0
        while self._next <= t:
            self._newest = {self._next: next(self._video)}
            self._keep(self._size)
            self._next += 1

    def _keep(self, size: Size) -> None:
        """Keep the newest maps as long as there is room; frames are seen at `size`."""
        seen = self._tracker.encoder.input_size
        self.padding = seen[0] / size[0], seen[1] / size[1]
        for number in self._newest.keys() - self._seen:
            maps = self._newest[number]
            self._room -= sum(item.numel() * item.element_size() for item in maps)
            if self._room >= 0:
                self._kept[number] = maps
        self._seen |= self._newest.keys()
