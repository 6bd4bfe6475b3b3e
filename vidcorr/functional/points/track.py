"""Points followed through a video, and whether they are hidden."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...protocols import PointProtocol
from ..device import to_device
from ..propagation.comparison import whitened_by
from .job import Features, TrackingJob
from .matching import cell_centres

KEPT_MAPS = 256 * 2**20
"""Most bytes of query frames' features that are kept in memory for tracking back."""
KEPT_MATCHES = 64 * 2**20
"""Bytes of matched features that are tracked back together."""


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Tracks of the queries of one video.

    Attributes:
        points: x, y `(N, T, 2)` float64 in raster pixels of the protocol's scored size: (0, 0) is the corner of the
            first pixel, not its centre.
        occluded: `(N, T)` bool.
        similarity: `(N, T)` cosine between the feature at the point and the query's feature.
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
    covered_size: tuple[float, float] | None = None,
    both_directions: bool = True,
) -> PointTracks:
    """Follow points from any frame of a video, forward and backward in time, independently of each other.

    Args:
        features: frame index → `(C, h, w)`; called several times per frame.
        frames: number of frames T.
        queries: `(N, 3)` t, y, x: frame index (rounded half to even), and raster pixels of the scored size.
        covered_size: (height, width) that a feature map covers, in pixels of the scored size; None: the scored size.
        both_directions: also track from a query back to frame 0; otherwise the point keeps its position before the
            query's frame, hidden.

    Returns:
        The tracks; in the query's frame a point has the given position and is visible.

    Raises:
        ValueError: for another shape, values that are not finite, or queries outside the frames.

    Example:
        >>> still = torch.eye(16).view(16, 4, 4)  # features of each frame: cells of 64 px
        >>> tracks = track_points(lambda t: still, 3, torch.tensor([[1.0, 96.0, 160.0]]), PointProtocol.named("fomo"))
        >>> tracks.points.shape, tracks.points[0, 1], tracks.occluded
        (torch.Size([1, 3, 2]), tensor([160.,  96.], dtype=torch.float64), tensor([[False, False, False]]))
    """
    if queries.ndim != 2 or queries.shape[1] != 3 or not queries.isfinite().all():
        raise ValueError(f"queries must be finite t, y, x (N, 3), got {tuple(queries.shape)}")
    times = queries[:, 0]
    if ((times.round() < 0) | (times.round() >= frames)).any():
        raise ValueError(f"queries must lie in frames 0 to {frames - 1}, got {times.tolist()}")
    if protocol.feature_normalisation == "whitened":
        features = _whitened(features, protocol)
    around = covered_size or (protocol.scored_size, protocol.scored_size)
    job = TrackingJob(features, frames, queries.cpu(), around, protocol, both_directions)
    if len(queries):
        TRACKINGS[protocol.tracking](job)
    job.collect()
    occluded = _hidden(job)
    if not both_directions:
        occluded |= torch.arange(frames) < job.starts[:, None]
    return PointTracks(job.positions, occluded, job.similarity)


def _whitened(features: Features, protocol: PointProtocol) -> Features:
    components = whitened_by(features(0).float(), protocol)
    return lambda t: components(features(t).float())


def _hidden(job: TrackingJob) -> Tensor:
    """Return which points are hidden by the protocol's occlusion rule, `(N, T)` bool."""
    protocol = job.protocol
    hidden = torch.zeros(job.similarity.shape, dtype=torch.bool)
    if protocol.occlusion == "none":
        return hidden
    if "similarity" in protocol.occlusion:
        hidden |= job.similarity < protocol.similarity_threshold
    if job.wants_cycle:
        # `>=` would leave NaN visible
        hidden |= ~(job.misses < protocol.cycle_threshold)
    hidden |= ((job.positions < 0) | (job.positions >= protocol.scored_size)).any(-1)
    return hidden & (torch.arange(job.frames) != job.starts[:, None])


