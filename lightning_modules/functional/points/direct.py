"""Direct tracking: every frame is matched with the query's own frame."""

import torch
from torch import Tensor

from .job import TrackingJob


def track_directly(job: TrackingJob) -> None:
    """Find each query in every frame by its feature alone, and fill in the job.

    Memory holds the features of one frame, of the queries, and for tracking back those of some query frames.
    """
    for queries in _blocks(job):
        descriptors, maps = _descriptors(job, queries)
        for t in range(job.frames):
            wanted = job.needs(t)
            wanted = wanted[torch.isin(wanted, queries)]
            if len(wanted):
                _one_frame(job, t, wanted, descriptors[job.rows(torch.searchsorted(queries, wanted))], maps)


def _one_frame(job: TrackingJob, t: int, queries: Tensor, descriptors: Tensor, maps: dict[int, Tensor]) -> None:
    features = job.features(t)
    positions = job.to_pixels(job.match(descriptors, features), features)
    job.positions[job.rows(queries), t] = positions
    found = job.sample(features, positions)
    job.compare(queries, t, descriptors, found)
    for start, first in maps.items():
        here = (job.starts[queries] == start).nonzero()[:, 0]
        if len(here):
            job.track_back(queries[here], t, found[job.rows(here)], first)


def _descriptors(job: TrackingJob, queries: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
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


def _blocks(job: TrackingJob) -> list[Tensor]:
    """Split the queries by their frames so that the features kept at a time stay bounded; numbers in order."""
    starts = job.starts.unique()
    if not len(starts):
        return []
    if not job.wants_cycle:
        return [torch.arange(len(job.queries))]
    return [torch.isin(job.starts, part).nonzero()[:, 0] for part in starts.split(job.frames_at_once())]
