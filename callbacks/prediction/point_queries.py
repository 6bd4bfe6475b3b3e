"""Track points of a user's own video by a point protocol: sub-pixel, with occlusion."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream, placed_prompts
from datamodules.reading.prompts import PointPrompt, Prompt
from lightning_modules.functional import PointProtocol

from ..pictures import Picture
from ..pictures.overlays import overlay_tracks, rainbow
from ..tracking.frame_encoder import View, stride_of
from ..tracking.point_tracker import PointTracker
from ..tracking.stopwatch import Stopwatch
from .request import nearest_prompt


class FollowedPoints(NamedTuple):
    """The points of a video, and the current frame.

    Attributes:
        t: index of the frame in the video.
        points: x, y `(K, T, 2)` in pixels of the frames, where (0, 0) is the centre of the first pixel.
        occluded: `(K, T)` bool, True where a point is said to be hidden.
        similarity: `(K, T)` cosine of the feature at each point with that in the frame of its prompt.
    """

    t: int
    points: Tensor
    occluded: Tensor
    similarity: Tensor

    @property
    def now(self) -> Tensor:
        """The points of this frame: x, y, similarity and 1 where occluded, `(K, 4)`."""
        return torch.stack([*self.points[:, self.t].T, self.similarity[:, self.t], self.occluded[:, self.t]], 1)


def follow_points(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    points: Any,
    protocol: str | PointProtocol = "vidcorr",
    short_side: int | None = 480,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    """Follow points of any frame, forwards and backwards, each independently of the others.

    The video is read three times: to count its frames, to track, and to give its frames with what was found; memory
    holds a bounded part of its features. A point that is given in several frames is in each frame where the nearest of
    them in time has it.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: a file, or a folder of frames.
        points: a file's path, a dictionary of x, y by name, `(K, 2)` in pixels, or `grid:16`; see `PointPrompt.of`. Or
            prompts of several frames.
        protocol: a point protocol or its name (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`). It sees
            frames at 256 x 256 unless its `input_size` says otherwise.
        short_side: with `input_size` None the extractor sees larger frames reduced to this, pixels; None: at their own
            size.
        stopwatch: counts the seconds of "decode", "backbone" and "track".

    Returns:
        Iterator of frame `(3, H, W)` uint8 and the points.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: if the protocol does not exist, the extractor gives several maps, or short_side is below 1.
    """
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    given = [points] if isinstance(points, PointPrompt) else points
    several = isinstance(given, Sequence) and all(isinstance(prompt, PointPrompt) for prompt in given)
    prompts = placed_prompts(given if several else PointPrompt.each(points), stream)
    rules = PointProtocol.of(protocol)
    stride_of(extractor)  # of one map
    tracker = PointTracker(extractor, rules, stopwatch)
    view = View.of(extractor, stream.size, rules, short_side)
    return _follow(tracker, stream, prompts, view)


def _follow(
    tracker: PointTracker, stream: FrameStream, prompts: Sequence[Prompt], view: View
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    """Track the points of all prompts, those of one name as one track, then yield the frames with the tracks."""
    with tracker.watch("decode"):
        count = sum(1 for _ in stream)
    points = [prompt for prompt in prompts if isinstance(prompt, PointPrompt)]
    names = [name for prompt in points for name in prompt.names]
    starts = [stream.part.index(int(prompt.frame or 0)) for prompt in points for _ in prompt.names]
    scale = torch.tensor(stream.size[::-1], dtype=torch.float64) / tracker.protocols[0].scored_size
    positions = (torch.from_numpy(np.concatenate([prompt.points for prompt in points])) + 0.5) / scale
    queries = torch.cat([torch.tensor(starts, dtype=torch.float64)[:, None], positions.flip(1)], dim=1)

    def video(first: int) -> Iterator[Tensor]:
        return map(view.reduce, stream.forwards(first))

    (tracks,) = tracker.track(video, count, view.seen, queries.numpy(), max(starts) > 0)
    nearest, times = nearest_tracks(names, starts, count), torch.arange(count)
    positions, occluded = (tracks.points * scale - 0.5)[nearest, times], tracks.occluded[nearest, times]
    for t, frame in enumerate(stream):
        yield frame, FollowedPoints(t, positions, occluded, tracks.similarity[nearest, times])


def nearest_tracks(names: Sequence[str], starts: Sequence[int], frames: int) -> Tensor:
    """Return which track each point takes in each frame: of those with its name the one that starts nearest.

    Args:
        names: names of the tracks.
        starts: frame in which each starts.
        frames: number of frames T.

    Returns:
        `(K, T)` long, for each name in the order in which it first comes.
    """
    rows = []
    for name in dict.fromkeys(names):
        own = {start: number for number, (other, start) in enumerate(zip(names, starts, strict=True)) if other == name}
        rows.append([own[nearest_prompt(list(own), t)] for t in range(frames)])
    return torch.tensor(rows)


def draw_followed(frame: Tensor, found: FollowedPoints) -> Picture:
    """Draw the points with the last part of their tracks, a cross where hidden; see `overlay_tracks`."""
    points = found.points.numpy() + 0.5
    return overlay_tracks(frame, points, np.asarray(found.occluded), found.t, rainbow(points[:, 0]))