def track_directly(job: TrackingJob) -> None:
    """Match the queries with every frame by their features alone; a video is read up to three times."""
    descriptors = job.empty_descriptors()
    way_back = WayBack(job)
    for start in job.starts.unique().tolist():
        features = job.features(start)
        rows = job.on_device((job.starts == start).nonzero()[:, 0])
        descriptors[rows] = job.sample(features, job.origins[rows]).to(descriptors)
        way_back.keep(start, features)
    for t in range(job.frames):
        is_searched = job.starts != t if job.both_directions else job.starts < t
        searched = is_searched.nonzero()[:, 0]
        if not len(searched):
            continue
        features = job.features(t)
        rows = job.on_device(searched)
        looked_for = descriptors[rows].to(features)
        job.positions[rows, t] = job.to_pixels(job.match(looked_for, features), features)
        matched_features = job.sample(features, job.positions[rows, t])
        job.record_similarity(searched, t, looked_for, matched_features)
        if job.wants_cycle:
            way_back.add(searched, t, matched_features)
    way_back.track()


class WayBack:
    """Tracks features back to their queries' frames.

    All features whose queries start in one frame are matched together, so the number of matchings grows with the number
    of query frames, not with its product with the number of frames.
    """

    def __init__(self, job: TrackingJob) -> None:
        self._job = job
        self._maps: dict[int, Tensor] = {}
        self._bytes_left = KEPT_MAPS
        self._clear()

    def _clear(self) -> None:
        self._queries: list[Tensor] = []
        self._frames: list[Tensor] = []
        self._matched: list[Tensor] = []
        self._bytes = 0

    def keep(self, start: int, features: Tensor) -> None:
        """Keep the features of a query frame for tracking back, if they fit; `track` computes others again."""
        self._bytes_left -= features.nbytes
        if self._job.wants_cycle and self._bytes_left >= 0:
            self._maps[start] = features

    def add(self, queries: Tensor, t: int, matched: Tensor) -> None:
        """Add the features `(n, C)` of queries in frame `t`; from `KEPT_MATCHES` bytes on, track them back."""
        self._queries.append(queries)
        self._frames.append(torch.full_like(queries, t))
        self._matched.append(matched)
        self._bytes += matched.nbytes
        if self._bytes >= KEPT_MATCHES:
            self.track()

    def track(self) -> None:
        """Track the added features back, and forget them."""
        if not self._queries:
            return
        queries = torch.cat(self._queries)
        frames = torch.cat(self._frames)
        matched = torch.cat(self._matched)
        self._clear()
        starts = self._job.starts[queries]
        for start in starts.unique().tolist():
            first = self._maps[start] if start in self._maps else self._job.features(start)
            chosen = (starts == start).nonzero()[:, 0]
            self._job.track_back(queries[chosen], frames[chosen], matched[self._job.on_device(chosen)], first)


def track_by_chaining(job: TrackingJob) -> None:
    """Propagate the queries from frame to frame by the flow between neighbouring frames.

    The flow of a cell is the position of its match in the next frame minus its centre; a point takes the flow of the
    four cells around it, bilinearly. The miss in a frame is the larger of two cycle errors: of the step to the frame
    and of the step from it. Memory holds two frames.
    Source: GMRW (Shrivastava and Owens, ECCV 2024); ayshrv/gmrw, utils/tracking_utils.py.
    """
    # (queries, steps): cycle error of the step between frames t and t + 1, at index t
    errors = job.misses.new_zeros(len(job.queries), max(job.frames - 1, 0))
    descriptors = job.empty_descriptors()
    _chain(job, range(job.frames), errors, descriptors)
    if job.both_directions and job.starts.any():
        _chain(job, range(job.frames - 1, -1, -1), errors, descriptors)
    job.misses[:, 1:] = errors
    job.misses[:, :-1] = torch.maximum(job.misses[:, :-1], errors)


