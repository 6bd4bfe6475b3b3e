"""Tracking by label propagation: each query is a heat-map that is carried from frame to frame."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..propagation.propagate import LabelPropagator
from .job import Job
from .matching import cell_centres, chunks

MOST_CHANNELS = 255
"""Heat-maps that one propagation carries."""


def track_by_propagation(job: Job) -> None:
    """Carry a heat-map for each query, forward and backward from its frame, and fill in the job.

    The queries of a frame share a propagation, in which no heat-map depends on another. A point whose heat-map has
    vanished stays where it was. Memory holds the protocol's window of frames.
    Source: FGVC (Li et al., AAAI 2023), over the code of VFS.
    """
    height, width = _pixels(job)
    for start in job.starts.unique().tolist():
        queries = (job.starts == start).nonzero()[:, 0]
        bytes_each = 4 * height * width
        for part in chunks(len(queries), bytes_each, min(job.workspace, bytes_each * MOST_CHANNELS)):
            _carry(job, queries[part], range(start, job.frames))
            if job.both_directions and start > 0:
                _carry(job, queries[part], range(start, -1, -1))


def _carry(job: Job, queries: Tensor, order: range) -> None:
    first = job.features(order[0])
    descriptors = job.sample(first, job.places[queries, order[0]])
    propagator = LabelPropagator(_draw(job, queries, first), job.protocol.propagation())
    propagator.step(first)
    last = job.places[queries, order[0]]
    for t in order[1:]:
        features = job.features(t)
        last = _read(job, propagator.step(features), last)
        job.places[queries, t] = last
        found = job.sample(features, last)
        job.compare(queries, t, descriptors, found)
        if job.wants_cycle:
            job.track_back(queries, t, found, first)


def _draw(job: Job, queries: Tensor, features: Tensor) -> Tensor:
    """Return a Gaussian around each query, at the centres of the cells, `(n, h, w)`."""
    height, width = features.shape[1:]
    centres = job.to_pixels(cell_centres(height, width), features)
    squared = (centres - job.queries[queries][:, None, [2, 1]].double()).square().sum(-1)
    return (-squared / (2 * job.protocol.sigma**2)).exp().float().unflatten(1, (height, width)).to(features.device)


def _read(job: Job, heatmaps: Tensor, last: Tensor) -> Tensor:
    """Return the weighted mean of the best pixels of each heat-map, pixels of the scored size `(n, 2)`."""
    height, width = _pixels(job)
    pixels = F.interpolate(heatmaps[None], (height, width), mode="bilinear", align_corners=False)[0].flatten(1)
    values, choice = pixels.topk(min(job.protocol.topk, height * width), dim=1)
    values = values.clamp_min(0).cpu().double()
    total = values.sum(1, keepdim=True)
    pixel = torch.tensor([job.covered[1] / width, job.covered[0] / height], dtype=torch.float64)
    centres = cell_centres(height, width).double()[choice.cpu()] * pixel
    mean = torch.einsum("nk,nkd->nd", values, centres) / total
    return torch.where(total > 0, mean, last)


def _pixels(job: Job) -> tuple[int, int]:
    """Return height and width of an up-sampled heat-map: pixels of the scored size, in round numbers."""
    return round(job.covered[0]), round(job.covered[1])
