"""Chained tracking: from frame to frame, forward and backward from the query."""

import torch
from torch import Tensor

from .flow import FlowAt, bilinear_corners, chain_step
from .job import TrackingJob
from .matching import cell_centres


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