def _chain(job: TrackingJob, order: range, errors: Tensor, descriptors: Tensor) -> None:
    """Propagate the queries along frames, ascending or descending, each from its own frame on."""
    features = None
    for t in order:
        before = features
        features = job.features(t)
        # queries whose frame this order has passed
        moving = ((job.starts - t) * order.step < 0).nonzero()[:, 0]
        if before is not None and len(moving):
            t_before = t - order.step
            rows = job.on_device(moving)
            positions = job.to_cells(job.positions[rows, t_before], before)
            forward = flow(job, before, features, positions)
            moved = positions + forward
            error = forward + flow(job, features, before, moved)
            job.positions[rows, t] = job.to_pixels(moved, features)
            # a step has the index of its earlier frame, in either order
            errors[rows, min(t, t_before)] = job.to_pixels(error, features).norm(dim=1).float()
            matched_features = job.sample(features, job.positions[rows, t])
            job.record_similarity(moving, t, descriptors[rows].to(features), matched_features)
        begins = (job.starts == t).nonzero()[:, 0]
        if len(begins):
            rows = job.on_device(begins)
            descriptors[rows] = job.sample(features, job.positions[rows, t]).to(descriptors)


def flow(job: TrackingJob, here: Tensor, there: Tensor, positions: Tensor) -> Tensor:
    """Return the displacement x, y `(N, 2)` in cells of positions from one frame to another."""
    height, width = here.shape[1:]
    corners, weights = bilinear_corners(positions, height, width)
    if corners.device.type == "cpu":
        cells, place = corners.unique(return_inverse=True)
    # a GPU would wait for the number of different cells
    else:
        cells = corners.flatten()
        place = torch.arange(corners.numel(), device=corners.device).view(corners.shape)
    matches = job.match(here.flatten(1)[:, cells].T, there)
    displacement = matches - cell_centres(height, width, here.device)[cells]
    return torch.einsum("nk,nkd->nd", weights, displacement[place])


def bilinear_corners(positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each position, and the weights with which bilinear interpolation takes them.

    Example:
        >>> bilinear_corners(torch.tensor([[1.0, 0.5]]), 2, 3)  # halfway between the first two cells
        (tensor([[0, 1, 3, 4]]), tensor([[0.5000, 0.5000, 0.0000, 0.0000]]))
        >>> beyond = [9.0, -1.0], [1.0, 9.0]  # of the last column, and of the last row
        >>> bilinear_corners(torch.tensor([[0.75, 1.0], *beyond]), 2, 3)
        (tensor([[0, 1, 3, 4],
                [2, 2, 5, 5],
                [3, 4, 3, 4]]), tensor([[0.3750, 0.1250, 0.3750, 0.1250],
                [1.0000, 0.0000, 0.0000, 0.0000],
                [0.5000, 0.5000, 0.0000, 0.0000]]))
    """
    limits = to_device([width - 1, height - 1], positions.device).to(positions.dtype)
    # in cells from the first cell's centre; beyond the outermost centres the border's cell counts; NaN counts as 0,
    # which makes a valid index: the position stays NaN, and `TrackingJob.collect` refuses it
    inner = (positions - 0.5).nan_to_num().clamp(min=0).minimum(limits)
    low = inner.floor()
    fraction = inner - low
    x = low[:, 0, None].long()
    y = low[:, 1, None].long()
    right = (x + 1).clamp(max=width - 1)
    below = (y + 1).clamp(max=height - 1)
    row = y * width
    next_row = below * width
    corners = torch.cat([row + x, row + right, next_row + x, next_row + right], dim=1)
    right_share = fraction[:, :1]
    lower_share = fraction[:, 1:]
    left_share = 1 - right_share
    upper_share = 1 - lower_share
    weights = torch.cat(
        [left_share * upper_share, right_share * upper_share, left_share * lower_share, right_share * lower_share],
        dim=1,
    )
    return corners, weights


TRACKINGS = {"direct": track_directly, "chained": track_by_chaining}
