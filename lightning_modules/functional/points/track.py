"""Points followed through a video, and whether they are hidden."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..transfer import PendingCopy
from .chained import track_by_chaining
from .job import Features, TrackingJob
from .matching import POINTS_WORKSPACE
from .propagated import track_by_propagation
from .protocol import PointProtocol


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Tracks of the queries of one video.

    Attributes:
        points: x, y `(N, T, 2)` float64, pixels of the protocol's scored size.
        occluded: `(N, T)` bool.
        similarity: `(N, T)` cosine of the feature at each point with that at the query.
    """

    points: Tensor
    occluded: Tensor
    similarity: Tensor


@torch.no_grad()
def track_points(
    features: Features,
    frames: int,
    queries: Tensor,
    protocol: PointProtocol,
    covered: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    both_directions: bool = True,
    workspace: int = POINTS_WORKSPACE,
) -> PointTracks:
    """Follow points from any frame of a video, forward and backward in time, each independently of the others.

    Args:
        features: frame number → `(C, h, w)`; it is called frame by frame, and several times for a frame.
        frames: number of frames T.
        queries: `(N, 3)` t, y, x: frame number (rounded half to even), and raster pixels of the scored size.
        protocol: the rules.
        covered: (height, width) that a feature map covers, in pixels of the scored size; None: the scored size.
        size: (height, width) of the picture, outside which a point is hidden; None: the scored size.
        both_directions: also track from a query back to frame 0; otherwise the frames before a query hold its
            position and are hidden.
        workspace: bytes for similarities, which no result depends on.

    Returns:
        The tracks; in its own frame a query is where it was given, and visible.

    Raises:
        ValueError: for queries of another shape, that are not finite or lie outside the frames.
    """
    if queries.ndim != 2 or queries.shape[1] != 3 or not queries.isfinite().all():
        raise ValueError(f"queries must be finite t, y, x (N, 3), got {tuple(queries.shape)}")
    if ((queries[:, 0].round() < 0) | (queries[:, 0].round() >= frames)).any():
        raise ValueError(f"queries must lie in frames 0 to {frames - 1}, got {queries[:, 0].tolist()}")
    side = protocol.scored_size
    device = features(int(queries[0, 0].round())).device if len(queries) else torch.device("cpu")
    around = covered or (side, side)
    job = TrackingJob(features, frames, queries.cpu(), around, protocol, both_directions, workspace, device)
    if len(queries):
        TRACKINGS[protocol.tracking](job)
        if "anchors" in protocol.occlusion:
            compare_with_anchors(job)
    job.collect()
    occluded = _hidden(job, size or (side, side))
    occluded |= ~job.tracked(torch.arange(len(queries)))
    return PointTracks(job.positions, occluded, job.similarity)


def _hidden(job: TrackingJob, size: tuple[int, int]) -> Tensor:
    """Apply the occlusion rule, `(N, T)` bool."""
    protocol = job.protocol
    hidden = torch.zeros(job.similarity.shape, dtype=torch.bool)
    if protocol.occlusion == "none":
        return hidden
    if "similarity" in protocol.occlusion:
        hidden |= job.similarity < protocol.similarity_threshold
    if job.wants_cycle:
        hidden |= ~(job.misses < protocol.cycle_threshold)
    hidden |= job.doubtful
    limits = torch.tensor([size[1], size[0]])
    hidden |= ((job.positions < 0) | (job.positions >= limits)).any(-1)
    return hidden & (torch.arange(job.frames) != job.starts[:, None])


def track_directly(job: TrackingJob) -> None:
    """Find each query in every frame by its feature alone, and fill in the job.

    Memory holds the features of one frame, of the queries, and for tracking back those of some query frames.
    """
    for queries in _query_blocks(job):
        descriptors, maps = _query_descriptors(job, queries)
        for t in range(job.frames):
            wanted = job.needs(t)
            wanted = wanted[torch.isin(wanted, queries)]
            if len(wanted):
                _match_frame(job, t, wanted, descriptors[job.rows(torch.searchsorted(queries, wanted))], maps)


