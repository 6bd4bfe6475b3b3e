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
"""Bytes of found features that are tracked back together."""


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
        protocol: the rules.
        covered_size: (height, width) that a feature map covers, in pixels of the scored size; None: the scored size.
        both_directions: also track from a query back to frame 0; otherwise the point keeps its position before the
            query's frame, hidden.

    Returns:
        The tracks; in the query's frame a point has the given position and is visible.

    Raises:
        ValueError: for queries of another shape, queries or features that are not finite, or queries outside the
            frames.

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
    """Return which points are hidden by the protocol's occlusion rule, `(N, T)` bool.

    A point is hidden whose feature is not similar to the query's ("similarity"), or whose error of tracking back is too
    large ("cycle"). By every rule but "none", a point outside the picture, a square of `scored_size` pixels, is hidden
    too. In the query's frame a point is visible.
    """
    protocol = job.protocol
    hidden = torch.zeros(job.similarity.shape, dtype=torch.bool)
    if protocol.occlusion == "none":
        return hidden
    if "similarity" in protocol.occlusion:
        hidden |= job.similarity < protocol.similarity_threshold
    if job.wants_cycle:
        hidden |= ~(job.misses < protocol.cycle_threshold)  # `>=` would leave NaN visible
    hidden |= ((job.positions < 0) | (job.positions >= protocol.scored_size)).any(-1)
    return hidden & (torch.arange(job.frames) != job.starts[:, None])


def track_directly(job: TrackingJob) -> None:
    """Find the queries in every frame by their features alone, and fill in the job.

    Memory holds the features of a frame and of the queries; for tracking back also features of query frames (up to
    `KEPT_MAPS`) and found features (up to `KEPT_MATCHES`). A video is read three times: for the queries, forward, and
    for tracking back.
    """
    descriptors = job.empty_descriptors()  # features at the queries, from the loop over their frames
    way_back = WayBack(job)  # collects what is tracked back, if the protocol tracks back
    for start in job.starts.unique().tolist():
        features = job.features(start)
        rows = job.on_device((job.starts == start).nonzero()[:, 0])
        descriptors[rows] = job.sample(features, job.origins[rows]).to(descriptors)
        way_back.keep(start, features)
    for t in range(job.frames):
        is_searched = job.starts != t if job.both_directions else job.starts < t  # queries of other, or earlier, frames
        searched = is_searched.nonzero()[:, 0]
        if not len(searched):
            continue
        features = job.features(t)
        rows = job.on_device(searched)
        looked_for = descriptors[rows].to(features)
        job.positions[rows, t] = job.to_pixels(job.match(looked_for, features), features)
        found_features = job.sample(features, job.positions[rows, t])
        job.record_similarity(searched, t, looked_for, found_features)
        if job.wants_cycle:
            way_back.add(searched, t, found_features)
    way_back.track()


class WayBack:
    """Collects features found in frames, and tracks them back to their queries' frames.

    All features whose queries start in one frame are matched together, so the number of matchings grows with the number
    of query frames, not with its product with the number of frames.
    """

    def __init__(self, job: TrackingJob) -> None:
        self._job = job
        self._maps: dict[int, Tensor] = {}  # query frame → its features
        self._room = KEPT_MAPS  # bytes that further maps may take
        self._clear()

    def _clear(self) -> None:
        self._queries: list[Tensor] = []
        self._frames: list[Tensor] = []
        self._found: list[Tensor] = []
        self._bytes = 0

    def keep(self, start: int, features: Tensor) -> None:
        """Keep the features of a query frame, if the protocol tracks back and they fit into `KEPT_MAPS` bytes.

        After the first that do not fit, no more are kept; `track` computes them again.
        """
        self._room -= features.nbytes
        if self._job.wants_cycle and self._room >= 0:
            self._maps[start] = features

    def add(self, queries: Tensor, t: int, found: Tensor) -> None:
        """Add the features `(n, C)` found for queries in frame `t`; from `KEPT_MATCHES` bytes on, track them back."""
        self._queries.append(queries)
        self._frames.append(torch.full_like(queries, t))
        self._found.append(found)
        self._bytes += found.nbytes
        if self._bytes >= KEPT_MATCHES:
            self.track()

    def track(self) -> None:
        """Track back all features that were added since the last call, and record the misses in the job."""
        if not self._queries:
            return
        queries = torch.cat(self._queries)
        frames = torch.cat(self._frames)
        found = torch.cat(self._found)
        self._clear()
        starts = self._job.starts[queries]
        for start in starts.unique().tolist():
            first = self._maps[start] if start in self._maps else self._job.features(start)  # of the queries' frame
            chosen = (starts == start).nonzero()[:, 0]
            self._job.track_back(queries[chosen], frames[chosen], found[self._job.on_device(chosen)], first)


