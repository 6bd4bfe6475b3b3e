"""Points followed through a video, and whether they are hidden."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .anchors import compare_with_anchors
from .chained import track_by_chaining
from .direct import track_directly
from .job import Features, TrackingJob
from .matching import POINTS_WORKSPACE
from .propagated import track_by_propagation
from .protocol import PointProtocol

TRACKINGS = {"direct": track_directly, "chained": track_by_chaining, "propagation": track_by_propagation}


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