def _match_frame(job: TrackingJob, t: int, queries: Tensor, descriptors: Tensor, maps: dict[int, Tensor]) -> None:
    features = job.features(t)
    positions = job.to_pixels(job.match(descriptors, features), features)
    job.positions[job.rows(queries), t] = positions
    found = job.sample(features, positions)
    job.compare(queries, t, descriptors, found)
    for start, first in maps.items():
        here = (job.starts[queries] == start).nonzero()[:, 0]
        if len(here):
            job.track_back(queries[here], t, found[job.rows(here)], first)


def _query_descriptors(job: TrackingJob, queries: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Return the features at the queries, `(n, C)`, and the query frames' features if tracking back needs them."""
    starts = job.starts[queries]
    found: list[Tensor] = []
    maps: dict[int, Tensor] = {}
    for start in starts.unique().tolist():
        features = job.features(start)
        found.append(job.sample(features, job.origins[job.rows(queries[starts == start])]))
        if job.wants_cycle:
            maps[start] = features
    order = torch.cat([(starts == start).nonzero()[:, 0] for start in starts.unique().tolist()])
    return torch.cat(found)[job.rows(order.argsort())], maps


def _query_blocks(job: TrackingJob) -> list[Tensor]:
    """Split the queries by their frames so that the features kept at a time stay bounded; numbers in order."""
    starts = job.starts.unique()
    if not len(starts):
        return []
    if not job.wants_cycle:
        return [torch.arange(len(job.queries))]
    return [torch.isin(job.starts, part).nonzero()[:, 0] for part in starts.split(job.frames_at_once())]


TRACKINGS = {"direct": track_directly, "chained": track_by_chaining, "propagation": track_by_propagation}


def compare_with_anchors(job: TrackingJob) -> None:
    """Track every position of a track again to the track's anchors, and record which frames miss them most.

    Anchors of a track are its frames whose cosine with the query is at least the protocol's `anchor_similarity`; the
    query's own frame is one. The error of a frame is the median over the anchors of the distance between the track
    there and the match in the anchor of the track's position in the frame, in cells. A frame is doubtful if its error
    is above the largest error of an anchor. Memory holds two frames, and features and distances of as many tracks as
    fit.

    Source: DINO-Tracker (Tumanyan et al., ECCV 2024); AssafSinger94/dino-tracker, models/model_inference.py. There
    distances are in pixels of 854 x 476, where cells are square too, and the query's frame is tracked like any other.
    """
    channels = len(job.features(0))
    at_once = max(1, job.workspace // (4 * job.frames * (channels + job.frames)))
    for queries in torch.arange(len(job.queries)).split(at_once):
        tracked = job.tracked(queries)
        rows = job.rows(queries)
        anchors = tracked & (PendingCopy(job.similarity[rows]).wait() >= job.protocol.anchor_similarity)
        medians = median_distances(_anchor_distances(job, queries, anchors))
        job.doubtful[rows] = job.rows(tracked) & beyond_anchors(medians, job.rows(anchors))


def median_distances(distances: Tensor) -> Tensor:
    """Return the median over the anchors `(N, T)` of distances `(N, anchors, T)`; NaN where a frame is no anchor.

    Of an even number the lower of the two middle values is taken, as torch does.
    """
    return distances.nanmedian(dim=1).values


def beyond_anchors(medians: Tensor, anchors: Tensor) -> Tensor:
    """Return which frames have a larger error than every anchor, bool `(N, T)`.

    Args:
        medians: `(N, T)`.
        anchors: bool `(N, T)`.
    """
    limit = medians.masked_fill(~anchors, -torch.inf).amax(dim=1, keepdim=True)
    return medians > limit


def _anchor_distances(job: TrackingJob, queries: Tensor, anchors: Tensor) -> Tensor:
    """Return the distance in each anchor of the match of each frame's position, `(n, T, T)` cells."""
    rows = job.rows(queries)
    descriptors = torch.stack([job.sample(job.features(t), job.positions[rows, t]) for t in range(job.frames)], dim=1)
    distances = job.misses.new_full((len(queries), job.frames, job.frames), torch.nan)
    for t in anchors.any(0).nonzero()[:, 0].tolist():
        features, here = job.features(t), job.rows(anchors[:, t].nonzero()[:, 0])
        found = job.match(descriptors[here].flatten(0, 1), features)
        own = job.to_cells(job.positions[rows[here], t], features)
        distances[here, t] = (found.unflatten(0, (-1, job.frames)) - own[:, None]).norm(dim=-1).to(distances)
    return distances