def track_by_chaining(job: TrackingJob) -> None:
    """Propagate the queries from frame to frame by the flow between neighbouring frames, and fill in the job.

    The flow of a cell is the position of its match in the next frame minus its centre; a point takes the flow of the
    four cells around it, bilinearly. The miss in a frame is the larger of two cycle errors: of the step to the frame
    and of the step from it. Memory holds two frames.
    Source: GMRW (Shrivastava and Owens, ECCV 2024); ayshrv/gmrw, utils/tracking_utils.py.
    """
    # (queries, steps): cycle error of the step between frames t and t + 1, at index t
    errors = job.misses.new_zeros(len(job.queries), max(job.frames - 1, 0))
    descriptors = job.empty_descriptors()
    _chain(job, range(job.frames), errors, descriptors)
    if job.both_directions and job.starts.any():  # a query starts after frame 0
        _chain(job, range(job.frames - 1, -1, -1), errors, descriptors)
    job.misses[:, 1:] = errors  # of the step to a frame; then the larger of it and the step from the frame
    job.misses[:, :-1] = torch.maximum(job.misses[:, :-1], errors)


def _chain(job: TrackingJob, order: range, errors: Tensor, descriptors: Tensor) -> None:
    """Propagate the queries along the frames of `order`, each from its own frame on, and fill in the job.

    Args:
        order: all frames, ascending or descending.
        errors: `(N, T − 1)` cycle errors in pixels of the steps between neighbouring frames, filled in.
        descriptors: `(N, C)` features at the queries, filled in when their frame is reached.
    """
    features = None
    for t in order:
        before = features  # of the frame before, in this order; None at the first
        features = job.features(t)
        moving = ((job.starts - t) * order.step < 0).nonzero()[:, 0]  # queries whose frame this order has passed
        if before is not None and len(moving):
            t_before = t - order.step
            rows = job.on_device(moving)
            positions = job.to_cells(job.positions[rows, t_before], before)
            forward = flow(job, before, features, positions)
            moved = positions + forward
            error = forward + flow(job, features, before, moved)  # there and back: zero for a closed cycle
            job.positions[rows, t] = job.to_pixels(moved, features)
            # a step has the index of its earlier frame, in either order
            errors[rows, min(t, t_before)] = job.to_pixels(error, features).norm(dim=1).float()
            found_features = job.sample(features, job.positions[rows, t])
            job.record_similarity(moving, t, descriptors[rows].to(features), found_features)
        begins = (job.starts == t).nonzero()[:, 0]
        if len(begins):
            rows = job.on_device(begins)
            descriptors[rows] = job.sample(features, job.positions[rows, t]).to(descriptors)


def flow(job: TrackingJob, here: Tensor, there: Tensor, positions: Tensor) -> Tensor:
    """Return the displacement x, y `(N, 2)` in cells of positions from one frame to another.

    The flow is computed only for the cells around the positions.

    Args:
        job: the job, whose protocol says how features are matched.
        here: features `(C, h, w)` of the frame of the positions.
        there: features `(C, h, w)` of the other frame.
        positions: x, y `(N, 2)` in cells.
    """
    height, width = here.shape[1:]
    corners, weights = bilinear_corners(positions, height, width)  # four cells around each position
    if corners.device.type == "cpu":
        cells, place = corners.unique(return_inverse=True)
    else:  # a GPU would wait for the number of different cells
        cells = corners.flatten()
        place = torch.arange(corners.numel(), device=corners.device).view(corners.shape)
    matches = job.match(here.flatten(1)[:, cells].T, there)
    displacement = matches - cell_centres(height, width, here.device)[cells]
    return torch.einsum("nk,nkd->nd", weights, displacement[place])


def bilinear_corners(positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around each position, and the weights with which bilinear interpolation takes them.

    Args:
        positions: x, y `(N, 2)` in cells.

    Returns:
        Flat indices of cells `(N, 4)`, and weights `(N, 4)` of sum 1.

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
    of_right = fraction[:, :1]
    of_below = fraction[:, 1:]
    of_left = 1 - of_right
    of_above = 1 - of_below
    weights = torch.cat([of_left * of_above, of_right * of_above, of_left * of_below, of_right * of_below], dim=1)
    return corners, weights


TRACKINGS = {"direct": track_directly, "chained": track_by_chaining}
