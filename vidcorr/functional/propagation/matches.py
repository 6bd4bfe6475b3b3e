"""The weights of single query cells, as `propagate_labels` takes them, for pictures."""

from typing import NamedTuple

import torch
from torch import Tensor

from ...protocols import PropagationProtocol
from ..device import computing_in
from .propagate import weighting_of, weights_of_matches
from .search import NEARBY, CorrespondenceSearch, compared


class CellAffinity(NamedTuple):
    """Affinity of N query cells in the last frame of a video.

    Attributes:
        frames: indices of the R different reference frames, in order of time.
        weights: (N, R, h, w): weight of each cell's label in the average. Their sum is 1, but for a mixture and the
            border "zero".
    """

    frames: list[int]
    weights: Tensor


@torch.no_grad()
def affinity_of_cells(
    features: Tensor, points: Tensor, protocol: PropagationProtocol, prior: bool = True
) -> CellAffinity:
    """Return the affinity of query cells in the last frame over each of its reference frames.

    These are the weights with which `propagate_labels` averages the labels of a frame, found by the same search: for
    example a heat map over each reference. A reference that counts twice has its weight twice.

    Args:
        features: (T, C, h, w) of the frames of a video.
        points: long (N, 2), y and x in feature cells, in the last frame.
        protocol: references, neighbourhood, top-k, temperature, border and mixture.
        prior: with the compactness prior of the protocol (Liir, Eq. 7), as labels are propagated; False: the softmax
            (Eq. 1) that the prior would replace. Protocols without a mixture do not differ.

    Raises:
        ValueError: for fewer than two frames or a point outside the map.
    """
    last = len(features) - 1
    height, width = features.shape[2:]
    points = points.to(features.device)
    beyond = (points < 0) | (points >= points.new_tensor([height, width]))
    if last < 1 or beyond.any():
        raise ValueError(
            f"expected 2 frames or more, and points on the map of {height} x {width} cells; got {last + 1} frame(s), "
            f"points {points.tolist()}"
        )
    frames = sorted(set(protocol.reference_frames(last)))
    search = CorrespondenceSearch(protocol)
    with computing_in("float32", features.device):
        for frame in frames:
            search.write(frame, compared(features[frame], protocol), starts=frame == 0)
        query = compared(features[last], protocol)
        if protocol.topk is None:
            weights = _weights_of_all(search, query, points, protocol, last, prior)
        else:
            weights = _weights_of_best(search, query, points, protocol, last, protocol.topk)
    return CellAffinity(frames, torch.stack([weights[frame] for frame in frames], dim=1))


def _weights_of_all(
    search: CorrespondenceSearch,
    query: Tensor,
    points: Tensor,
    protocol: PropagationProtocol,
    last: int,
    prior: bool,
) -> dict[int, Tensor]:
    """Return reference frame → weights (N, h, w), of an average over all neighbours."""
    keys = search.keys[NEARBY]
    frames = protocol.reference_frames(last)
    slots = [keys.slot(frame) for frame in frames]
    weighting = weighting_of(protocol, prior)
    of_points = [keys.attention.weights_at(query, keys.maps, slots, (y, x), weighting) for y, x in points.tolist()]
    weights = torch.stack(of_points)  # (N, h, w, slots); the last axis is sorted, without repeated slots
    different = sorted(set(slots))
    of_frames: dict[int, Tensor] = {}
    for frame, slot in zip(frames, slots, strict=True):
        of_frames[frame] = weights[..., different.index(slot)]
    return of_frames


def _weights_of_best(
    search: CorrespondenceSearch, query: Tensor, points: Tensor, protocol: PropagationProtocol, last: int, topk: int
) -> dict[int, Tensor]:
    """Return reference frame → weights (N, h, w), of an average over the best matches."""
    height, width, _ = query.shape
    matches, topk = search.find(query, last, 0, topk)
    products = [of_source for of_source, _ in matches.values()]
    parts = weights_of_matches(products, topk, protocol.temperature)
    rows = points[:, 0] * width + points[:, 1]
    weights: dict[int, Tensor] = {}
    for (source, (_, cells)), part in zip(matches.items(), parts, strict=True):
        keys = search.keys[source]
        slots = keys.maps.shape[2]
        table = query.new_zeros(len(points), height * width * slots)
        table.scatter_add_(1, cells.flatten(0, 1)[rows], part[rows])
        of_slots = table.view(len(points), height, width, slots)
        for frame in set(search.searched(last, 0)[source]):
            of_frame = of_slots[..., keys.slot(frame)]
            if frame in weights:
                of_frame = weights[frame] + of_frame
            weights[frame] = of_frame
    return weights
