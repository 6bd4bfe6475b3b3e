"""Following of masks, points and boxes through a video: each prompt starts its objects anew."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..functional.propagation.resizing import Size, reduced_frame
from ..videos.prompts import Name, Prompt
from ..videos.stream import FrameStream, GivenFrames
from .frame_encoder import FrameEncoder
from .labels import MaskCoding, PointCoding, Propagator, first_only, follow_labels
from .point_following import FramesFrom, follow_points
from .siamfc_tracker import SiamFCTracker

FrameResults = Iterator[tuple[Tensor, Any]]
"""Frames, and the results in them."""
Follower = Callable[[Prompt, FramesFrom], FrameResults]
"""Function from a prompt, and the video from its frame on, to these frames and the results of the prompt's objects."""


def followed(prompts: Mapping[int, Prompt], video: FrameStream | GivenFrames, follower: Follower) -> FrameResults:
    """Yield the frames of a video from the earliest prompt on, and the results of all objects.

    A prompt starts its objects anew: from its frame on they are followed from it alone. In masks the objects of a later
    prompt lie above those of an earlier one.
    """
    objects = objects_of(prompts)
    owner: dict[Name, int] = {}  # object → frame of its latest prompt
    running: dict[int, FrameResults] = {}  # frame of a prompt → its results
    for t in count(min(prompts)):
        if t in prompts:
            running[t] = follower(prompts[t], lambda later, start=t: video.forwards(start + later))  # type: ignore[misc]
            owner |= dict.fromkeys(prompts[t].objects, t)
            running = {start: results for start, results in running.items() if start in owner.values()}
        current = {start: next(results, None) for start, results in running.items()}
        # the video has ended
        if None in current.values():
            return
        frame = current[max(current)][0]  # type: ignore[index]
        yield frame, _combined({start: item[1] for start, item in current.items() if item}, prompts, owner, objects)


def objects_of(prompts: Mapping[int, Prompt]) -> tuple[Name, ...]:
    """Return the objects of all prompts: ids ascending, names as they appear."""
    names = tuple(dict.fromkeys(name for prompt in prompts.values() for name in prompt.objects))
    return tuple(sorted(names)) if all(isinstance(name, int) for name in names) else names


def _combined(
    by_prompt: Mapping[int, Any], prompts: Mapping[int, Prompt], owner: Mapping[Name, int], objects: tuple[Name, ...]
) -> Any:
    """Return the results of all objects in a frame; an object without a prompt yet gets a row of NaN."""
    first, *others = by_prompt
    if not others and prompts[first].objects == objects:
        return by_prompt[first]
    rows = np.full((len(objects), by_prompt[first].shape[1]), np.nan)
    ids = torch.zeros(by_prompt[first].shape, dtype=torch.uint8)
    for start, results in by_prompt.items():
        own = [name for name in prompts[start].objects if owner[name] == start]
        if prompts[start].kind == "mask":
            ids = torch.where(torch.isin(results, torch.tensor(own, dtype=torch.uint8)), results, ids)
        else:
            for name in own:
                rows[objects.index(name)] = results[prompts[start].objects.index(name)]
    if prompts[first].kind == "mask":
        return ids
    return torch.from_numpy(rows) if isinstance(by_prompt[first], Tensor) else rows


def propagated_masks(
    encoder: FrameEncoder, size: Size, seen: Size, propagator: Propagator, prompt: Prompt, frames: FramesFrom
) -> FrameResults:
    """Yield masks by label propagation, ids `(H, W)` uint8; warn of objects too small for a cell.

    Args:
        size: (H, W) of the frames.
        seen: (H, W) to which frames are reduced for the network.
        frames: the video from the prompt's frame on.
    """
    coding = MaskCoding(encoder, size, seen, dict.fromkeys(prompt.objects, 0))  # type: ignore[arg-type]
    annotated = first_only(frames(0), torch.from_numpy(prompt.labels))
    for t, tracked in enumerate(follow_labels(annotated, coding, propagator)):
        if t == 0:
            has_cells = tracked.labels[1:].flatten(1).any(1).tolist()
            too_small = [str(number) for number, has in zip(coding.objects, has_cells, strict=True) if not has]
            if too_small:
                cells = f"feature cells of {encoder.protocol.feature_stride} px"
                text = f"object {', '.join(too_small)} is too small for {cells} and is not followed"
                warnings.warn(text, stacklevel=2)
        yield tracked.frame, tracked.decoded


def propagated_points(
    encoder: FrameEncoder, size: Size, seen: Size, propagator: Propagator, prompt: Prompt, frames: FramesFrom
) -> FrameResults:
    """Yield points by propagated heat-maps: x, y, and the peak as a fraction of the first peak, `(K, 3)`."""
    annotated = first_only(frames(0), torch.from_numpy(prompt.labels))
    first_peaks = None
    for tracked in follow_labels(annotated, PointCoding(encoder, size, seen), propagator):
        peaks = tracked.labels.flatten(1).amax(1)
        points = tracked.decoded.double()
        if first_peaks is None:
            # a point outside the picture has no peak to divide by
            first_peaks = peaks.clamp_min(1e-12)
        else:
            # no label has reached this frame
            points[peaks <= 0] = torch.nan
        scores = (peaks / first_peaks).double()
        yield tracked.frame, torch.cat([points, scores[:, None]], dim=1)


def matched_points(encoder: FrameEncoder, size: Size, seen: Size, prompt: Prompt, frames: FramesFrom) -> FrameResults:
    """Yield points by a point protocol: x, y, similarity, occluded (0 or 1) `(K, 4)`."""
    total = sum(1 for _ in frames(0))
    # x, y: pixels of the frame per pixel of the raster in which the protocol counts
    scale = torch.tensor(size[::-1], dtype=torch.float64) / encoder.protocol.scored_size
    # a prompt's 0 is the first pixel's centre
    in_raster = (torch.from_numpy(prompt.labels) + 0.5) / scale
    x, y = in_raster.T
    queries = torch.stack([torch.zeros_like(y), y, x], dim=1)

    def reduced_frames_from(t: int) -> Iterator[Tensor]:
        return map(partial(reduced_frame, size=seen), frames(t))

    tracks = follow_points(encoder, reduced_frames_from, total, seen, queries.numpy())
    positions = tracks.points * scale - 0.5
    for t, frame in enumerate(frames(0)):
        x, y = positions[:, t].T
        yield frame, torch.stack([x, y, tracks.similarity[:, t], tracks.occluded[:, t]], dim=1)


def tracked_boxes(encoder: FrameEncoder, prompt: Prompt, frames: FramesFrom) -> FrameResults:
    """Yield boxes by SiamFC: left, top, width, height and response `(N, 5)`."""
    # of this prompt: it holds the targets
    tracker = SiamFCTracker(encoder.extractor, encoder.protocol)
    # the tracker counts pixels from one, a prompt from zero
    first_pixel = np.array([1.0, 1.0, 0.0, 0.0])
    for frame, boxes in tracker.track(frames(0), prompt.labels + first_pixel):
        responses = [track.response for track in tracker.tracks]
        yield frame, np.column_stack([boxes - first_pixel, responses])
