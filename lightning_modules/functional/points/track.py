"""Points followed through a video, and whether they are hidden."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..device import PendingCopy, to_device
from ..protocols import PointProtocol
from .job import Features, TrackingJob
from .matching import POINTS_WORKSPACE, cell_centres
from .propagated import track_by_propagation


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
        size: (height, width) of the image, outside which a point is hidden; None: the scored size.
        both_directions: also track from a query back to frame 0; otherwise the frames before a query hold its
            position and are hidden.
        workspace: bytes for similarities, which no result depends on.

    Returns:
        The tracks; in its own frame a query is where it was given, and visible.

    Raises:
        ValueError: for queries of another shape, that are not finite or lie outside the frames, or features that are
            not finite.
    """
    if queries.ndim != 2 or queries.shape[1] != 3 or not queries.isfinite().all():
        raise ValueError(f"queries must be finite t, y, x (N, 3), got {tuple(queries.shape)}")
    if ((queries[:, 0].round() < 0) | (queries[:, 0].round() >= frames)).any():
        raise ValueError(f"queries must lie in frames 0 to {frames - 1}, got {queries[:, 0].tolist()}")
    side = protocol.scored_size
    around = covered or (side, side)
    job = TrackingJob(finite(features), frames, queries.cpu(), around, protocol, both_directions, workspace)
    if len(queries):
        TRACKINGS[protocol.tracking](job)
        if "anchors" in protocol.occlusion:
            compare_with_anchors(job)
    job.collect()
    occluded = _hidden(job, size or (side, side))
    occluded |= ~job.tracked(torch.arange(len(queries)))
    return PointTracks(job.positions, occluded, job.similarity)


def finite(features: Features) -> Features:
    """Return the features, which are checked when a frame is first asked for.

    Raises:
        ValueError: naming the first frame whose features, or their dot products, are not finite.
    """
    checked: set[int] = set()

    def of_frame(t: int) -> Tensor:
        found = features(t)
        if t not in checked and not PendingCopy(found.square().sum(0).isfinite().all()).wait():
            raise ValueError(f"the features of frame {t} are not finite: has the network diverged?")
        checked.add(t)
        return found

    return of_frame


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
    limits = torch.tensor([size[1], size[0]])
    hidden |= job.doubtful | ((job.positions < 0) | (job.positions >= limits)).any(-1)
    return hidden & (torch.arange(job.frames) != job.starts[:, None])


def track_directly(job: TrackingJob) -> None:
    """Find each query in every frame by its feature alone, and fill in the job.

    Memory holds the features of one frame, of the queries, and for tracking back those of some query frames: the video
    is passed over once for as many query frames as fit.
    """
    descriptors = job.no_descriptors()
    at_once = job.frames_at_once() if job.wants_cycle else job.frames
    for query_frames in job.starts.unique().split(at_once):
        queries = torch.isin(job.starts, query_frames).nonzero()[:, 0]
        starts, maps = job.starts[queries], {}
        for start in query_frames.tolist():
            features = job.features(start)
            rows = job.rows(queries[starts == start])
            descriptors[rows] = job.sample(features, job.origins[rows]).to(descriptors)
            if job.wants_cycle:
                maps[start] = features
        for t in range(job.frames):
            wanted = queries[starts != t if job.both_directions else starts < t]
            if not len(wanted):
                continue
            features, rows = job.features(t), job.rows(wanted)
            looked_for = descriptors[rows].to(features)
            job.positions[rows, t] = job.to_pixels(job.match(looked_for, features), features)
            found = job.sample(features, job.positions[rows, t])
            job.compare(wanted, t, looked_for, found)
            for start, first in maps.items():
                here = (job.starts[wanted] == start).nonzero()[:, 0]
                if len(here):
                    job.track_back(wanted[here], t, found[job.rows(here)], first)


