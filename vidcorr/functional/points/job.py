"""State of the queries of a video while they are tracked."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols import PointProtocol
from ..device import PendingCopy, items_in_workspace, to_device
from .matching import decode_positions, sample_features, similarity_maps

Features = Callable[[int], Tensor]
"""Frame index → features `(C, h, w)`; called for any frame, more than once."""


@dataclass(eq=False)
class TrackingJob:
    """Queries of a video while they are tracked: positions, and the evidence that a point is hidden.

    Args: as `track_points`.

    Attributes:
        device: device of the features, and of the results until `collect`.
        starts: long `(N,)`, the queries' frames, on the CPU.
        origins: x, y `(N, 2)` float64 of the queries.
        positions: x, y `(N, T, 2)` float64 in pixels of the scored size.
        similarity: `(N, T)` cosine between the feature at the position and the query's feature.
        misses: `(N, T)` error in pixels of tracking back; 0 where nothing is tracked back.
    """

    features: Features
    frames: int
    queries: Tensor
    covered_size: tuple[float, float]
    protocol: PointProtocol
    both_directions: bool

    def __post_init__(self) -> None:
        self.starts = self.queries[:, 0].round().long()
        self.device = torch.device("cpu")
        if len(self.starts):
            self.device = self.features(int(self.starts[0])).device
        self.origins = to_device(self.queries[:, [2, 1]].double(), self.device)
        # where nothing is tracked, a point stays in its place, is similar, and misses nothing
        self.positions = self.origins[:, None].repeat(1, self.frames, 1)
        self.similarity = torch.ones(len(self.queries), self.frames, dtype=torch.float32, device=self.device)
        self.misses = torch.zeros_like(self.similarity)

    def collect(self) -> None:
        """Move the results to the CPU; ValueError if one is not finite."""
        # all copies begin before the first is waited for
        arriving = {name: PendingCopy(getattr(self, name)) for name in ("positions", "similarity", "misses")}
        for name, tensor in arriving.items():
            setattr(self, name, tensor.wait())
        if not (self.positions.isfinite().all() and self.similarity.isfinite().all()):
            raise ValueError("tracks are not finite, because the features are not: has the network diverged?")

    def on_device(self, queries: Tensor) -> Tensor:
        """Return indices of queries on the device of the features."""
        return to_device(queries, self.device)

    @property
    def wants_cycle(self) -> bool:
        """True if the protocol tracks back to judge occlusion."""
        return "cycle" in self.protocol.occlusion

    def empty_descriptors(self) -> Tensor:
        """Return zeros `(N, C)`, a feature for each query."""
        return self.misses.new_zeros(len(self.queries), len(self.features(int(self.starts[0]))))

    def to_cells(self, positions: Tensor, features: Tensor) -> Tensor:
        """Convert x, y `(N, 2)` from pixels of the scored size to cells of a feature map `(C, h, w)`."""
        return (positions.double() / to_device(self._cell(features), positions.device)).float()

    def to_pixels(self, positions: Tensor, features: Tensor) -> Tensor:
        """Convert x, y `(N, 2)` from cells of a feature map `(C, h, w)` to pixels of the scored size."""
        return positions.double() * to_device(self._cell(features), positions.device)

    def match(self, descriptors: Tensor, features: Tensor) -> Tensor:
        """Return the positions of descriptors `(N, C)` in a frame's features: x, y `(N, 2)` in cells."""
        protocol = self.protocol
        # None: the root of the number of channels
        temperature = protocol.temperature or math.sqrt(len(features))
        normalise = protocol.feature_normalisation != "raw"
        # the similarity and three copies that decoding makes, in float32
        map_bytes = 16 * features[0].numel()
        positions: list[Tensor] = []
        for part in descriptors.split(items_in_workspace(features.device, map_bytes)):
            maps = similarity_maps(part, features, normalise)
            positions.append(decode_positions(maps, protocol.decoding, temperature))
        return torch.cat(positions)

    def record_similarity(self, queries: Tensor, t: int, descriptors: Tensor, matched: Tensor) -> None:
        """Record the cosine between the descriptors `(n, C)` of queries and their features in frame `t`."""
        self.similarity[self.on_device(queries), t] = F.cosine_similarity(descriptors, matched).to(self.similarity)

    def track_back(self, queries: Tensor, frames: Tensor, matched: Tensor, first: Tensor) -> None:
        """Match features of frames with the frame of their queries, and record the distances in `misses`."""
        back = self.to_pixels(self.match(matched, first), first)
        rows = self.on_device(queries)
        self.misses[rows, self.on_device(frames)] = (back - self.origins[rows]).norm(dim=1).float()

    def sample(self, features: Tensor, positions: Tensor) -> Tensor:
        """Return the features `(N, C)` of a map `(C, h, w)` at positions x, y `(N, 2)` in pixels of the scored size."""
        return sample_features(features, self.to_cells(positions, features))

    def _cell(self, features: Tensor) -> Tensor:
        """Return width and height of a cell of a feature map `(C, h, w)`, in pixels of the scored size."""
        height, width = features.shape[1:]
        return torch.tensor([self.covered_size[1] / width, self.covered_size[0] / height], dtype=torch.float64)
