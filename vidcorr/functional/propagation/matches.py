"""The weights of single query cells, as `propagate_labels` takes them, for pictures."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...protocols import LabelProtocol
from ..compactness import compact_windows
from ..device import computing_in
from ..window_tiles import Neighbourhood
from .attention import mixture_of
from .propagate import compared, looks_everywhere


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
def affinity_of_cells(features: Tensor, points: Tensor, protocol: LabelProtocol, prior: bool = True) -> CellAffinity:
    """Return the affinity of query cells in the last frame over each of its reference frames.

    These are the weights with which `propagate_labels` averages the labels of a frame, computed from the definition,
    with all products at once: for example a heat map over each reference. A reference that counts twice has its weight
    twice.

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
    beyond = (points < 0) | (points >= points.new_tensor([height, width]))
    if last < 1 or beyond.any():
        raise ValueError(f"expected 2 frames or more and points on the map, got {last + 1} and {points.tolist()}")
    listed = protocol.reference_frames(last)
    frames = sorted(set(listed))
    mixture = mixture_of(protocol) if prior else None
    neighbourhood = Neighbourhood.of(protocol)
    reach = neighbourhood.reach or 0
    rows = torch.arange(-reach, height + reach, device=features.device)[:, None]
    columns = torch.arange(-reach, width + reach, device=features.device)
    on_map = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    off_map_counts = protocol.topk is None and protocol.border == "zero"
    of_points: list[Tensor] = []
    with computing_in("float32", features.device):
        query = compared(features[last], protocol)
        keys = torch.stack([compared(features[frame], protocol) for frame in listed])
        keys = F.pad(keys, (0, 0, reach, reach, reach, reach))
        for y, x in points.tolist():
            searched = neighbourhood.contains(rows - y, columns - x).repeat(len(listed), 1, 1)
            if looks_everywhere(protocol):
                searched[0] = True
            if not off_map_counts:
                searched &= on_map
            logits = (keys @ query[y, x]).masked_fill(~searched, -torch.inf)
            if protocol.topk is not None:
                logits = _best_alone(logits, protocol.topk, protocol.topk_ties == "kept")
            weights = (logits / protocol.temperature).flatten().softmax(0).view_as(logits)
            if mixture is not None:
                window = weights[:, y : y + 2 * reach + 1, x : x + 2 * reach + 1]
                window.copy_(compact_windows(window.flatten(1), mixture).view_as(window))
            of_points.append(weights[:, reach : reach + height, reach : reach + width])
    places = torch.tensor([frames.index(frame) for frame in listed], device=features.device)
    of_listed = torch.stack(of_points)
    of_frames = of_listed.new_zeros(len(points), len(frames), height, width).index_add_(1, places, of_listed)
    return CellAffinity(frames, of_frames)


def _best_alone(logits: Tensor, topk: int, ties: bool) -> Tensor:
    """Return logits with −inf for all but the top-k; with `ties`, those equal to the last of the top-k stay too."""
    top, index = logits.flatten().topk(min(topk, logits.numel()))
    if ties:
        return logits.masked_fill(logits < top[-1], -torch.inf)
    return torch.full_like(logits, -torch.inf).flatten().scatter_(0, index, top).view_as(logits)
