"""Points queried at any frame of a video, followed by the features of an extractor."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import signals
from ..functional import PointTracks, track_points
from ..functional.propagation.coding import Size, input_sizes
from ..functional.propagation.resizing import truncated_resize
from .frame_encoder import FrameEncoder

FramesFrom = Callable[[int], Iterator[Tensor]]
"""Function from the index of a frame to the video from this frame on, uint8 RGB `(3, H, W)` of equal size."""

KEPT_FEATURES = 512 * 2**20
"""Most bytes of a video's features in memory; features of further frames are computed whenever they are needed."""
BLOCK = 8
"""Number of latest frames whose features are kept; to go backwards, this many frames are decoded again."""


@torch.no_grad()
def follow_points(
    encoder: FrameEncoder,
    video: FramesFrom,
    frames: int,
    size: Size,
    queries: NDArray[Any],
    both_directions: bool = True,
) -> PointTracks:
    """Follow points through a video, under a point protocol.

    Args:
        video: function that reads the frames; it is called again if the video's features do not fit into memory.
        frames: number of frames.
        size: (H, W) of the frames.
        queries, both_directions: as in `track_points`.

    Raises:
        ValueError: if the features of a frame are not finite.
        Stopped: between two frames, if a signal asks for it.
    """
    protocol = encoder.protocol
    features = _FeatureCache(encoder, video)
    # from here on the encoder knows the grid, also in a video without queries
    features.features_of(0)
    # (H, W) of the network's input without and with padding; `first_size`: to which the protocol resizes frames before
    resized, padded, _ = input_sizes(protocol.first_size or size, protocol, encoder.multiple)
    height = protocol.scored_size * (padded[0] / resized[0])
    width = protocol.scored_size * (padded[1] / resized[1])
    covered_size = height, width
    start = torch.as_tensor(queries, dtype=torch.float64)
    with encoder.watch("track", encoder.device):
        return track_points(
            features.features_of, frames, start, protocol, covered_size, both_directions=both_directions
        )


class _FeatureCache:
    """Features of a video's frames, kept in memory for as many first frames as fit, and for the `BLOCK` latest frames.

    If features of another frame are wanted, the video is read and encoded again from a frame before it.
    """

    def __init__(self, encoder: FrameEncoder, video: FramesFrom) -> None:
        self._encoder = encoder
        self._video = video
        self._kept: dict[int, Tensor] = {}
        self._recent: dict[int, Tensor] = {}
        self._bytes_left = KEPT_FEATURES
        self._maps = self._maps_from(0)
        self._next = 0

    def features_of(self, t: int) -> Tensor:
        signals.check()
        if t in self._kept:
            return self._kept[t]
        if t not in self._recent and t < self._next:
            # read the video again: for a video encoder from frame 0; for an image encoder so that `t` is the last of
            # `BLOCK` frames, since those before it are wanted next on the way back
            self._next = 0 if self._encoder.in_order else max(0, t - BLOCK + 1)
            self._recent.clear()
            self._maps = self._maps_from(self._next)
        while self._next <= t:
            self._encode_next()
        return self._recent[t]

    def _encode_next(self) -> None:
        """Encode the next frame; keep its features among the latest, and for good if they fit into `KEPT_FEATURES`."""
        features = next(self._maps)
        self._recent[self._next] = features
        self._recent.pop(self._next - BLOCK, None)
        if self._next not in self._kept:
            self._bytes_left -= features.nbytes
            if self._bytes_left >= 0:
                self._kept[self._next] = features
        self._next += 1

    def _maps_from(self, first: int) -> Iterator[Tensor]:
        frames: Iterable[Tensor] = self._encoder.watch.timed("decode", self._video(first))
        # frames are resized to `first_size` before the network's input
        size = self._encoder.protocol.first_size
        if size is not None:
            frames = (truncated_resize(frame, size) for frame in frames)
        return self._encoder.maps(frames)
