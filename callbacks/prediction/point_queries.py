"""Follow points of a user's own video by a point protocol: sub-pixel, and hidden or not."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datamodules.prompted_video import FrameStream
from datamodules.reading.prompts import PointPrompt
from lightning_modules.functional.points import PointProtocol

from .. import signals
from ..pictures import Picture
from ..pictures.tracks import overlay_tracks, rainbow
from ..tracking.point_tracker import PointTracker
from ..tracking.record import fixed
from ..tracking.stopwatch import Stopwatch
from ..tracking.view import View
from .unfinished import Bookmark


class FollowedPoints(NamedTuple):
    """The points of a video, and the frame that is looked at.

    Attributes:
        t: number of the frame.
        points: x, y `(K, T, 2)` in pixels of the frames, where (0, 0) is the centre of the first pixel.
        occluded: `(K, T)` bool, True where a point is said to be hidden.
        similarity: `(K, T)` cosine of the feature at each point with that in frame 0.
    """

    t: int
    points: Tensor
    occluded: Tensor
    similarity: Tensor


def follow_points(
    extractor: nn.Module,
    video: str | Path | FrameStream,
    points: Any,
    protocol: str | PointProtocol = "vidcorr",
    short_side: int | None = 480,
    stopwatch: Stopwatch | None = None,
    bookmark: Bookmark | None = None,
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    """Follow points of the first frame, each independently of the others.

    The video is read three times: to count its frames, to track, and to give its frames with what was found; memory
    holds a bounded part of its features.

    Args:
        extractor: see `build_feature_extractor`; it gives one map.
        video: a file, or a folder of frames.
        points: a file's path, a dictionary of x, y by name, `(K, 2)` in pixels, or `grid:16`; see `PointPrompt.of`.
        protocol: a point protocol or its name (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`). It sees
            frames at 256 x 256 unless its `input_size` says otherwise.
        short_side: with `input_size` None the extractor sees larger frames reduced to this, pixels; None: at their own
            size.
        stopwatch: counts the seconds of "decode", "backbone" and "track".
        bookmark: where the tracks are known already they are not looked for again; its `state` is set.

    Returns:
        Iterator of frame `(3, H, W)` uint8 and the points.

    Raises:
        DataError: if the points do not lie in the first frame, or a frame cannot be read.
        ValueError: if the protocol does not exist, the extractor gives several maps, or short_side is below 1.
    """
    stream = video if isinstance(video, FrameStream) else FrameStream(video)
    prompt = PointPrompt.of(points).placed(stream.size)
    prompt.check(stream.size)
    rules = PointProtocol.named(protocol, "tap_vid") if isinstance(protocol, str) else protocol
    if not isinstance(getattr(extractor, "stride", None), int):
        raise ValueError(f"points need one map of features and its stride, got {getattr(extractor, 'stride', None)}")
    tracker = PointTracker(extractor, rules, stopwatch)
    view = View.of(extractor, stream.size, rules, short_side)
    return _follow(tracker, stream, prompt, view, bookmark or Bookmark())


def _follow(
    tracker: PointTracker, stream: FrameStream, prompt: PointPrompt, view: View, bookmark: Bookmark
) -> Iterator[tuple[Tensor, FollowedPoints]]:
    found = bookmark.start or _tracks(tracker, stream, prompt, view)
    bookmark.state = lambda: found
    for t, frame in enumerate(stream):
        yield frame, FollowedPoints(t, **found)


def _tracks(tracker: PointTracker, stream: FrameStream, prompt: PointPrompt, view: View) -> dict[str, Tensor]:
    with tracker.watch("decode"):
        count = sum(1 for _ in stream)
    scale = torch.tensor(stream.size[::-1], dtype=torch.float64) / tracker.protocols[0].scored_size
    places = (torch.from_numpy(prompt.points) + 0.5) / scale
    queries = torch.cat([torch.zeros(len(places), 1, dtype=torch.float64), places.flip(1)], dim=1)
    try:
        tracks = tracker.track(_in_order(stream, view.reduce), count, queries.numpy(), both_directions=False)[0]
    except signals.Stopped:
        print(
            f"{stream.name}: stopped while its points were tracked, of which nothing is kept: "
            "the same command begins again"
        )
        raise
    points = tracks.points * scale - 0.5
    return {"points": points, "occluded": tracks.occluded, "similarity": tracks.similarity}


def _in_order(stream: Iterable[Tensor], reduce: Callable[[Tensor], Tensor]) -> Callable[[int], Tensor]:
    """Return frame number → frame; frames asked for in order are decoded once, an earlier one starts afresh."""
    frames: Iterator[Tensor] = iter(())
    following = 0

    def frame(t: int) -> Tensor:
        nonlocal frames, following
        if t < following or following == 0:
            frames, following = iter(stream), 0
        found = next(frames)
        following += 1
        while following <= t:
            found = next(frames)
            following += 1
        return reduce(found)

    return frame


def point_rows(names: Iterable[str], stem: str, found: FollowedPoints) -> list[list[str]]:
    """Return the lines of `points.csv` for a frame: frame, name, x, y, score, occluded."""
    now = zip(
        names,
        found.points[:, found.t].tolist(),
        found.similarity[:, found.t].tolist(),
        found.occluded[:, found.t].tolist(),
        strict=True,
    )
    return [[stem, name, *fixed(place, 3), *fixed([score], 4), str(int(hidden))] for name, place, score, hidden in now]


def draw_followed(frame: Tensor, found: FollowedPoints) -> Picture:
    """Draw the points with the last part of their tracks, a cross where hidden; see `overlay_tracks`."""
    points = found.points.numpy() + 0.5
    return overlay_tracks(frame, points, np.asarray(found.occluded), found.t, rainbow(points[:, 0]))