def track_by_chaining(job: TrackingJob) -> None:
    """Propagate each query from frame to frame by the flow between neighbouring frames, and fill in the job.

    The flow of a cell is where it is matched in the next frame less its own centre; a point takes the flow of the four
    cells around it, bilinearly. A frame's miss is the larger error of the cycles on the step that leads to it and the
    step that leaves it. Memory holds two frames.
    Source: GMRW (Shrivastava and Owens, ECCV 2024); ayshrv/gmrw, utils/tracking_utils.py.
    """
    errors = job.misses.new_zeros(len(job.queries), max(job.frames - 1, 0))
    descriptors = job.no_descriptors()
    _chain(job, range(job.frames), errors, descriptors)
    if job.both_directions:
        _chain(job, range(job.frames - 1, -1, -1), errors, descriptors)
    job.misses[:, 1:] = errors
    job.misses[:, :-1] = torch.maximum(job.misses[:, :-1], errors)


def _chain(job: TrackingJob, order: range, errors: Tensor, descriptors: Tensor) -> None:
    """Propagate the queries along the frames of `order`; each joins at its own."""
    features = None
    for t in order:
        before, features = features, job.features(t)
        moving = ((job.starts - t) * order.step < 0).nonzero()[:, 0]
        if before is not None and len(moving):
            last = t - order.step
            rows = job.rows(moving)
            positions = job.to_cells(job.positions[rows, last], before)
            forward = flow(job, before, features, positions)
            moved = positions + forward
            error = forward + flow(job, features, before, moved)  # zero for a closed cycle
            job.positions[rows, t] = job.to_pixels(moved, features)
            errors[rows, min(t, last)] = job.to_pixels(error, features).norm(dim=1).float()
            job.compare(moving, t, descriptors[rows].to(features), job.sample(features, job.positions[rows, t]))
        begins = (job.starts == t).nonzero()[:, 0]
        if len(begins):
            rows = job.rows(begins)
            descriptors[rows] = job.sample(features, job.positions[rows, t]).to(descriptors)


def flow(job: TrackingJob, here: Tensor, there: Tensor, positions: Tensor) -> Tensor:
    """Return the displacement at positions x, y `(N, 2)` from one frame's features to another's, in cells.

    It is computed only for the cells around the positions.
    """
    height, width = here.shape[1:]
    corners, weights = bilinear_corners(positions, height, width)
    cells, where = corners.flatten(), torch.arange(corners.numel(), device=corners.device).view(corners.shape)
    if cells.device.type == "cpu":  # how many differ would be a question to a GPU, which matches each as often as asked
        cells, where = corners.unique(return_inverse=True)
    found = job.match(here.flatten(1)[:, cells].T, there)
    displacement = found - cell_centres(height, width, here.device)[cells]
    return torch.einsum("nk,nkd->nd", weights, displacement[where])


def bilinear_corners(positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each position, numbers in rows `(N, 4)`, and their bilinear weights `(N, 4)`."""
    limits = to_device([width - 1, height - 1], positions.device).to(positions.dtype)
    inner = (positions - 0.5).clamp(min=0).minimum(limits)
    low = inner.floor().minimum((limits - 1).clamp(min=0))
    part = inner - low
    x, y = (low[:, axis, None].long() for axis in (0, 1))
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    corners = torch.cat([y * width + x, y * width + right, below * width + x, below * width + right], dim=1)
    dx, dy = part[:, :1], part[:, 1:]
    weights = torch.cat([(1 - dx) * (1 - dy), dx * (1 - dy), (1 - dx) * dy, dx * dy], dim=1)
    return corners, weights


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
        distances = _anchor_distances(job, queries, anchors)
        job.doubtful[rows] = job.rows(tracked) & beyond_anchors(distances, job.rows(anchors))


def beyond_anchors(distances: Tensor, anchors: Tensor) -> Tensor:
    """Return which frames have a larger error than every anchor, bool `(N, T)`.

    Args:
        distances: `(N, T, T)` of each frame (last axis) in each anchor; NaN where a frame is no anchor.
        anchors: bool `(N, T)`.
    """
    medians = distances.nanmedian(dim=1).values  # of an even number the lower of the two middle values
    return medians > medians.masked_fill(~anchors, -torch.inf).amax(dim=1, keepdim=True)


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
