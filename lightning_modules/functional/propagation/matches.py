"""Best matches of a few chosen cells in the reference frames, for figures."""

from typing import NamedTuple

import torch
from torch import Tensor

from .protocol import PropagationProtocol
from .references import looks_everywhere, reference_frames
from .tiles import Neighbourhood


class Matches(NamedTuple):
    """Best matching cells of N query points, k each, by descending weight.

    Attributes:
        frames: long (N, k), indices of the reference frames.
        cells: long (N, k, 2), y and x in feature cells.
        weights: (N, k), of each cell in the average of labels.
    """

    frames: Tensor
    cells: Tensor
    weights: Tensor


@torch.no_grad()
def matches_of_cells(
    features: Tensor, points: Tensor, protocol: PropagationProtocol, frame: int | None = None, count: int | None = None
) -> Matches:
    """Return the cells whose labels `propagate_labels` averages, and their weights.

    References, window, top-k, temperature and normalisation are the protocol's. A frame that counts twice is found
    twice. Liir's mixture (Eq. 7) is left out: these are the weights that it starts from.

    Args:
        features: (T, C, h, w) of the frames of a video.
        points: long (N, 2), y and x in feature cells, in the query frame.
        protocol: defines which frames are references, which cells are searched, and how matches are weighted.
        frame: number of the query frame; None is the last.
        count: largest number of cells returned for a point; None is the protocol's top-k, or 10 where it has none.

    Raises:
        ValueError: for shapes that do not fit, a point outside the map or a frame without references.

    Example:
        >>> features = torch.eye(4).view(1, 4, 2, 2).repeat(2, 1, 1, 1)  # two equal frames of four cells
        >>> protocol = PropagationProtocol("best", context=0, topk=1, temperature=1.0, radius=None)
        >>> matches_of_cells(features, torch.tensor([[1, 0]]), protocol).cells
        tensor([[[1, 0]]])
    """
    if features.ndim != 4 or not features.is_floating_point():
        raise ValueError(f"features must be float (T, C, h, w), got {features.dtype} {tuple(features.shape)}")
    last, _, height, width = len(features) - 1, *features.shape[1:]
    frame = last if frame is None else frame
    if not 1 <= frame <= last:
        raise ValueError(f"frame must be 1 to {last}, so that others come before it, got {frame}")
    size = points.new_tensor([height, width])
    if points.ndim != 2 or points.shape[1] != 2 or ((points < 0) | (points >= size)).any():
        raise ValueError(f"points must be (N, 2), y and x inside the map of {height} x {width}, got {points.tolist()}")
    references = torch.tensor(reference_frames(protocol, frame), device=features.device)
    points = points.to(features.device)
    maps = features.float()
    if protocol.feature_normalisation == "l2":
        maps = maps / maps.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
    query = maps[frame][:, points[:, 0], points[:, 1]]
    found = torch.einsum("rchw,cn->nrhw", maps[references], query)
    y, x = (torch.arange(side, device=features.device) for side in (height, width))
    neighbourhood = Neighbourhood(protocol.radius, protocol.neighbourhood)
    inside = neighbourhood.contains(y[:, None] - points[:, 0, None, None], x - points[:, 1, None, None])
    inside = inside[:, None].repeat(1, len(references), 1, 1)
    if looks_everywhere(protocol):
        inside[:, 0] = True
    products = found.masked_fill(~inside, -torch.inf).flatten(1) / protocol.temperature
    top, choice = products.topk(min(protocol.topk or products.shape[1], products.shape[1]), dim=1)
    weights = _softmax(top, protocol, len(references))
    kept = min(count or protocol.topk or 10, top.shape[1])
    choice, weights = choice[:, :kept], weights[:, :kept]
    cell = choice % (height * width)
    return Matches(references[choice // (height * width)], torch.stack([cell // width, cell % width], dim=2), weights)


def _softmax(logits: Tensor, protocol: PropagationProtocol, references: int) -> Tensor:
    """Return weights of the sorted products; with border "zero", cells outside the map take part in the softmax."""
    if protocol.border != "zero" or protocol.radius is None:
        return logits.softmax(1)
    window = references * (2 * int(protocol.radius) + 1) ** 2
    missing = window - logits.isfinite().sum(1, keepdim=True)
    outside = missing.clamp_min(0).to(logits).log()
    return torch.exp(logits - torch.logaddexp(logits.logsumexp(1, keepdim=True), outside))
