"""Occlusion by anchors: frames in which a point is reliably visible, to which it is tracked again from every frame."""

import torch
from torch import Tensor

from ..transfer import PendingCopy
from .job import TrackingJob


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
        medians = median_distances(_distances(job, queries, anchors))
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


def _distances(job: TrackingJob, queries: Tensor, anchors: Tensor) -> Tensor:
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
