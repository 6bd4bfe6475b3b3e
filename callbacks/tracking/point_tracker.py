"""Points queried at any frame of a video, followed by the features of an extractor."""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_modules.functional.points import PointProtocol, PointTracks, track_points
from lightning_modules.functional.propagation.sizing import backbone_autocast, fit_input, resized_size

from .. import signals
from .label_tracker import view_for
from .stopwatch import Stopwatch

KEPT_FEATURES = 512 * 2**20
"""Bytes of a video's features that are kept; those of further frames are computed each time they are needed."""


class PointTracker:
    """An extractor with a point protocol for each of its maps, ready to follow points through any number of videos.

    Where the extractor can fold its BatchNorms a folded copy is used, so make a new tracker when it has learned.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a frame.
        protocol: taken at the stride of each map; where that is not its own stride, its name says so.
        stopwatch: counts the seconds of "decode", "backbone" and "track".
        kept: bytes of features that are kept of a video.

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
    ) -> None:
        stride: Any = getattr(extractor, "stride", None)
        strides = stride if isinstance(stride, list) else [stride]
        if not all(isinstance(item, int) for item in strides):
            raise ValueError(f"point tracking needs the stride of each feature map, got {stride}")
        names = getattr(extractor, "stage", None)
        self.stages: list[str] = names if isinstance(names, list) else [""] * len(strides)
        self.protocols = [
            protocol if item == protocol.feature_stride else protocol.with_changes(feature_stride=item)
            for item in strides
        ]
        self.watch, self.kept = stopwatch or Stopwatch(), kept
        self.device = next(extractor.parameters(), next(extractor.buffers(), torch.zeros(()))).device
        self.multiple = getattr(extractor, "multiple", 1)
        self.extractor = view_for(extractor, protocol)
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
        features = _Features(self, frame)
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

    def __init__(self, tracker: PointTracker, frame: Callable[[int], Tensor]) -> None:
        self._tracker, self._frame = tracker, frame
        self._kept: dict[int, list[Tensor]] = {}
        self._room = tracker.kept
        self.padding = (1.0, 1.0)

    def of(self, number: int) -> Callable[[int], Tensor]:
        """Return frame number → features `(C, h, w)` of one of the extractor's maps."""
        return lambda t: self.maps(t)[number]

    def maps(self, t: int) -> list[Tensor]:
        """Return the features of frame `t` for each map."""
        signals.check()
        if t in self._kept:
            return self._kept[t]
        tracker, rules = self._tracker, self._tracker.protocols[0]
        with tracker.watch("decode"):
            frame = self._frame(t)
        with tracker.watch("backbone", tracker.device), backbone_autocast(rules, tracker.device):
            images = fit_input(frame[None], rules, tracker.multiple, tracker.device)
            output = tracker.extractor(images)
            maps = [item[0].float() for item in ([output] if isinstance(output, Tensor) else output)]
        seen = resized_size((frame.shape[1], frame.shape[2]), rules)
        self.padding = images.shape[2] / seen[0], images.shape[3] / seen[1]
        self._room -= sum(item.numel() * item.element_size() for item in maps)
        if self._room >= 0:
            self._kept[t] = maps
        return maps
