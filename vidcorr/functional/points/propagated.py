"""Tracking by label propagation: a query becomes a heat-map that is propagated from frame to frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import computing_in, to_device, workspace_of
from ..propagation.memory import FrameMemory, KeyMemory
from ..propagation.propagate import average_of_matches
from ..propagation.strips import best_matches
from ..window_tiles import Neighbourhood
from .job import TrackingJob
from .matching import best_pixels, cell_centres


def track_by_propagation(job: TrackingJob) -> None:
    """Propagate the queries' heat-maps forward and backward from their frames, and fill in the job.

    Equal to a `LabelPropagator` per query frame: references are the query frame and the preceding frames since then.
    Matches with preceding frames are searched once for all queries, matches with a query frame once for its queries.
    Heat-maps are independent of each other. A point with a vanished heat-map keeps its last position. Memory holds the
    protocol's window of frames, and the query frames and heat-maps of as many queries as fit.
    Source: FGVC (Li et al., AAAI 2023), with the code of VFS.
    """
    for queries in _blocks(job):
        starts = job.starts[queries]
        _Pass(job).run(queries, range(int(starts.min()), job.frames))
        if job.both_directions and starts.any():
            _Pass(job).run(queries, range(int(starts.max()), -1, -1))


def _blocks(job: TrackingJob) -> Iterator[Tensor]:
    """Yield blocks of queries in order of their frames, as large as memory allows."""
    cells = job.features(int(job.starts.min()))[0].numel()
    kept = job.protocol.context + 4  # heat-maps of the window and of the query frame, and two of a step
    bytes_of_query = 4 * cells * kept  # float32
    at_once = max(1, workspace_of(job.device) // bytes_of_query)
    for queries in job.starts.argsort(stable=True).split(at_once):
        for starts in job.starts[queries].unique().split(job.frames_at_once()):
            yield queries[torch.isin(job.starts[queries], starts)]


@dataclass(eq=False)
class _Group:
    """Queries of one frame.

    Attributes:
        queries: indices of the queries.
        begun: step of the query frame.
        features: features of the query frame, `(C, h, w)`.
        descriptors: features at the queries, `(n, C)`.
        keys: features of the query frame, for the search, `(h, w, 1, C)`.
        drawn: heat-maps of the query frame, `(h, w, 1, n)`.
        heatmaps: heat-maps in the frames of the window.
    """

    queries: Tensor
    begun: int
    features: Tensor
    descriptors: Tensor
    keys: Tensor
    drawn: Tensor
    heatmaps: FrameMemory


class _Pass:
    """A pass through the video in one direction."""

    def __init__(self, job: TrackingJob) -> None:
        self._job = job
        self._rules = job.protocol.propagation()
        self._groups: list[_Group] = []

    def run(self, queries: Tensor, order: range) -> None:
        """Propagate queries along the frames of `order`, starting from their frames."""
        job = self._job
        window = None
        for step, t in enumerate(order):
            features = job.features(t)
            cells = F.normalize(features, dim=0) if self._rules.feature_normalisation == "l2" else features
            cells = cells.permute(1, 2, 0).contiguous()
            if window is None:
                nearby = Neighbourhood.of(self._rules, cells.shape)
                window = KeyMemory((), self._rules.context, cells, nearby)
            with computing_in("float32", features.device):
                for group, heatmaps in zip(self._groups, self._propagate(window, step, cells), strict=True):
                    group.heatmaps.write(step, heatmaps.permute(1, 2, 0))
                    self._note(group, t, t - order.step, features, heatmaps)
            begins = queries[job.starts[queries] == t]
            if len(begins):
                self._groups.append(self._begin(begins, step, features, cells))
            window.write(step, cells)

    def _begin(self, queries: Tensor, step: int, features: Tensor, cells: Tensor) -> _Group:
        """Return the group of the queries of a frame, with their heat-maps there."""
        drawn = _draw(self._job, queries, features).permute(1, 2, 0)
        heatmaps = FrameMemory((), self._rules.context, drawn)
        heatmaps.write(step, drawn)
        descriptors = self._job.sample(features, self._job.origins[self._job.rows(queries)])
        return _Group(queries, step, features, descriptors, cells[:, :, None], drawn[:, :, None], heatmaps)

    def _propagate(self, window: KeyMemory, step: int, cells: Tensor) -> Iterator[Tensor]:
        """Yield the heat-maps `(n, h, w)` of all groups in the frame of a step."""
        topk = self._rules.topk or 0
        nearby = Neighbourhood.of(self._rules, cells.shape)
        frames = list(range(max(step - self._rules.context, 0), step))
        window_matches = None
        for group in self._groups:
            tables = [group.heatmaps.maps]
            since = [frame for frame in frames if frame >= group.begun]
            if group.begun in since:  # the query frame counts twice while it is in the window
                matches = [window.best_matches(cells, [group.begun, *since], topk)]
            else:  # the window is the same for all groups whose query frame has left it
                window_matches = window_matches or window.best_matches(cells, frames, topk)
                matches = [window_matches, best_matches(cells, group.keys, [0], topk, nearby)]
                tables.append(group.drawn)
            average = average_of_matches(tables, matches, topk, self._rules.temperature)
            yield average.permute(2, 0, 1).contiguous()

    def _note(self, group: _Group, t: int, before: int, features: Tensor, heatmaps: Tensor) -> None:
        """Decode the positions of a group's points in frame `t`, and compare the features there with the queries."""
        job = self._job
        queries = group.queries
        rows = job.rows(queries)
        job.positions[rows, t] = _read(job, heatmaps, job.positions[rows, before])
        found = job.sample(features, job.positions[rows, t])
        job.compare(queries, t, group.descriptors, found)
        if job.wants_cycle:
            job.track_back(queries, t, found, group.features)


def _draw(job: TrackingJob, queries: Tensor, features: Tensor) -> Tensor:
    """Return Gaussians around the queries, at the centres of the cells, `(n, h, w)`."""
    height, width = features.shape[1:]
    centres = job.to_pixels(cell_centres(height, width), features)
    positions = job.queries[queries][:, [2, 1]].double()
    squared = (centres - positions[:, None]).square().sum(-1)
    heatmaps = (-squared / (2 * job.protocol.sigma**2)).exp().float()
    return to_device(heatmaps.unflatten(1, (height, width)), features.device)


def _read(job: TrackingJob, heatmaps: Tensor, last: Tensor) -> Tensor:
    """Return the weighted mean of the heat-maps' best pixels, or `last` if they are 0; x, y of the scored size."""
    height = round(job.covered[0])
    width = round(job.covered[1])
    values, centres = best_pixels(heatmaps, height, width, job.protocol.topk)
    weights = values.clamp_min(0).double()
    total = weights.sum(1, keepdim=True)
    pixel = torch.tensor([job.covered[1] / width, job.covered[0] / height], dtype=torch.float64)
    scaled = centres.double() * to_device(pixel, centres.device)
    mean = torch.einsum("nk,nkd->nd", weights, scaled) / total
    return torch.where(total == 0, last, mean)  # NaN stays, for `collect` to find
