"""Chained tracking: from frame to frame, forward and backward from the query."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..transfer import to_device
from .job import TrackingJob
from .matching import cell_centres

FlowAt = Callable[[Tensor], Tensor]
"""Positions x, y `(N, 2)` in cells → displacement `(N, 2)` in cells."""


def track_by_chaining(job: TrackingJob) -> None:
    """Carry each query from frame to frame by the flow between neighbouring frames, and fill in the job.

    The flow of a cell is where it is matched in the next frame less its own centre; a point takes the flow of the four
    cells around it, bilinearly. A frame's miss is the larger error of the cycles on the step that leads to it and the
    step that leaves it. Memory holds two frames.
    Source: GMRW (Shrivastava and Owens, ECCV 2024); ayshrv/gmrw, utils/tracking_utils.py.
    """
    errors = job.misses.new_zeros(len(job.queries), max(job.frames - 1, 0))
    channels = len(job.features(0)) if job.frames else 0
    descriptors = job.misses.new_zeros(len(job.queries), channels)
    _pass(job, range(job.frames), errors, descriptors)
    if job.both_directions:
        _pass(job, range(job.frames - 1, -1, -1), errors, descriptors)
    job.misses[:, 1:] = errors
    job.misses[:, :-1] = torch.maximum(job.misses[:, :-1], errors)


def _pass(job: TrackingJob, order: range, errors: Tensor, descriptors: Tensor) -> None:
    """Carry the queries along `order`; each joins at its own frame."""
    features = None
    for t in order:
        before, features = features, job.features(t)
        moving = ((job.starts - t) * order.step < 0).nonzero()[:, 0]
        if before is not None and len(moving):
            last = t - order.step
            rows = job.rows(moving)
            positions = job.to_cells(job.positions[rows, last], before)
            moved, error = chain_step(positions, _flow(job, before, features), _flow(job, features, before))
            job.positions[rows, t] = job.to_pixels(moved, features)
            errors[rows, min(t, last)] = job.to_pixels(error, features).norm(dim=1).float()
            looked_for = descriptors[rows].to(features)
            job.compare(moving, t, looked_for, job.sample(features, job.positions[rows, t]))
        begins = (job.starts == t).nonzero()[:, 0]
        if len(begins):
            rows = job.rows(begins)
            descriptors[rows] = job.sample(features, job.positions[rows, t]).to(descriptors)


def _flow(job: TrackingJob, here: Tensor, there: Tensor) -> FlowAt:
    """Return the flow from the cells of one frame to another, computed where it is asked for."""
    height, width = here.shape[1:]

    def at(positions: Tensor) -> Tensor:
        corners, weights = bilinear_corners(positions, height, width)
        cells, where = _different(corners)
        found = job.match(here.flatten(1)[:, cells].T, there)
        flow = found - cell_centres(height, width, here.device)[cells]
        return torch.einsum("nk,nkd->nd", weights, flow[where])

    return at


def _different(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells that are asked for, and where each is among them.

    Their number would be a question to a GPU, which matches each as often as it is asked for.
    """
    if cells.device.type == "cpu":
        different, where = cells.unique(return_inverse=True)
        return different, where
    return cells.flatten(), torch.arange(cells.numel(), device=cells.device).view(cells.shape)


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


def chain_step(positions: Tensor, there: FlowAt, back: FlowAt) -> tuple[Tensor, Tensor]:
    """Move points by the flow to the next frame, and measure how far the flow back misses them.

    Args:
        positions: x, y `(N, 2)` in cells.
        there: flow to the next frame.
        back: flow from the next frame to this one.

    Returns:
        x, y `(N, 2)` in the next frame, and `(N, 2)` the sum of both displacements, zero for a closed cycle; cells.
    """
    forward = there(positions)
    moved = positions + forward
    return moved, forward + back(moved)
